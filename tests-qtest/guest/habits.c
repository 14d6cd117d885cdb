/*
 * What some versions of Linux do with calls that others use otherwise
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "irq.h"
#include "vmi.h"

static uint32_t on_irq0, on_lvtt;

static void handle_irq0(Frame *frame)
{
    on_irq0++;
    outb(0x20, 0x20);
}

static void handle_lvtt(Frame *frame)
{
    on_lvtt++;
    apic_write(APIC_EOI, 0);
}

/* Interrupts are on until a counter has grown so much, or 30 s have passed. */
static bool wait_for(uint32_t *counter, uint32_t more)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + 30 * vmi_frequency();
    uint32_t wanted = *counter + more;

    sti();
    while (READ_ONCE(*counter) < wanted &&
           vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    cli();
    return *counter >= wanted;
}

/*
 * All of them set the ticking PIT to mode 5 and write no count, before they arm
 * their first alarm.  It must not tick any more: the interrupt may come to a
 * processor that is not ready for it.
 */
static void test_pit(void)
{
    uint32_t before;
    bool ticks;

    pit_periodic(100);
    ticks = wait_for(&on_irq0, 3);
    report(ticks, "the PIT ticks", "%u", on_irq0);
    outb(0x43, 0x3a);
    vmi_set_alarm(VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + 1000 * vmi_frequency(), 0);
    sti();
    delay_ms(200);      /* what was under way */
    before = READ_ONCE(on_irq0);
    delay_ms(300);
    cli();
    report(on_irq0 == before, "it is silent in mode 5, without a count",
           "%u ticks", on_irq0 - before);
    vmi_cancel_alarm(VMI_CYCLES_REAL);
}

/*
 * 2.6.21 boots on a periodic alarm of available time on IRQ 0, and then moves
 * it to the local APIC.
 */
static void test_move_of_timer(void)
{
    uint64_t hz = vmi_frequency(), now = vmi_counter(VMI_CYCLES_AVAILABLE);
    uint32_t stopped;
    bool ticks;

    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, now + hz / 100,
                  hz / 100);
    ticks = wait_for(&on_irq0, 3);
    report(ticks, "2.6.21: a period of available time ticks on "
           "IRQ 0", "%u", on_irq0);

    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    now = vmi_counter(VMI_CYCLES_AVAILABLE);
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC | VMI_ALARM_LVTT,
                  now + hz / 100, hz / 100);
    wait_for(&on_lvtt, 1);
    stopped = on_irq0;
    ticks = wait_for(&on_lvtt, 3);
    report(ticks && on_irq0 == stopped, "2.6.21: cancelled and "
           "armed for LVTT, it ticks there alone", "%u, and %u on IRQ 0",
           on_lvtt, on_irq0 - stopped);
}

/*
 * When it is idle, it stops that alarm and arms a one-shot of real time, for a
 * jiffy that may have passed.  The one-shot may be armed still when the tick
 * goes on.
 */
static void test_idle(void)
{
    uint64_t hz = vmi_frequency(), now = vmi_counter(VMI_CYCLES_REAL);
    uint32_t before, left;
    bool ticks;

    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    before = on_lvtt;
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, now - hz / 100, 0);
    ticks = wait_for(&on_lvtt, 1);
    report(ticks && on_lvtt == before + 1,
           "2.6.21: a one-shot whose time has passed comes at once, and once",
           "%u", on_lvtt - before);

    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, now + 100 * hz, 0);
    now = vmi_counter(VMI_CYCLES_AVAILABLE);
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC | VMI_ALARM_LVTT,
                  now + hz / 100, hz / 100);
    ticks = wait_for(&on_lvtt, 3);
    report(ticks, "2.6.21: beside a one-shot left armed, the "
           "tick goes on", "%u", on_lvtt - before);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    left = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(left, "2.6.21: and the one-shot is there to be cancelled", "%u",
           left);
}

/*
 * 2.6.34 clears a processor's LVTT when it takes it offline.  Then it moves
 * interrupts away from there, and so unmasks LVTT, with the vector 0.
 */
static void test_no_vector(void)
{
    uint64_t hz = vmi_frequency();
    uint32_t before = on_lvtt, left;
    bool comes;

    apic_write(APIC_LVTT, 0);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT,
                  vmi_counter(VMI_CYCLES_REAL) + hz / 1000, 0);
    sti();
    for (unsigned i = 0; i < 3000; i++) {
        delay_ms(10);
        left = vmi_call(VMI_CALL_CancelAlarm, VMI_CYCLES_REAL, 0, 0, 0, 0);
        if (!left) {
            break;
        }
        vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT,
                      vmi_counter(VMI_CYCLES_REAL), 0);
    }
    cli();
    report(!left && on_lvtt == before, "2.6.34: an alarm for vector 0 is gone, "
           "with no interrupt", "%u came, %u armed", on_lvtt - before, left);

    apic_write(APIC_LVTT, LVTT_VECTOR);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT,
                  vmi_counter(VMI_CYCLES_REAL) + hz / 1000, 0);
    comes = wait_for(&on_lvtt, 1);
    report(comes, "2.6.34: when the processor is back, alarms come", "%u",
           on_lvtt - before);
}

/* 2.6.25 to 2.6.26.5 */
static void test_ldt_entry(void)
{
    static uint64_t ldt[8] __attribute__((aligned(8)));
    unsigned changed = 0;

    vmi_call(VMI_CALL_WriteIDTEntry, (uint32_t)ldt, 3, 0x1234ffff, 0x00cff256,
             0);
    for (unsigned i = 0; i < ARRAY_SIZE(ldt); i++) {
        changed += ldt[i] != 0;
    }
    report(ldt[3] == 0x00cff2561234ffff && changed == 1,
           "2.6.25: WriteIDTEntry writes an entry of an LDT", "%llx", ldt[3]);
}

/* 2.6.27 names all that its direct map could have. */
static void test_linear_mapping(void)
{
    uint64_t answer = vmi_call(VMI_CALL_SetLinearMapping, 1, 0xc0000000,
                               0x38000, 0, 0);

    report(answer == (0xc0000000ull << 32 | 1), "2.6.27: SetLinearMapping of "
           "more pages than there are changes nothing", "%llx", answer);
}

void guest_main(void)
{
    pic_init();
    vmi_setup();
    apic_init();
    set_handler(PIC_VECTOR, handle_irq0);
    set_handler(LVTT_VECTOR, handle_lvtt);
    pic_unmask(0);
    test_pit();
    sti_nop_cli();
    pit_park();
    pit_settle(PIC_VECTOR);
    set_handler(PIC_VECTOR, handle_irq0);

    test_move_of_timer();
    test_idle();
    test_no_vector();
    test_ldt_entry();
    test_linear_mapping();
    report_end();
}
