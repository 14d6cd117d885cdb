/*
 * Alarms: together, in Halt, with the PIT, by the local APIC
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "alarm.h"
#include "desc.h"

#define HALTS 200

static const char *name(const char *fact)
{
    return text("%s (%s)", fact, alarm_route);
}

void test_both(void)
{
    uint64_t far = alarm_ms(1000000);
    uint32_t first, second;
    bool ok;

    alarm_reset();
    vmi_set_alarm(alarm_flag | VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + far, 0);
    vmi_set_alarm(alarm_flag | VMI_CYCLES_AVAILABLE,
                  vmi_counter(VMI_CYCLES_AVAILABLE) + far, 0);
    first = vmi_cancel_alarm(VMI_CYCLES_REAL);
    second = vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report(first == 1 && second == 1,
           name("the two alarms of a CPU are armed apart"), "%u, %u", first,
           second);

    /* One at a time, or the second might join the first one's interrupt. */
    vmi_set_alarm(alarm_flag | VMI_CYCLES_AVAILABLE,
                  vmi_counter(VMI_CYCLES_AVAILABLE) + far, 0);
    vmi_set_alarm(alarm_flag | VMI_CYCLES_REAL, 0, 0);
    ok = alarm_wait(1);
    second = vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report(ok && second == 1, name("one alarm fires and leaves the other be"),
           "%u interrupts, CancelAlarm: %u", alarm_count, second);
    vmi_set_alarm(alarm_flag | VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + far, 0);
    vmi_set_alarm(alarm_flag | VMI_CYCLES_AVAILABLE, 0, 0);
    ok = alarm_wait(2);
    first = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(ok && first == 1, name("so does the other"),
           "%u interrupts, CancelAlarm: %u", alarm_count, first);
}

void test_no_alarm(void)
{
    static const uint32_t counters[] = { 2, 3, 0x55, 0xff };
    uint32_t armed;

    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
        uint32_t flags = alarm_flag | counters[i];

        alarm_reset();
        vmi_set_alarm(alarm_flag | VMI_CYCLES_REAL,
                      vmi_counter(VMI_CYCLES_REAL) + alarm_ms(100000), 0);
        vmi_set_alarm(flags, 0, 0);
        vmi_set_alarm(flags | VMI_ALARM_PERIODIC, 0, alarm_ms(1));
        alarm_spend(5);
        armed = vmi_cancel_alarm(flags);
        report(!alarm_count && !armed,
               name(text("SetAlarm on counter %u has no effect", counters[i])),
               "%u interrupts, CancelAlarm: %u", alarm_count, armed);
        armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
        report(armed == 1, name(text("it leaves the real alarm alone, %u",
                                     counters[i])), "CancelAlarm: %u", armed);
    }
}

/* Interrupts are off before Halt; if a wake-up is lost, this hangs. */
void test_halt(void)
{
    uint32_t seed = 12345, early = 0, woken = 0;

    for (unsigned i = 0; i < HALTS; i++) {
        uint64_t expiry;

        seed = seed * 1103515245 + 12345;
        alarm_reset();
        expiry = vmi_counter(VMI_CYCLES_REAL) +
                 alarm_hz / 1000000 * ((seed >> 16) % 100);
        vmi_set_alarm(alarm_flag | VMI_CYCLES_REAL, expiry, 0);
        while (!READ_ONCE(alarm_count)) {
            vmi_halt();
            cli();
        }
        woken++;
        early += alarm_real[0] < expiry;
    }
    report(woken == HALTS && !early, name("an alarm always wakes from Halt"),
           "%u of %u, %u early", woken, HALTS, early);
}

/* The PIT goes on alone when no alarm is used: IRQ 0 is still its own. */
static void check_pit(const char *fact, uint8_t vector)
{
    const unsigned hz = 500;
    uint64_t start, ms;
    uint32_t limit;

    vector_count[vector] = 0;
    count_vector(vector);
    start = vmi_counter(VMI_CYCLES_REAL);
    pit_periodic(hz);
    sti();
    while (READ_ONCE(vector_count[vector]) < 20 &&
           vmi_counter(VMI_CYCLES_REAL) - start < alarm_ms(30000)) {
        cpu_pause();
    }
    cli();
    ms = (vmi_counter(VMI_CYCLES_REAL) - start) / alarm_ms(1);
    limit = 2 + ms * hz / 1000;
    report(vector_count[vector] >= 20 && vector_count[vector] <= limit,
           name(fact), "%u ticks in %llu ms", vector_count[vector], ms);
    pit_park();
    sti_nop_cli();
}

