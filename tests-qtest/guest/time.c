/*
 * Cycle counters and the wall clock
 *
 * Arguments: hz=N the device's cycle-frequency; icount; replay: wall time is
 * the host's, and virtual time is not; before-1970: it is not 1970 yet, but
 * will be soon.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "irq.h"
#include "vmi.h"

#define NS 1000000000ull
#define READINGS 10000

static uint64_t hz;

static void test_frequency(void)
{
    uint64_t want = guest_arg_number("hz", 1000000000);
    bool same = true;

    hz = vmi_frequency();
    report(hz == want, "GetCycleFrequency is the device's cycle-frequency",
           "%llu, property %llu", hz, want);
    for (unsigned i = 0; i < 1000; i++) {
        same &= vmi_frequency() == hz;
    }
    report(same, "GetCycleFrequency is constant", "%s", same ? "yes" : "no");
}

static void test_monotonic(void)
{
    static const char *const names[] = { "real", "available", "stolen" };
    uint64_t last[3] = { 0 }, first[3], back[3] = { 0 };

    for (unsigned i = 0; i < READINGS; i++) {
        for (unsigned counter = 0; counter < 3; counter++) {
            uint64_t now = vmi_counter(counter);

            if (!i) {
                first[counter] = now;
            } else if (now < last[counter]) {
                back[counter]++;
            }
            last[counter] = now;
        }
    }
    for (unsigned counter = 0; counter < 3; counter++) {
        report(!back[counter], text("the %s counter does not go back",
                                    names[counter]),
               "%llu times in %u, %llu to %llu", back[counter], READINGS,
               first[counter], last[counter]);
    }
    report(last[0] > first[0], "the real counter advances", "by %llu",
           last[0] - first[0]);
    report(last[1] > first[1], "the available counter advances", "by %llu",
           last[1] - first[1]);
}

/* Read one after the other, so the sum lies between two real readings. */
static void test_sum(void)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < READINGS; i++) {
        uint64_t before = vmi_counter(VMI_CYCLES_REAL);
        uint64_t stolen = vmi_counter(VMI_CYCLES_STOLEN);
        uint64_t available = vmi_counter(VMI_CYCLES_AVAILABLE);
        uint64_t stolen_after = vmi_counter(VMI_CYCLES_STOLEN);
        uint64_t after = vmi_counter(VMI_CYCLES_REAL);

        if (stolen_after + available < before || stolen + available > after) {
            bad++;
        }
    }
    report(!bad, "real = available + stolen", "%u of %u readings do not fit",
           bad, READINGS);
}

static void test_unknown(void)
{
    static const uint32_t counters[] = { 3, 4, 0x100, 0x80000000, 0xffffffff };

    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
        uint64_t value = vmi_counter(counters[i]);

        report(!value, text("counter 0x%x reads 0", counters[i]), "%llu",
               value);
    }
}

static uint64_t cycles_to_ns(uint64_t cycles)
{
    return cycles * 1000000 / (hz / 1000);
}

/*
 * A reading may come late by as long as the host takes the CPU away, so each
 * end of the interval is a bracket.
 */
static void test_rate(void)
{
    uint64_t least, most, elapsed = 0, a, b, c, d;
    uint32_t last, now;

    a = vmi_counter(VMI_CYCLES_REAL);
    last = pm_timer_read();
    b = vmi_counter(VMI_CYCLES_REAL);
    do {
        c = vmi_counter(VMI_CYCLES_REAL);
        now = pm_timer_read();
        d = vmi_counter(VMI_CYCLES_REAL);
        elapsed += (now - last) & 0xffffff;
        last = now;
    } while (elapsed < PM_TIMER_HZ / 5);
    elapsed = elapsed * NS / PM_TIMER_HZ;
    least = cycles_to_ns(c - b);
    most = cycles_to_ns(d - a);
    report(least * 95 / 100 <= elapsed && elapsed <= most * 105 / 100,
           "the real counter runs at the frequency, by the ACPI PM timer",
           "%llu ns, by the counter %llu to %llu", elapsed, least, most);
}

static void test_wallclock(void)
{
    uint64_t before, wall, after, later;

    before = rtc_seconds();
    wall = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);
    after = rtc_seconds();
    report(wall / NS + 2 >= before && wall / NS <= after + 2,
           "the wall clock is the CMOS clock within 2 s",
           "%llu.%09llu s, CMOS %llu to %llu", wall / NS, wall % NS, before,
           after);
    delay_ms(50);
    later = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);
    report(later >= wall + (guest_has_arg("replay") ? 1 : 40000000) &&
           later < wall + 60 * NS,
           "the wall clock advances in ns", "50 ms or more: %llu ns",
           later - wall);
}

static void test_wallclock_updated(void)
{
    uint32_t first = vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);
    uint32_t second = vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);

    report(!first && !second, "WallclockUpdated is 0 while nothing happened",
           "%u, %u", first, second);
}

static void test_before_1970(void)
{
    uint64_t wall = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + 60 * hz;

    report(!wall, "the wall clock reads 0 before 1970", "%llu", wall);
    while (!wall && vmi_counter(VMI_CYCLES_REAL) < end) {
        wall = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);
    }
    report(wall && wall < 60 * NS, "and begins to count in 1970", "%llu ns",
           wall);
}

void guest_main(void)
{
    vmi_setup();
    test_frequency();
    if (guest_has_arg("before-1970")) {
        test_before_1970();
        report_end();
    }
    test_monotonic();
    test_sum();
    test_unknown();
    test_wallclock_updated();
    test_rate();
    test_wallclock();
    if (guest_has_arg("icount")) {
        uint64_t stolen = vmi_counter(VMI_CYCLES_STOLEN);

        report(!stolen, "nothing is stolen under icount", "%llu", stolen);
    }
    report_end();
}
