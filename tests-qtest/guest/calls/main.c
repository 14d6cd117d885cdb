/*
 * Every call does its work, and keeps the registers that it must keep
 *
 * Each is made from a patched call site and by function pointer, with paging
 * as the command line has it: nothing, paging32 or pae.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"
#include "irq.h"

static void test_time_calls(void)
{
    Invoke a, b, c;
    uint32_t cancelled;

    if (!calls_served(VMI_CALL_GetCycleFrequency)) {
        report_skip("timer calls", "switched off");
        return;
    }
    a = calls_make(VMI_CALL_GetCycleFrequency, NULL);
    b = calls_make(VMI_CALL_GetCycleFrequency, NULL);
    report(a.eax == b.eax && a.edx == b.edx && (a.eax || a.edx),
           text("GetCycleFrequency is constant, %s", calls_how()),
           "0x%x:%x", a.edx, a.eax);
    for (unsigned i = 0; i < 3; i++) {
        calls_make(VMI_CALL_GetCycleCounter, ARGS(i));
    }
    calls_make(VMI_CALL_GetWallclockTime, NULL);
    calls_make(VMI_CALL_WallclockUpdated, NULL);

    /* Arguments on the stack: expiry and period, a long time from now */
    a = calls_make(VMI_CALL_GetCycleCounter, ARGS(0));
    calls_make(VMI_CALL_SetAlarm, ARGS(VMI_CYCLES_REAL, a.eax,
                                       a.edx + 0x1000, 1, 0));
    c = calls_make(VMI_CALL_CancelAlarm, ARGS(VMI_CYCLES_REAL));
    cancelled = c.eax;
    c = calls_make(VMI_CALL_CancelAlarm, ARGS(VMI_CYCLES_REAL));
    report(cancelled == 1 && !c.eax,
           text("CancelAlarm answers 1, then 0, %s", calls_how()),
           "%u, %u", cancelled, c.eax);
}

static void test_tsc_call(void)
{
    uint64_t outer, inner, tsc, a, b, c, d;
    Invoke s;

    s = calls_make(VMI_CALL_RDTSC, NULL);
    tsc = (uint64_t)s.edx << 32 | s.eax;
    s = calls_make(VMI_CALL_RDTSC, NULL);
    report(((uint64_t)s.edx << 32 | s.eax) >= tsc,
           text("RDTSC does not go back, %s", calls_how()), "0x%x:%08x",
           s.edx, s.eax);
    if (!calls_served(VMI_CALL_GetCycleCounter)) {
        return;
    }
    /* The time between two readings, from without and from within */
    a = vmi_counter(VMI_CYCLES_REAL);
    tsc = vmi_call(VMI_CALL_RDTSC, 0, 0, 0, 0, 0);
    b = vmi_counter(VMI_CYCLES_REAL);
    delay_ms(20);
    c = vmi_counter(VMI_CYCLES_REAL);
    tsc = vmi_call(VMI_CALL_RDTSC, 0, 0, 0, 0, 0) - tsc;
    d = vmi_counter(VMI_CYCLES_REAL);
    outer = d - a;
    inner = c - b;
    /* Rounding of another clock may cost a cycle or two. */
    report(tsc + 2 >= inner && tsc <= outer + 2,
           text("RDTSC runs at GetCycleFrequency, %s", calls_how()),
           "%llu ticks in %llu to %llu cycles", tsc, inner, outer);
}

void test_other_calls(void)
{
    test_time_calls();
    if (calls_served(VMI_CALL_RDTSC)) {
        test_tsc_call();
    }
    for (unsigned i = 0; i < 3; i++) {
        calls_make(VMI_CALL_SetLazyMode, ARGS(i));
    }
    calls_make(VMI_CALL_IODelay, NULL);
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    for (unsigned i = 0; i < 2; i++) {
        calls_by_pointer = i;
        test_cpu_calls();
        test_table_calls();
        test_irq_calls();
        test_mmu_calls();
        test_other_calls();
    }
    report_end();
}
