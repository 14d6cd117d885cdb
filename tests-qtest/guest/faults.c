/*
 * A guest that ticks, while the host does to QEMU what hosts do
 *
 * It prints a line "# tick N, wall S" a second, with the seconds of the wall
 * clock, until a key is pressed.  Its alarms are set as Linux' are: one after
 * the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "irq.h"
#include "vmi.h"

#define ALARMS_A_SECOND 100

static uint64_t hz, expiry, last_real, late;
static uint32_t fired, early, back, sum;

static uint64_t read_real(void)
{
    uint64_t stolen = vmi_counter(VMI_CYCLES_STOLEN);
    uint64_t available = vmi_counter(VMI_CYCLES_AVAILABLE);
    uint64_t real = vmi_counter(VMI_CYCLES_REAL);

    sum += stolen + available > real;
    back += real < last_real;
    last_real = real;
    return real;
}

static void arm(void)
{
    expiry = read_real() + hz / ALARMS_A_SECOND;
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, expiry, 0);
}

static void handle_alarm(Frame *frame)
{
    uint64_t now = read_real();

    fired++;
    if (now < expiry) {
        early++;
    } else if (now - expiry > late) {
        late = now - expiry;
    }
    apic_write(APIC_EOI, 0);
    arm();
}

void guest_main(void)
{
    uint64_t second;
    uint32_t ticks = 0;

    vmi_setup();
    pic_init();
    apic_init();
    hz = vmi_frequency();
    set_handler(LVTT_VECTOR, handle_alarm);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    second = read_real();
    arm();
    while (!(inb(0x64) & 1)) {
        sti_hlt_cli();
        if (last_real >= second) {
            uint64_t wall = vmi_call(VMI_CALL_GetWallclockTime, 0, 0, 0, 0, 0);

            printf("# tick %u, wall %llu\n", ++ticks, wall / 1000000000);
            second = last_real + hz;
        }
    }
    report(fired && !early, "no alarm is early", "%u fired, %u early, at most "
           "%llu ms late", fired, early, late * 1000 / hz);
    report(!back, "real time never goes back", "%u times", back);
    report(!sum, "available and stolen time are no more than real time",
           "%u times", sum);
    report_end();
}
