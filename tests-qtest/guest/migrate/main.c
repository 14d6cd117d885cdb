/*
 * Migration and snapshots, seen from inside
 *
 * The host moves this program from one QEMU to another, again and again, and
 * waits each time for the line "# round N".  WallclockUpdated tells that it
 * has happened.  A round is of one of three kinds, in turn:
 *   running  interrupts on, alarms armed on all CPUs
 *   held     interrupts off on CPU 0, whose alarms have expired already
 *   staged   CPU 1 stopped by INIT, its next state given; the others running
 *
 * Arguments: rounds=N; cpus=N; swap: the one-shot alarms come as IRQ 0 and
 * the periodic ones by LVTT; old-rom: call a slot that only the ROM of the
 * first QEMU has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migrate.h"

/* In the ROM that the first QEMU has, this number's slot returns the mark. */
#define OLD_ROM_CALL 49
#define OLD_ROM_MARK 0x01d401d4

static uint64_t frequency;
static uint32_t updates;

static void set_lazy(uint32_t mode)
{
    if (vmi_type[VMI_CALL_SetLazyMode] != VMI_RELOCATION_NONE) {
        vmi_call(VMI_CALL_SetLazyMode, mode, 0, 0, 0, 0);
    }
}

static void lazy_begin(uint32_t *page)
{
    uint32_t entry = (uint32_t)page | PTE_PRESENT | PTE_WRITE;
    uint32_t flags = PLAY_BASE | VMI_PAGE_CURRENT_AS | VMI_PAGE_DEFER |
                     VMI_PAGE_PT;

    set_lazy(VMI_LAZY_MMU);
    *page = round_number;
    if (paging_mode() == PAGING_PAE) {
        vmi_call(VMI_CALL_SetPxELong, entry, 0,
                 (uint32_t)paging_entry(PLAY_BASE), flags, 0);
    } else {
        vmi_call(VMI_CALL_SetPxE, entry, (uint32_t)paging_entry(PLAY_BASE),
                 flags, 0, 0);
    }
}

static void lazy_end(void)
{
    set_lazy(VMI_LAZY_NONE);
    vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0);
    check(LAZY, AT(uint32_t, PLAY_BASE) == round_number);
}

static void check_old_rom(void)
{
    uint32_t slot = (uint32_t)vmi_rom + VMI_ROM_NATIVE_SLOTS +
                    OLD_ROM_CALL * VMI_ROM_SLOT_SIZE;

    if (guest_has_arg("old-rom")) {
        check(OLD_ROM, (uint32_t)vmi_do_call(slot, 0, 0, 0, 0, 0) ==
                       OLD_ROM_MARK);
    }
}

static void check_rest(uint64_t wall)
{
    uint64_t now = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);

    check(WALL, now >= wall);
    check(FREQUENCY, vmi_frequency() == frequency);
    check_old_rom();
}

static void wait_for_host(const char *kind)
{
    uint32_t before = updates;
    uint64_t wall = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);

    printf("# round %u, %s\n", round_number, kind);
    do {
        check_time();
        check_shots();
        updates += vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);
    } while (updates == before);
    check_rest(wall);
}

/* The host sees to it that this much happens only once in a round. */
static void expect_no_update(void)
{
    uint32_t more = 0;

    for (unsigned i = 0; i < 20; i++) {
        delay_ms(1);
        check_time();
        more += vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);
    }
    check(UPDATED, !more);
}

static void running_round(void)
{
    alarms_start();
    wait_for_host("running");
    expect_no_update();
    alarms_stop();
}

static void held_round(void)
{
    alarms_hold(round_number % 2);
    wait_for_host("held");
    alarms_release();
    expect_no_update();
}

static void staged_round(void)
{
    VMIAPState state = ap_good_state(1);
    uint32_t before = ap_started;
    bool ok;

    state.eax = 0x57a60000 + round_number;
    ap_send(1, ICR_INIT, SEND_OFFSET);
    ap_set_state(&state, 1);
    memset(&state, 0xff, sizeof(state));
    alarms_start();
    wait_for_host("staged");
    ap_send(1, ICR_STARTUP | REAL_MODE_PAGE, SEND_OFFSET);
    ap_send(1, ICR_STARTUP | REAL_MODE_PAGE, SEND_OFFSET);
    ok = ap_wait(before);
    check(STARTED, ok && ap_seen.eax == 0x57a60000 + round_number);
    if (!ok) {
        printf("Bail out! CPU 1 does not start\n");
        guest_exit(false);
    }
    expect_no_update();
    alarms_stop();
}

static bool aps_run;

static void ap_loop(void)
{
    alarms_start();
    while (READ_ONCE(aps_run)) {
        check_time();
        check_shots();
    }
    alarms_stop();
}

static void one_round(void)
{
    static uint32_t page[2][PAGE_SIZE / 4] __attribute__((aligned(PAGE_SIZE)));
    unsigned kind = round_number % 3, first = kind == 2 ? 2 : 1;

    lazy_begin(page[round_number % 2]);
    aps_run = true;
    for (unsigned id = first; id < smp_cpus; id++) {
        ap_start_run(id, ap_loop);
    }
    switch (kind) {
    case 0:
        held_round();
        break;
    case 2:
        if (smp_cpus > 1) {
            staged_round();
            break;
        }
        /* fall through */
    default:
        running_round();
        break;
    }
    aps_run = false;
    for (unsigned id = first; id < smp_cpus; id++) {
        ap_finish_run(id);
    }
    lazy_end();
}

void guest_main(void)
{
    unsigned rounds = guest_arg_number("rounds", 1);

    vmi_setup();
    smp_cpus = guest_arg_number("cpus", 1);
    frequency = vmi_frequency();
    vmi_patch_call(patched_site, vmi_address[VMI_CALL_GetCycleCounter]);
    alarms_init(guest_has_arg("swap"));
    ap_start_all();
    check_old_rom();
    while (round_number < rounds) {
        round_number++;
        one_round();
    }
    check(UPDATED, updates == rounds);
    alarms_report();
    check_report();
    report_end();
}
