/*
 * Processors change address spaces, share them, fork them, take their tables
 * apart, and write code that others run, at random, all at once
 *
 * Each keeps the rules of the architecture and of VMI, and no more: a change
 * is told to the host, and a processor that may have the old entry in its TLB
 * flushes before it looks.  What it then sees must be what the tables say.
 * The device's check=on looks at the same time for what was kept too long.
 *
 * Arguments: pae or paging32; cpus=N; seed=N; rounds=N, or until a key is
 * pressed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"
#include "stress.h"

#define RW  (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define RO  (PTE_PRESENT | PTE_USER)

/* In a frame: its own address, a word that is written, and functions */
#define MARK        0
#define WORD        4
#define FUNCTION(n) (64 + (n) * 64)

/* A page of the kernel's for each CPU, in a place that is not used else */
#define KERNEL_PAGE (DIRECT_MAP + 0x01800000)

uint8_t frames[FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static uint32_t slot_lock[FRAMES][SLOTS], slot_value[FRAMES][SLOTS];
static uint32_t rounds;         /* 0: until a key is pressed */
static bool ended;

/* At times nothing changes but by new spaces: each change makes all stale. */
static bool calm;
#define CALM_OPS 5

static const char *const fact_names[FACTS] = {
    [READ] = "a page that is read is the frame of its entry, or faults",
    [WRITE] = "a write gets to the frame of its entry, or faults",
    [DIRTY] = "a write sets the dirty bit that was cleared before",
    [CALL] = "the code that runs is what was written last",
    [FORKED] = "a page that was made read-only for a fork faults",
    [BUILT] = "in a space that was built anew nothing is mapped",
    [UNLINKED] = "below an entry that was taken from a page directory nothing "
                 "is mapped",
    [GLOBAL] = "a kernel's page is its new frame in all spaces after InvalPage",
};

void stress_check(Fact fact, bool ok, uint32_t seen, uint32_t wanted)
{
    CPU *cpu = stress_this();

    cpu->fact[fact].checked++;
    if (!ok && !cpu->fact[fact].failed++) {
        cpu->fact[fact].seen = seen;
        cpu->fact[fact].wanted = wanted;
    }
}

static void handle_page_fault(Frame *frame)
{
    /* What is called, and not mapped, returns 0. */
    if (frame->eip == (uint32_t)probe_load ||
        frame->eip == (uint32_t)probe_store || frame->eip == read_cr2()) {
        frame->eip = (uint32_t)probe_failed;
    } else {
        printf("Bail out! page fault at 0x%x of 0x%x\n", frame->eip,
               read_cr2());
        guest_exit(false);
    }
}

static unsigned index_of(Space *s)
{
    return s - spaces;
}

static void load(Space *s)
{
    CPU *cpu = stress_this();

    vmi_call(VMI_CALL_SetCR3, s->cr3, 0, 0, 0, 0);
    cpu->space = s;
    cpu->seen[index_of(s)] = s->generation;
}

static bool knows(Space *s)
{
    CPU *cpu = stress_this();

    return cpu->space == s && cpu->seen[index_of(s)] == s->generation;
}

/* Forget what the TLB may have of this space, which has changed. */
static void refresh(Space *s)
{
    CPU *cpu = stress_this();

    if (cpu->space != s) {
        load(s);
        return;
    }
    if (knows(s)) {
        return;
    }
    switch (stress_random(4)) {
    case 0:
        vmi_call(VMI_CALL_SetCR3, s->cr3, 0, 0, 0, 0);
        break;
    case 1:
        vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0);
        break;
    case 2:
        vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, 0, 0, 0,
                 0);
        break;
    default:
        for (unsigned i = 0; i < TABLES * PAGES; i++) {
            vmi_call(VMI_CALL_InvalPage, space_page(i / PAGES, i % PAGES), 0,
                     0, 0, 0);
        }
        break;
    }
    cpu->seen[index_of(s)] = s->generation;
}

static uint64_t new_entry(void)
{
    static const uint32_t rights[] = { 0, RO, RW, RW };
    uint32_t right = rights[stress_random(4)];

    /* As kernels do, and as the processor has left the one before */
    if (stress_random(4)) {
        right |= right ? PTE_ACCESSED | PTE_DIRTY : 0;
    }
    return right ? (uint32_t)frames[stress_random(FRAMES)] | right : 0;
}

/* As a kernel does that ages a page, or write-protects it */
static uint64_t next_entry(Space *s, unsigned table, unsigned page)
{
    uint64_t entry = space_get(s, table, page);

    switch (stress_random(8)) {
    case 0:
        return entry & ~(uint64_t)PTE_WRITE;
    case 1:
        return entry & ~(uint64_t)PTE_DIRTY;
    case 2:
        return entry & ~(uint64_t)(PTE_DIRTY | PTE_ACCESSED);
    default:
        return new_entry();
    }
}

/* What this space has for a page: 0 if it faults */
static uint64_t mapped(Space *s, unsigned table, unsigned page)
{
    return s->linked[table] ? s->entry[table][page] : 0;
}