void test_pit(void)
{
    if (alarm_flag) {
        pic_unmask(0);
        alarm_reset();
        vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | VMI_CYCLES_REAL,
                      vmi_counter(VMI_CYCLES_REAL), alarm_ms(1));
        check_pit("the PIT ticks as set beside an alarm on LVTT", PIC_VECTOR);
        vmi_cancel_alarm(VMI_CYCLES_REAL);
        sti_nop_cli();
        return;
    }
    check_pit("the PIT ticks as set after alarms used its line",
              guest_has_arg("ioapic") ? IOAPIC_VECTOR : PIC_VECTOR);
}

static void write_lvtt(uint32_t value, bool by_call)
{
    if (by_call) {
        vmi_call(VMI_CALL_APICWrite, APIC_LVTT, value, 0, 0, 0);
    } else {
        apic_write(APIC_LVTT, value);
    }
}

/*
 * Linux arms the alarm of a processor that starts just before it unmasks
 * LVTT, and the host may be slow in between.
 */
static void expire_under_mask(uint32_t flags, uint64_t period, bool by_call)
{
    uint64_t expiry = vmi_counter(VMI_CYCLES_REAL) + alarm_ms(1) / 10;

    alarm_reset();
    write_lvtt(APIC_MASKED | LVTT_VECTOR, by_call);
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL | flags, expiry, period);
    while (vmi_counter(VMI_CYCLES_REAL) < expiry) {
        cpu_pause();
    }
    alarm_spend(20);
}

static void check_masked(bool by_call)
{
    const char *by = by_call ? "by call" : "by a store";
    uint32_t armed;
    bool came;

    expire_under_mask(0, 0, by_call);
    report(!alarm_count, text("an alarm does not fire while LVTT is masked "
                              "(%s)", by), "%u interrupts", alarm_count);
    write_lvtt(LVTT_VECTOR, by_call);
    came = alarm_wait(1);
    report(came, text("an alarm that expired under the mask fires at the "
                      "unmasking (%s)", by), "%u interrupts", alarm_count);
    alarm_spend(10);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(alarm_count == 1 && !armed,
           text("it fires once (%s)", by), "%u interrupts, CancelAlarm: %u",
           alarm_count, armed);

    expire_under_mask(0, 0, by_call);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    write_lvtt(LVTT_VECTOR, by_call);
    alarm_spend(150);
    report(!alarm_count && armed,
           text("an alarm that is cancelled under the mask does not fire (%s)",
                by), "%u interrupts, CancelAlarm: %u", alarm_count, armed);

    expire_under_mask(0, 0, by_call);
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + alarm_ms(1000000), 0);
    write_lvtt(LVTT_VECTOR, by_call);
    alarm_spend(150);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(!alarm_count && armed,
           text("an alarm that is replaced under the mask does not fire (%s)",
                by), "%u interrupts, CancelAlarm: %u", alarm_count, armed);

    expire_under_mask(VMI_ALARM_PERIODIC, alarm_ms(1000000), by_call);
    write_lvtt(LVTT_VECTOR, by_call);
    came = alarm_wait(1);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(came && armed, text("a periodic alarm that expired under the mask "
                               "fires at the unmasking (%s)", by),
           "%u interrupts, CancelAlarm: %u", alarm_count, armed);
    sti_nop_cli();
}

void test_lvtt(void)
{
    check_masked(false);
    if (vmi_type[VMI_CALL_APICWrite] == VMI_RELOCATION_NONE) {
        report_skip("LVTT masked by call", "the guest writes by itself");
    } else {
        check_masked(true);
    }

    alarm_reset();
    apic_write(APIC_LVTT, APIC_MASKED | LVTT_VECTOR);
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_ALARM_PERIODIC | VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL), alarm_ms(1));
    apic_write(APIC_LVTT, LVTT_VECTOR);
    report(alarm_wait(3), "an alarm armed under the mask fires after it",
           "%u interrupts", alarm_count);
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    sti_nop_cli();

    /* The entry's own mode and count do not matter: another vector does. */
    alarm_reset();
    vector_count[IPI_VECTOR] = 0;
    apic_write(APIC_LVTT, IPI_VECTOR);
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL, 0, 0);
    sti();
    while (!READ_ONCE(vector_count[IPI_VECTOR])) {
        cpu_pause();
    }
    cli();
    report(vector_count[IPI_VECTOR] == 1 && !alarm_count,
           "the vector is what LVTT has when the alarm expires",
           "%u, %u interrupts", vector_count[IPI_VECTOR], alarm_count);

    apic_write(APIC_LVTT, 3);
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL, 0, 0);
    alarm_spend(10);
    report(!alarm_count, "an alarm with a vector below 16 is survived",
           "%u interrupts", alarm_count);
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    apic_write(APIC_LVTT, LVTT_VECTOR);
}
