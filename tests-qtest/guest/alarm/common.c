/*
 * The alarm program: where alarms come from, and those that came
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "alarm.h"

const char *alarm_route;
uint32_t alarm_flag;
uint64_t alarm_hz;
uint32_t alarm_count;
uint64_t alarm_real[ALARM_RECORDS], alarm_available[ALARM_RECORDS];

static void handle_alarm(Frame *frame)
{
    if (alarm_count < ALARM_RECORDS) {
        alarm_real[alarm_count] = vmi_counter(VMI_CYCLES_REAL);
        alarm_available[alarm_count] = vmi_counter(VMI_CYCLES_AVAILABLE);
    }
    alarm_count++;
    if (frame->vector == PIC_VECTOR) {
        outb(0x20, 0x20);
    } else {
        apic_write(APIC_EOI, 0);
    }
}

uint64_t alarm_ms(unsigned ms)
{
    return alarm_hz / 1000 * ms;
}

void alarm_reset(void)
{
    cli();
    alarm_count = 0;
}

bool alarm_wait(uint32_t count)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + alarm_ms(30000);

    sti();
    while (READ_ONCE(alarm_count) < count &&
           vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    cli();
    return alarm_count >= count;
}

void alarm_spend(unsigned ms)
{
    sti();
    delay_ms(ms);
    cli();
}

void alarm_take_route(void)
{
    uint8_t vector = PIC_VECTOR;

    pic_init();
    apic_init();
    if (guest_has_arg("ioapic")) {
        alarm_route = "ioapic";
        vector = IOAPIC_VECTOR;
        ioapic_route(2, vector);
    } else {
        alarm_route = "pic";
        pic_unmask(0);
    }
    sti_nop_cli();
    if (guest_has_arg("pit-high")) {
        pit_park_high();
    } else {
        pit_park();
    }
    pit_settle(vector);
    if (guest_has_arg("lvtt")) {
        pic_mask_all();
        alarm_route = "lvtt";
        alarm_flag = VMI_ALARM_LVTT;
        vector = LVTT_VECTOR;
        apic_write(APIC_LVTT, vector);
    }
    set_handler(vector, handle_alarm);
    alarm_reset();
}
