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
 * pressed; large=N, where the large pages' frames are, in MiB.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"
#include "stress.h"

static uint32_t slot_lock[FRAMES][SLOTS], slot_value[FRAMES][SLOTS];
static uint32_t rounds;         /* 0: until a key is pressed */
static bool ended;

/* At times nothing changes but by new spaces: each change makes all stale. */
static bool calm;
#define CALM_OPS 8

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
    [CROSS] = "code that goes across the end of a page is that of both pages",
    [MANY_PAGES] = "each of many pages is the frame of its entry",
    [LARGE] = "a kernel's large page is its new frame in all spaces after "
              "InvalPage of any address in it",
    [LARGE_CODE] = "code in it, too",
};

static void handle_page_fault(Frame *frame)
{
    /* What is called, and not mapped, or not its second half, returns 0. */
    if (frame->eip == (uint32_t)probe_load ||
        frame->eip == (uint32_t)probe_store || frame->eip == read_cr2() ||
        (frame->eip % PAGE_SIZE == HEAD && frame->eip + 2 == read_cr2())) {
        frame->eip = (uint32_t)probe_failed;
    } else {
        printf("Bail out! page fault at 0x%x of 0x%x\n", frame->eip,
               read_cr2());
        guest_exit(false);
    }
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
        return entry & ~(uint64_t)(stress_random(2) ? PTE_DIRTY :
                                   PTE_DIRTY | PTE_ACCESSED);
    default:
        return stress_new_entry();
    }
}

static void check_read(Space *s, Fact fact, unsigned table, unsigned page)
{
    uint32_t wanted = stress_mapped(s, table, page) & -PAGE_SIZE, value = 0;
    bool ok = probe_read(space_page(table, page) + MARK, &value);

    stress_check(fact, ok ? value == wanted : !wanted, value, wanted);
}

static void check_write(Space *s, unsigned table, unsigned page)
{
    uint64_t entry = stress_mapped(s, table, page);
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
    stress_refresh(s);
    for (unsigned i = 0; i < 8; i++) {
        unsigned table = stress_random(TABLES), page = stress_random(PAGES);

        check_read(s, READ, table, page);
        check_write(s, table, page);
        check_cross(s);
    }
}

/* Others, and this CPU, may have it; or this one forgets it at once. */
static void changed(Space *s, unsigned table, unsigned page, bool had)
{
    CPU *cpu = stress_this();
    bool knew = stress_knows(s);

    if (!had) {
        return;
    }
    s->generation++;
    if (knew && stress_random(2)) {
        vmi_call(VMI_CALL_InvalPage, space_page(table, page), 0, 0, 0, 0);
        cpu->seen[space_index(s)] = s->generation;
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
    stress_refresh(to);
    stress_check(FORKED, !probe_write(space_page(table, page) + UNUSED, 0),
                 1, 0);
    stress_refresh(from);
    stress_check(FORKED, !probe_write(space_page(table, page) + UNUSED, 0),
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

    stress_refresh(s);
    for (unsigned i = 0; i < 8; i++) {
        unsigned table = stress_random(TABLES), page = stress_random(PAGES);
        uint64_t entry = stress_mapped(s, table, page);
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
    stress_load(s);
    check_read(s, BUILT, stress_random(TABLES), stress_random(PAGES));
    for (unsigned i = 0; i < TABLES * PAGES; i++) {
        space_set(s, i / PAGES, i % PAGES, stress_new_entry(), true);
    }
}

/* A table is taken away, and mostly put back. */
static void do_unlink(Space *s)
{
    unsigned table = stress_random(TABLES);

    if (s->linked[table]) {
        space_link(s, table, false, stress_this()->space == s);
        s->generation++;
        /* Or the load of another space is all that flushes it. */
        if (stress_random(2)) {
            stress_refresh(s);
            check_read(s, UNLINKED, table, stress_random(PAGES));
        }
    }
    if (stress_random(4)) {
        space_link(s, table, true, stress_this()->space == s);
        if (stress_knows(s)) {
            check_read(s, READ, table, stress_random(PAGES));
        }
    }
}

static void run_rounds(void)
{
    static void (*const ops[])(Space *) = {
        do_look, do_look, do_code, do_rebuild, do_kernel_page, do_many,
        do_large, do_kernel_burst,
        do_change, do_change, do_change, do_fork, do_unlink, do_many_change,
    };

    do_kernel_burst(NULL);
    do_large(NULL);
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
            stress_load(s);
            check_kernel_pages();
            check_large();
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
        more_init_frame(frames[frame], frame + 1);
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            slot_value[frame][slot] = frame * SLOTS + slot;
            write_function((uint32_t)frames[frame] + FUNCTION(slot),
                           slot_value[frame][slot]);
        }
    }
    more_init();
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
