/*
 * Two CPUs make calls at once, of which one does the wrong ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "smp.h"

#define ROUNDS  20000
#define INITS   300
#define RW      (PTE_PRESENT | PTE_WRITE | PTE_USER)

static const uint32_t garbage[] = {
    0, 1, 2, 0x7f, 0xff, 0x1000, 0xfee00000, 0x80000000, 0xd8000000,
    0xfffffff0, 0xffffffff,
};

static bool stop;
static uint32_t other_rounds;

static void init_again(void)
{
    while (!READ_ONCE(stop) && other_rounds < INITS) {
        vmi_call_init();
        other_rounds++;
    }
}

static uint32_t some(unsigned i)
{
    return garbage[i % ARRAY_SIZE(garbage)];
}

/*
 * Any call that comes back: no reset, no halt, no store where it says.  For
 * SetCR3 it is what is loaded.
 */
static void make_garbage(unsigned i)
{
    static const uint8_t calls[] = {
        VMI_CALL_UpdateKernelStack, VMI_CALL_RDTSC, VMI_CALL_AllocatePage,
        VMI_CALL_ReleasePage, VMI_CALL_InvalPage, VMI_CALL_FlushTLB,
        VMI_CALL_SetInitialAPState, VMI_CALL_APICRead,
        VMI_CALL_GetCycleCounter, VMI_CALL_SetAlarm, VMI_CALL_CancelAlarm,
        VMI_CALL_GetWallclockTime, VMI_CALL_WallclockUpdated,
    };

    vmi_call(calls[i % ARRAY_SIZE(calls)], some(i), some(i / 3), some(i / 7),
             some(i / 5), some(i / 2));
}

static void other_garbage(void)
{
    while (!READ_ONCE(stop)) {
        make_garbage(other_rounds++);
    }
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
}

static void set_entry(uint32_t linear, uint32_t value)
{
    uint32_t entry = (uint32_t)paging_entry(linear);

    if (paging_mode() == PAGING_PAE) {
        vmi_call(VMI_CALL_SetPxELong, value, 0, entry,
                 linear | VMI_PAGE_CURRENT_AS | VMI_PAGE_PT, 0);
    } else {
        vmi_call(VMI_CALL_SetPxE, value, entry,
                 linear | VMI_PAGE_CURRENT_AS | VMI_PAGE_PT, 0, 0);
    }
}

/* Both change entries of one table, and load the two spaces in turn. */
static void change_tables(unsigned round)
{
    uint32_t linear = PLAY_BASE + round % 32 * PAGE_SIZE;

    set_entry(linear, round & 1 ? (round << 12 & 0xff000) | RW : 0);
    if (!(round & 7)) {
        vmi_call(VMI_CALL_InvalPage, linear, 0, 0, 0, 0);
        vmi_call(VMI_CALL_SetCR3, paging_second_space(), 0, 0, 0, 0);
        vmi_call(VMI_CALL_ReleasePage, linear / PAGE_SIZE, 0, 0, 0, 0);
    }
    if (!(round & 15)) {
        vmi_call(VMI_CALL_FlushTLB, round >> 4 & 3, 0, 0, 0, 0);
    }
}

static void other_tables(void)
{
    uint32_t cr3 = read_cr3();

    while (!READ_ONCE(stop)) {
        change_tables(other_rounds++);
        vmi_call(VMI_CALL_SetCR3, cr3, 0, 0, 0, 0);
    }
}

/* Run @other on the other CPU, and @fn here so many times. */
static void together(const char *what, void (*other)(void),
                     void (*fn)(unsigned round), unsigned rounds)
{
    uint32_t cr3 = read_cr3();
    unsigned bad = 0;
    uint64_t hz;

    stop = false;
    other_rounds = 0;
    ap_start_run(1, other);
    while (!READ_ONCE(other_rounds)) {
        cpu_pause();
    }
    for (unsigned i = 0; i < rounds; i++) {
        fn(i);
        bad += vmi_frequency() != 1000000000;
    }
    vmi_call(VMI_CALL_SetCR3, cr3, 0, 0, 0, 0);
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    stop = true;
    ap_finish_run(1);
    hz = vmi_frequency();
    report(!bad && hz == 1000000000,
           text("no answer is wrong while %s", what),
           "%u of %u and %u rounds, %llu Hz", bad, rounds, other_rounds, hz);
}

static void nothing(unsigned round)
{
}

void guest_main(void)
{
    VMIAPState state;
    bool on;

    vmi_setup();
    pic_init();
    apic_init();
    apic_write(APIC_LVTT, APIC_MASKED);
    smp_cpus = 2;
    state = ap_good_state(1);
    ap_boot(1, &state, SEND_OFFSET);
    on = ap_wait(0);
    if (!report(on, "the second CPU starts", "%u", ap_started)) {
        report_end();
    }
    together("the other CPU calls VMI_Init", init_again, nothing, ROUNDS);
    together("both CPUs make calls with garbage", other_garbage, make_garbage,
             ROUNDS);
    together("both CPUs change page tables and address spaces", other_tables,
             change_tables, ROUNDS);
    together("the other CPU makes calls with garbage, this one changes page "
             "tables", other_garbage, change_tables, ROUNDS);
    report_end();
}
