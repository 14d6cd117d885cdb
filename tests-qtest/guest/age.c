/*
 * Counters and alarms of a machine that has been running for years
 *
 * In each round, the host moves this program to another QEMU, whose clock is so
 * far ahead that the real counter soon reaches a power of two.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "irq.h"
#include "vmi.h"

static uint32_t ticks;
static uint64_t first_tick, expiry;

static void handle_alarm(Frame *frame)
{
    if (!ticks++) {
        first_tick = vmi_counter(VMI_CYCLES_REAL);
    }
    apic_write(APIC_EOI, 0);
}

/* Each reading is between the one before and the one after. */
static unsigned read_past(uint64_t target, uint64_t end)
{
    uint64_t real = vmi_counter(VMI_CYCLES_REAL), available = 0;
    unsigned bad = 0;

    do {
        uint64_t last = real, seen = available, stolen;

        stolen = vmi_counter(VMI_CYCLES_STOLEN);
        available = vmi_counter(VMI_CYCLES_AVAILABLE);
        real = vmi_counter(VMI_CYCLES_REAL);
        bad += real < last || available < seen || stolen + available > real;
    } while (real < target + end);
    return bad;
}

static void test_passage(unsigned bits)
{
    uint64_t hz = vmi_frequency(), target = 1ull << bits, wait = hz / 4;
    uint64_t now = vmi_counter(VMI_CYCLES_REAL);
    unsigned bad;

    report(now > target - 10 * hz, text("the machine's clock is about 2^%u "
           "cycles", bits), "%llx", now);

    ticks = 0;
    expiry = target + wait;
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, expiry, 0);
    sti();
    bad = read_past(target, 0);
    report(!ticks || first_tick >= expiry, text("2^%u: no alarm comes because "
           "the counter passes it", bits), "%u", ticks);
    bad += read_past(target, wait);
    for (unsigned i = 0; i < 3000 && !READ_ONCE(ticks); i++) {
        delay_ms(10);
    }
    cli();
    report(!bad, text("2^%u: no counter goes back, and the sum is right",
                      bits), "%u readings are bad", bad);
    report(ticks == 1 && first_tick >= expiry,
           text("2^%u: an alarm beyond comes, and not before its time", bits),
           "%u, at %llx, set for %llx", ticks, first_tick, expiry);

    ticks = 0;
    now = vmi_counter(VMI_CYCLES_AVAILABLE);
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_LVTT | VMI_ALARM_PERIODIC,
                  now + hz / 100, hz / 100);
    sti();
    for (unsigned i = 0; i < 3000 && READ_ONCE(ticks) < 3; i++) {
        delay_ms(10);
    }
    cli();
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report(ticks >= 3, text("2^%u: a period ticks behind it", bits), "%u",
           ticks);
}

void guest_main(void)
{
    static const unsigned rounds[] = { 42, 54, 63 };

    pic_init();
    pit_park();
    vmi_setup();
    apic_init();
    set_handler(LVTT_VECTOR, handle_alarm);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    for (unsigned i = 0; i < ARRAY_SIZE(rounds); i++) {
        printf("# round %u\n", rounds[i]);
        while (!vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0)) {
            cpu_pause();
        }
        test_passage(rounds[i]);
    }
    report_end();
}
