/*
 * Alarms: one-shot and periodic
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "alarm.h"
#include "desc.h"

static const char *const counters[] = { "real", "available" };

/* "fact, route, counter" */
static const char *name(const char *fact, unsigned counter)
{
    return text("%s (%s, %s)", fact, alarm_route, counters[counter]);
}

static uint64_t came_at(unsigned counter, unsigned i)
{
    return counter == VMI_CYCLES_REAL ? alarm_real[i] : alarm_available[i];
}

/* A one-shot alarm fires once, not before its expiry, and is then gone. */
static void check_one_shot(unsigned counter, const char *what,
                           uint64_t expiry, uint32_t flags, uint64_t period)
{
    bool came;
    uint32_t armed;

    alarm_reset();
    vmi_set_alarm(alarm_flag | flags | counter, expiry, period);
    came = alarm_wait(1);
    report(came, name(text("%s fires", what), counter), "%u interrupts",
           alarm_count);
    report(came && came_at(counter, 0) >= expiry,
           name(text("%s is not early", what), counter), "at %llu, expiry %llu",
           came_at(counter, 0), expiry);
    alarm_spend(10);
    report(alarm_count == 1, name(text("%s fires once", what), counter),
           "%u interrupts", alarm_count);
    armed = vmi_cancel_alarm(alarm_flag | counter);
    report(!armed, name(text("%s is not armed afterwards", what), counter),
           "CancelAlarm: %u", armed);
}

void test_one_shot(unsigned counter)
{
    check_one_shot(counter, "a one-shot alarm",
                   vmi_counter(counter) + alarm_ms(5), 0, 0);
    check_one_shot(counter, "a one-shot alarm with a period that is ignored",
                   vmi_counter(counter) + alarm_ms(5), 0, alarm_ms(1));
    check_one_shot(counter, "an alarm with the periodic flag and period 0",
                   vmi_counter(counter) + alarm_ms(5), VMI_ALARM_PERIODIC, 0);
    check_one_shot(counter, "an alarm whose expiry has passed",
                   vmi_counter(counter) - 1, 0, 0);
    check_one_shot(counter, "an alarm with expiry 0", 0, 0, 0);
}

/*
 * Arm for 40 ms from now and replace or cancel that in time.  Returns the
 * answer of CancelAlarm; a busy host may need another try.
 */
static uint32_t arm_and_cancel(unsigned counter, uint64_t *expiry)
{
    uint32_t armed = 0;

    for (unsigned tries = 0; tries < 50 && !armed; tries++) {
        if (tries) {
            alarm_spend(1);             /* take the one that has fired */
        }
        alarm_reset();
        *expiry = vmi_counter(counter) + alarm_ms(40);
        vmi_set_alarm(alarm_flag | counter, *expiry, 0);
        armed = vmi_cancel_alarm(alarm_flag | counter);
    }
    return armed;
}

static bool arm_and_replace(unsigned counter, uint64_t far)
{
    for (unsigned tries = 0; tries < 50; tries++) {
        uint64_t expiry = vmi_counter(counter) + alarm_ms(40);

        alarm_reset();
        vmi_set_alarm(alarm_flag | counter, expiry, 0);
        vmi_set_alarm(alarm_flag | counter, far, 0);
        if (vmi_counter(counter) < expiry) {
            return true;
        }
        alarm_spend(1);
    }
    return false;
}

void test_replace_and_cancel(unsigned counter)
{
    uint64_t far = vmi_counter(counter) + alarm_ms(1000000), expiry = 0;
    uint32_t armed;
    bool ok;

    ok = arm_and_replace(counter, far);
    alarm_spend(60);
    report(ok && !alarm_count, name("an alarm replaced by a later one does "
                                    "not fire", counter), "%u interrupts",
           alarm_count);
    expiry = vmi_counter(counter) + alarm_ms(2);
    vmi_set_alarm(alarm_flag | counter, expiry, 0);
    ok = alarm_wait(1);
    report(ok && came_at(counter, 0) >= expiry,
           name("an alarm replaced by an earlier one fires then", counter),
           "at %llu, expiry %llu", came_at(counter, 0), expiry);

    armed = arm_and_cancel(counter, &expiry);
    report(armed == 1, name("CancelAlarm of an armed alarm answers 1",
                            counter), "%u", armed);
    armed = vmi_cancel_alarm(alarm_flag | counter);
    report(!armed, name("CancelAlarm again answers 0", counter), "%u", armed);
    alarm_spend(60);
    report(!alarm_count && vmi_counter(VMI_CYCLES_REAL) > expiry,
           name("a cancelled alarm does not fire", counter), "%u interrupts",
           alarm_count);
    /* The period and the route do not matter to CancelAlarm. */
    vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | counter, far, 12345);
    armed = vmi_cancel_alarm((alarm_flag ^ VMI_ALARM_LVTT) | counter);
    report(armed == 1, name("CancelAlarm with other flags finds the alarm",
                            counter), "%u", armed);
}

