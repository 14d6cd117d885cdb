/*
 * The migrate program: alarms
 *
 * A one-shot alarm must come once, so these are counted exactly.  A periodic
 * one drops the periods that it misses, so there is an upper bound only, and
 * that it goes on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migrate.h"

#define PERIODS_A_SECOND 250
#define PATIENCE 30             /* seconds, on a busy host */

typedef struct CPUAlarms {
    /* The one-shot alarm */
    uint32_t armed, fired;
    uint64_t expiry;
    bool rearm;
    /* The periodic alarm */
    uint32_t ticks;
    uint64_t start, period, last_tick;
} CPUAlarms;

static CPUAlarms alarms[MAX_CPUS];
static uint32_t shot_flags, tick_flags;
static uint8_t shot_vector, tick_vector;
static uint64_t hz;
static bool holding;
static uint32_t held[2];
static uint32_t shots, ticks;     /* of CPU 0, in all */

static bool has_shots(unsigned id)
{
    return id == 0 || (shot_flags & VMI_ALARM_LVTT);
}

static bool has_ticks(unsigned id)
{
    return id == 0 || (tick_flags & VMI_ALARM_LVTT);
}

static void arm_shot(CPUAlarms *a)
{
    uint64_t now = vmi_counter(VMI_CYCLES_REAL);

    /* Of different lengths: 0.2 to 3.3 ms */
    a->expiry = now + hz / 5000 + (now & 31) * (hz / 10000);
    a->armed++;
    vmi_set_alarm(shot_flags, a->expiry, 0);
}

static void end_of_interrupt(uint8_t vector)
{
    if (vector == PIC_VECTOR) {
        outb(0x20, 0x20);
    } else {
        apic_write(APIC_EOI, 0);
    }
}

static void handle_shot(Frame *frame)
{
    CPUAlarms *a = &alarms[this_cpu()];
    uint64_t now = check_time();

    end_of_interrupt(frame->vector);
    if (holding && this_cpu() == 0) {
        held[0]++;
        return;
    }
    a->fired++;
    shots += this_cpu() == 0;
    check(DOUBLED, a->fired == a->armed);
    check(EARLY, now >= a->expiry);
    if (a->rearm) {
        arm_shot(a);
    }
}

static void handle_tick(Frame *frame)
{
    CPUAlarms *a = &alarms[this_cpu()];
    uint64_t now = vmi_counter(VMI_CYCLES_AVAILABLE);

    end_of_interrupt(frame->vector);
    if (holding && this_cpu() == 0) {
        held[1]++;
        return;
    }
    a->ticks++;
    ticks += this_cpu() == 0;
    a->last_tick = now;
    check(EARLY, now >= a->start);
    check(DOUBLED, a->ticks <= (now - a->start) / a->period + 1);
}

void alarms_init(bool swap)
{
    hz = vmi_frequency();
    pic_init();
    apic_init();
    pic_unmask(0);
    sti_nop_cli();
    pit_park();
    pit_settle(PIC_VECTOR);
    shot_flags = VMI_CYCLES_REAL | (swap ? 0 : VMI_ALARM_LVTT);
    tick_flags = VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC |
                 (swap ? VMI_ALARM_LVTT : 0);
    shot_vector = swap ? PIC_VECTOR : LVTT_VECTOR;
    tick_vector = swap ? LVTT_VECTOR : PIC_VECTOR;
}

void alarms_start(void)
{
    unsigned id = this_cpu();
    CPUAlarms *a = &alarms[id];

    set_handler(shot_vector, handle_shot);
    set_handler(tick_vector, handle_tick);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    if (has_shots(id)) {
        a->armed = a->fired = 0;
        a->rearm = true;
        arm_shot(a);
    }
    if (has_ticks(id)) {
        a->ticks = 0;
        a->period = hz / PERIODS_A_SECOND;
        a->start = vmi_counter(VMI_CYCLES_AVAILABLE) + a->period;
        a->last_tick = a->start;
        vmi_set_alarm(tick_flags, a->start, a->period);
    }
    sti();
}

void check_shots(void)
{
    unsigned id = this_cpu();
    CPUAlarms *a = &alarms[id];
    uint32_t flags = read_eflags();
    uint64_t now;

    if (!(flags & EFLAGS_IF)) {
        return;
    }
    cli();
    now = vmi_counter(VMI_CYCLES_REAL);
    if (has_shots(id)) {
        check(LOST, now < a->expiry + PATIENCE * hz);
    }
    now = vmi_counter(VMI_CYCLES_AVAILABLE);
    if (has_ticks(id)) {
        check(LOST, now < a->last_tick + PATIENCE * hz);
    }
    write_eflags(flags);
}

void alarms_stop(void)
{
    unsigned id = this_cpu();
    CPUAlarms *a = &alarms[id];
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + PATIENCE * hz;

    a->rearm = false;
    if (has_shots(id)) {
        while (READ_ONCE(a->fired) != a->armed &&
               vmi_counter(VMI_CYCLES_REAL) < end) {
            cpu_pause();
        }
        check(LOST, READ_ONCE(a->fired) == a->armed);
        check(DOUBLED, !vmi_cancel_alarm(shot_flags));
    }
    if (has_ticks(id)) {
        while (!READ_ONCE(a->ticks) && vmi_counter(VMI_CYCLES_REAL) < end) {
            cpu_pause();
        }
        check(LOST, READ_ONCE(a->ticks) && vmi_cancel_alarm(tick_flags));
        /* One may have been on its way. */
        delay_ms(2);
    }
    cli();
}

static bool apic_pending(uint8_t vector)
{
    return apic_read(APIC_IRR + vector / 32 * 0x10) & 1u << vector % 32;
}

/* With LVTT masked, its alarm has expired and is not pending. */
static bool both_held(void)
{
    bool masked = apic_read(APIC_LVTT) & APIC_MASKED;

    return apic_pending(LVTT_VECTOR) != masked && pic_pending(0);
}

void alarms_hold(bool masked)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + PATIENCE * hz;

    cli();
    set_handler(shot_vector, handle_shot);
    set_handler(tick_vector, handle_tick);
    apic_write(APIC_LVTT, LVTT_VECTOR | (masked ? APIC_MASKED : 0));
    holding = true;
    held[0] = held[1] = 0;
    vmi_set_alarm(shot_flags, 0, 0);
    vmi_set_alarm(tick_flags & ~VMI_ALARM_PERIODIC, 0, 0);
    while (!both_held() && vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    check(HELD, both_held());
}

void alarms_release(void)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + PATIENCE * hz;

    check(HELD, both_held() && !held[0] && !held[1]);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    sti();
    while (!(READ_ONCE(held[0]) && READ_ONCE(held[1])) &&
           vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    delay_ms(20);
    cli();
    holding = false;
    check(LOST, held[0] && held[1]);
    check(DOUBLED, held[0] <= 1 && held[1] <= 1);
    check(DOUBLED, !vmi_cancel_alarm(shot_flags) &&
                   !vmi_cancel_alarm(tick_flags));
}

void alarms_report(void)
{
    report(shots && ticks, "alarms of both kinds came",
           "on CPU 0: %u one-shot, %u periodic", shots, ticks);
}