static void check_read(Space *s, Fact fact, unsigned table, unsigned page)
{
    uint32_t wanted = mapped(s, table, page) & -PAGE_SIZE, value = 0;
    bool ok = probe_read(space_page(table, page) + MARK, &value);

    stress_check(fact, ok ? value == wanted : !wanted, value, wanted);
}

static void check_write(Space *s, unsigned table, unsigned page)
{
    uint64_t entry = mapped(s, table, page);
    uint32_t linear = space_page(table, page) + WORD + 4 * this_cpu();
    uint32_t value = stress_random(UINT32_MAX), frame = entry & -PAGE_SIZE;
    bool ok = probe_write(linear, value);

    stress_check(WRITE, ok == !!(entry & PTE_WRITE), ok, entry);
    if (ok && (entry & PTE_WRITE)) {
        uint32_t got = AT(uint32_t, frame + WORD + 4 * this_cpu());

        stress_check(WRITE, got == value, got, value);
        stress_check(DIRTY, space_get(s, table, page) & PTE_DIRTY,
                     space_get(s, table, page), entry | PTE_DIRTY);
    }
}

static void do_look(Space *s)
{
    refresh(s);
    for (unsigned i = 0; i < 8; i++) {
        unsigned table = stress_random(TABLES), page = stress_random(PAGES);

        check_read(s, READ, table, page);
        check_write(s, table, page);
    }
}

/* Others, and this CPU, may have it; or this one forgets it at once. */
static void changed(Space *s, unsigned table, unsigned page, bool had)
{
    CPU *cpu = stress_this();
    bool knew = knows(s);

    if (!had) {
        return;
    }
    s->generation++;
    if (knew && stress_random(2)) {
        vmi_call(VMI_CALL_InvalPage, space_page(table, page), 0, 0, 0, 0);
        cpu->seen[index_of(s)] = s->generation;
        check_read(s, READ, table, page);
    }
}

static void do_change(Space *s)
{
    for (unsigned i = stress_random(8); i; i--) {
        unsigned table = stress_random(TABLES), page = stress_random(PAGES);
        bool had = s->entry[table][page];

        space_set(s, table, page, next_entry(s, table, page),
                  stress_this()->space == s);
        changed(s, table, page, had);
    }
}

/* Both have all pages of the first one, and may write none. */
static void do_fork(Space *from)
{
    Space *to = &spaces[stress_random(SPACES)];
    unsigned table = stress_random(TABLES), page = stress_random(PAGES);

    /* In one order only; not often, for little can be written afterwards */
    if (to <= from || stress_random(4)) {
        return;
    }
    stress_lock(&to->lock);
    for (unsigned i = 0; i < TABLES * PAGES; i++) {
        uint64_t entry = from->entry[i / PAGES][i % PAGES];

        entry &= ~(uint64_t)PTE_WRITE;
        if (from->entry[i / PAGES][i % PAGES] & PTE_WRITE) {
            space_set(from, i / PAGES, i % PAGES, entry,
                      stress_this()->space == from);
        }
        space_set(to, i / PAGES, i % PAGES, entry, stress_this()->space == to);
    }
    from->generation++;
    to->generation++;
    refresh(to);
    stress_check(FORKED, !probe_write(space_page(table, page) + 0x800, 0),
                 1, 0);
    refresh(from);
    stress_check(FORKED, !probe_write(space_page(table, page) + 0x800, 0),
                 1, 0);
    stress_unlock(&to->lock);
}

/* mov $value, %eax; ret */
static void write_function(uint32_t at, uint32_t value)
{
    AT(uint8_t, at) = 0xb8;
    AT(uint8_t, at + 1) = value;
    AT(uint8_t, at + 2) = value >> 8;
    AT(uint16_t, at + 3) = value >> 16;
    AT(uint8_t, at + 5) = 0xc3;
}

static void do_code(Space *s)
{
    unsigned slot = stress_random(SLOTS);

    refresh(s);
    for (unsigned i = 0; i < 8; i++) {
        unsigned table = stress_random(TABLES), page = stress_random(PAGES);
        uint64_t entry = mapped(s, table, page);
        uint32_t at = (uint32_t)entry & -PAGE_SIZE, value = 0, reg[4];
        unsigned frame = (at - (uint32_t)frames) / PAGE_SIZE;

        if (!entry) {
            continue;
        }
        stress_lock(&slot_lock[frame][slot]);
        if (stress_random(2)) {
            value = stress_random(UINT32_MAX);
            slot_value[frame][slot] = value;
            if ((entry & PTE_WRITE) && stress_random(2)) {
                at = space_page(table, page);
            } else if (stress_random(2)) {
                at += DIRECT_MAP;
            }
            write_function(at + FUNCTION(slot), value);
        }
        cpuid(0, 0, reg);       /* what another CPU has written, too */
        probe_call(space_page(table, page) + FUNCTION(slot), &value);
        stress_check(CALL, value == slot_value[frame][slot], value,
                     slot_value[frame][slot]);
        stress_unlock(&slot_lock[frame][slot]);
    }
}

