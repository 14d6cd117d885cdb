/*
 * The smp program: what processors do to each other's descriptors and pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "tests.h"

/* Fewer for many CPUs, which wait in a loop and share the host's few */
#define ROUNDS (200 / smp_cpus)
#define FRAMES 4

static uint64_t gdts[MAX_CPUS][GDT_ENTRIES] __attribute__((aligned(16)));
static uint32_t areas[2][MAX_CPUS];
static uint32_t fs_seen[MAX_CPUS];

static uint32_t frames[FRAMES][PAGE_SIZE / 4]
    __attribute__((aligned(PAGE_SIZE)));
static uint32_t page_seen[MAX_CPUS];    /* in the second space */
static uint32_t page_after[MAX_CPUS], acks[MAX_CPUS];   /* in the current */
static bool reading;

static void write_gdt(unsigned id, unsigned index, uint64_t entry)
{
    vmi_call(VMI_CALL_WriteGDTEntry, (uint32_t)gdts[id], index, entry,
             entry >> 32, 0);
}

static uint64_t area_desc(unsigned area, unsigned id)
{
    return make_desc((uint32_t)&areas[area][id], 0xfffff,
                     DESC_32BIT | DESC_DATA);
}

static void read_fs(void)
{
    uint32_t value;

    asm volatile("mov %1, %%fs; mov %%fs:0, %0" : "=r"(value) : "r"(FS_SEL));
    fs_seen[this_cpu()] = value;
}

/* As kernels do: CPU 0 writes each CPU's GDT before it starts, and later. */
static void test_gdt(unsigned id)
{
    VMIAPState state = ap_good_state(id);
    uint32_t before = ap_started, first, second;
    bool on;

    areas[0][id] = 0xf0000000 + id;
    areas[1][id] = 0xf1000000 + id;
    for (unsigned i = 0; i < GDT_ENTRIES; i++) {
        write_gdt(id, i, gdt[i]);
    }
    write_gdt(id, FS_SEL / 8, area_desc(0, id));
    state.gdtr_base = (uint32_t)gdts[id];
    ap_boot(id, &state, SEND_OFFSET);
    on = ap_wait(before);
    if (!report(on && ap_seen.gdtr.base == state.gdtr_base,
                text("CPU %u starts with a GDT of its own", id), "0x%x",
                ap_seen.gdtr.base)) {
        report_end();
    }
    ap_run(id, read_fs);
    first = fs_seen[id];
    write_gdt(id, FS_SEL / 8, area_desc(1, id));
    ap_run(id, read_fs);
    second = fs_seen[id];
    report(first == areas[0][id] && second == areas[1][id],
           text("WriteGDTEntry on CPU 0 makes segments of CPU %u", id),
           "0x%x, then 0x%x", first, second);
}

static void set_entry(void *entry, uint32_t value, uint32_t flags)
{
    if (paging_mode() == PAGING_PAE) {
        vmi_call(VMI_CALL_SetPxELong, value, 0, (uint32_t)entry, flags, 0);
    } else {
        vmi_call(VMI_CALL_SetPxE, value, (uint32_t)entry, flags, 0, 0);
    }
}

static void update_entry(void *entry, uint32_t value, uint32_t flags)
{
    AT(uint32_t, entry) = value;
    vmi_call(paging_mode() == PAGING_PAE ? VMI_CALL_UpdatePxELong :
             VMI_CALL_UpdatePxE, (uint32_t)entry, flags, 0, 0, 0);
}

/* Another frame, of which the first word is the number of the round */
static uint32_t next_frame(uint32_t round)
{
    uint32_t *frame = frames[round % FRAMES];

    frame[0] = round;
    return (uint32_t)frame | PTE_PRESENT | PTE_WRITE;
}

static void read_second_space(void)
{
    uint32_t first = read_cr3();

    vmi_call(VMI_CALL_SetCR3, paging_second_space(), 0, 0, 0, 0);
    page_seen[this_cpu()] = AT(uint32_t, PLAY_BASE);
    vmi_call(VMI_CALL_SetCR3, first, 0, 0, 0, 0);
}

/*
 * A space that is away on all CPUs: CPU 0 changes it, they load it.  No IPI
 * is sent, for loading CR3 flushes on any processor.
 */
static void test_second_space(void)
{
    void *entry = paging_second_entry(PLAY_BASE);
    uint32_t stale = 0;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        if (round % 2) {
            set_entry(entry, next_frame(round), VMI_PAGE_PT);
        } else {
            update_entry(entry, next_frame(round), VMI_PAGE_PT);
        }
        for (unsigned id = 1; id < smp_cpus; id++) {
            ap_start_run(id, read_second_space);
        }
        for (unsigned id = 1; id < smp_cpus; id++) {
            ap_finish_run(id);
            stale += page_seen[id] != round;
        }
    }
    report(!stale, "a change of another space is seen by all CPUs that load "
           "it", "%u of %u stale", stale, ROUNDS * (smp_cpus - 1));
}

static void handle_invalidate(Frame *frame)
{
    unsigned id = this_cpu();

    if (READ_ONCE(acks[id]) % 2) {
        vmi_call(VMI_CALL_InvalPage, PLAY_BASE, 0, 0, 0, 0);
    } else {
        vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0);
    }
    page_after[id] = AT(uint32_t, PLAY_BASE);
    apic_write(APIC_EOI, 0);
    barrier();
    acks[id]++;
}

/* The page stays in the TLB; every now and then, the space is exchanged. */
static void read_on(void)
{
    uint32_t count = 0;

    sti();
    while (READ_ONCE(reading)) {
        (void)AT(uint32_t, PLAY_BASE);
        if (++count % 64 == 0) {
            cli();
            read_second_space();
            sti();
            cpu_pause();
        }
    }
    cli();
}

/* The current space of all CPUs, with IPIs as kernels send them */
static void test_current_space(void)
{
    void *entry = paging_entry(PLAY_BASE);
    uint32_t flags = VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | PLAY_BASE;
    uint32_t stale = 0;

    set_handler(IPI_VECTOR, handle_invalidate);
    set_entry(entry, next_frame(0), flags);
    reading = true;
    for (unsigned id = 1; id < smp_cpus; id++) {
        acks[id] = 0;
        ap_start_run(id, read_on);
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        set_entry(entry, next_frame(round), flags);
        vmi_call(VMI_CALL_InvalPage, PLAY_BASE, 0, 0, 0, 0);
        stale += AT(uint32_t, PLAY_BASE) != round;
        for (unsigned id = 1; id < smp_cpus; id++) {
            ap_send(id, IPI_VECTOR, SEND_OFFSET);
        }
        for (unsigned id = 1; id < smp_cpus; id++) {
            while (READ_ONCE(acks[id]) != round) {
                cpu_pause();
            }
            stale += page_after[id] != round;
        }
    }
    reading = false;
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_finish_run(id);
    }
    report(!stale, "InvalPage and FlushTLB on each CPU show a change of the "
           "current space", "%u of %u stale", stale, ROUNDS * smp_cpus);
}

void test_sharing(void)
{
    for (unsigned id = 1; id < smp_cpus; id++) {
        test_gdt(id);
    }
    test_second_space();
    test_current_space();
}