/* How many expiries e0 + i * period there are up to now */
static uint64_t expiries(uint64_t e0, uint64_t period, uint64_t now)
{
    return now < e0 ? 0 : (now - e0) / period + 1;
}

static void check_grid(unsigned counter, uint64_t e0, uint64_t period)
{
    uint32_t early = 0, off = 0;
    uint64_t worst = 0;

    for (unsigned i = 0; i < MIN(alarm_count, ALARM_RECORDS); i++) {
        uint64_t at = came_at(counter, i), nth = expiries(e0, period, at);

        early += nth < i + 1;
        worst = MAX(worst, (at - e0) % period);
        off += (at - e0) % period > period / 50;
    }
    report(!early, name("a periodic alarm fires no more often than it expires",
                        counter), "%u of %u were early", early, alarm_count);
    if (guest_has_arg("icount")) {
        report(!off, name("a periodic alarm fires at e0 + i * period, exactly",
                          counter), "latest %llu of %llu cycles", worst,
               period);
    }
}

void test_periodic(unsigned counter)
{
    uint64_t period = alarm_ms(2) + 7, e0, before, after, possible;
    uint32_t count, armed;
    bool ok;

    alarm_reset();
    e0 = vmi_counter(counter) + alarm_ms(3);
    vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | counter, e0, period);
    ok = alarm_wait(20);
    count = alarm_count;
    possible = expiries(e0, period, vmi_counter(counter));
    report(ok && count <= possible,
           name("a periodic alarm fires again and again, not too often",
                counter), "%u interrupts, %llu expiries", count, possible);
    check_grid(counter, e0, period);

    armed = vmi_cancel_alarm(alarm_flag | counter);
    sti_nop_cli();
    alarm_reset();
    alarm_spend(10);
    report(armed == 1 && !alarm_count,
           name("a cancelled periodic alarm fires no more", counter),
           "CancelAlarm: %u, %u interrupts", armed, alarm_count);

    /* Ten periods with interrupts off: one interrupt is latched. */
    period = alarm_ms(5);
    alarm_reset();
    e0 = vmi_counter(counter) + alarm_ms(1);
    vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | counter, e0, period);
    while (vmi_counter(counter) < e0 + 10 * period) {
        cpu_pause();
    }
    /* The host may need some time to notice that it is late, or more. */
    before = expiries(e0, period, vmi_counter(counter));
    delay_ms(1);
    sti_nop_cli();
    count = alarm_count;
    after = expiries(e0, period, vmi_counter(counter));
    vmi_cancel_alarm(alarm_flag | counter);
    sti_nop_cli();
    report(count <= 2 + after - before,
           name("late periods are dropped, not queued", counter),
           "%u interrupts after %llu expiries with interrupts off", count,
           before);

    /* An e0 long ago: the past is dropped, too. */
    alarm_reset();
    before = vmi_counter(counter);
    vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | counter, 1, alarm_ms(4));
    alarm_spend(10);
    count = alarm_count;
    after = vmi_counter(counter);
    vmi_cancel_alarm(alarm_flag | counter);
    sti_nop_cli();
    possible = 2 + (after - before) / alarm_ms(4);
    report(count <= possible,
           name("a periodic alarm that begins in the past does not catch up",
                counter), "%u interrupts, at most %llu", count, possible);

    /* As often as can be: neither the guest nor the host hangs. */
    alarm_reset();
    vmi_set_alarm(alarm_flag | VMI_ALARM_PERIODIC | counter, 0, 1);
    ok = alarm_wait(20);
    armed = vmi_cancel_alarm(alarm_flag | counter);
    report(ok && armed == 1, name("a period of 1 cycle is survived", counter),
           "%u interrupts, CancelAlarm: %u", alarm_count, armed);
    sti_nop_cli();
    alarm_reset();
    alarm_spend(5);
    report(!alarm_count, name("a period of 1 cycle ends with CancelAlarm",
                              counter), "%u interrupts", alarm_count);
}