/*
 * Tables go, and come back in other places.  What is mapped then was not
 * before, so there is nothing to flush but by the load.
 */
static void do_rebuild(Space *s)
{
    for (unsigned id = 0; id < smp_cpus; id++) {
        if (READ_ONCE(stress_cpu[id].space) == s) {
            return;
        }
    }
    space_release(s);
    space_build(s);
    load(s);
    check_read(s, BUILT, stress_random(TABLES), stress_random(PAGES));
    for (unsigned i = 0; i < TABLES * PAGES; i++) {
        space_set(s, i / PAGES, i % PAGES, new_entry(), true);
    }
}

/* A table is taken away, and mostly put back. */
static void do_unlink(Space *s)
{
    unsigned table = stress_random(TABLES);

    if (s->linked[table]) {
        space_link(s, table, false, stress_this()->space == s);
        s->generation++;
        refresh(s);
        check_read(s, UNLINKED, table, stress_random(PAGES));
    }
    if (stress_random(4)) {
        space_link(s, table, true, stress_this()->space == s);
        if (knows(s)) {
            check_read(s, READ, table, stress_random(PAGES));
        }
    }
}

/* The kernel's mappings are the same in all spaces: one InvalPage for all. */
static void do_kernel_page(Space *s)
{
    CPU *cpu = stress_this();
    uint32_t linear = KERNEL_PAGE + this_cpu() * PAGE_SIZE, value = 0;

    cpu->kernel_frame = stress_random(FRAMES);
    set_kernel_page(linear, (uint32_t)frames[cpu->kernel_frame] | PTE_PRESENT |
                    PTE_GLOBAL);
    vmi_call(VMI_CALL_InvalPage, linear, 0, 0, 0, 0);
    probe_read(linear, &value);
    stress_check(GLOBAL, value == (uint32_t)frames[cpu->kernel_frame], value,
                 (uint32_t)frames[cpu->kernel_frame]);
}

static void check_kernel_page(void)
{
    uint32_t value = 0, wanted = (uint32_t)frames[stress_this()->kernel_frame];

    probe_read(KERNEL_PAGE + this_cpu() * PAGE_SIZE, &value);
    stress_check(GLOBAL, value == wanted, value, wanted);
}

static void run_rounds(void)
{
    static void (*const ops[])(Space *) = {
        do_look, do_look, do_code, do_rebuild, do_kernel_page,
        do_change, do_change, do_change, do_fork, do_unlink,
    };

    do_kernel_page(NULL);
    for (uint32_t round = 1; !READ_ONCE(ended); round++) {
        CPU *cpu = stress_this();
        Space *s = &spaces[stress_random(SPACES)];

        if (cpu->space && stress_random(2)) {
            s = cpu->space;
        }
        /* A report may drop all of a space, and what else was wrong with it. */
        cpu->calls = stress_random(8);
        stress_lock(&s->lock);
        if (stress_random(4) == 0) {
            load(s);
            check_kernel_page();
        }
        if (this_cpu() == 0 && stress_random(32) == 0) {
            calm = !calm;
        }
        ops[stress_random(READ_ONCE(calm) ? CALM_OPS : ARRAY_SIZE(ops))](s);
        stress_unlock(&s->lock);
        if (rounds ? round == rounds : this_cpu() == 0 && inb(0x64) & 1) {
            break;
        }
    }
    ended = !rounds;
}

static void report_facts(void)
{
    for (Fact fact = 0; fact < FACTS; fact++) {
        uint32_t checked = 0, failed = 0, seen = 0, wanted = 0;

        for (unsigned id = 0; id < smp_cpus; id++) {
            checked += stress_cpu[id].fact[fact].checked;
            if (stress_cpu[id].fact[fact].failed) {
                failed += stress_cpu[id].fact[fact].failed;
                seen = stress_cpu[id].fact[fact].seen;
                wanted = stress_cpu[id].fact[fact].wanted;
            }
        }
        report(checked && !failed, fact_names[fact],
               "checked %u times, failed %u, one of them 0x%x for 0x%x",
               checked, failed, seen, wanted);
    }
}

void guest_main(void)
{
    uint32_t seed = guest_arg_number("seed", 1);

    vmi_setup();
    smp_cpus = guest_arg_number("cpus", 1);
    rounds = guest_arg_number("rounds", 0);
    set_handler(14, handle_page_fault);
    for (unsigned id = 0; id < smp_cpus; id++) {
        stress_cpu[id].random = seed * 2654435761u + id + 1;
    }
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        AT(uint32_t, frames[frame] + MARK) = (uint32_t)frames[frame];
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            slot_value[frame][slot] = frame * SLOTS + slot;
            write_function((uint32_t)frames[frame] + FUNCTION(slot),
                           slot_value[frame][slot]);
        }
    }
    space_init();
    ap_start_all();
    printf("# running\n");
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_start_run(id, run_rounds);
    }
    run_rounds();
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_finish_run(id);
    }
    report_facts();
    report_end();
}
