/*
 * A processor without a local APIC; then a reboot of an unknown kind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "irq.h"
#include "vmi.h"

void guest_main(void)
{
    uint32_t value;

    vmi_setup();
    pic_init();
    value = vmi_call(VMI_CALL_APICRead, APIC_VERSION, 0, 0, 0, 0);
    report(!value, "APICRead answers 0 without a local APIC", "0x%x", value);
    vmi_call(VMI_CALL_APICWrite, APIC_TPR, 0x20, 0, 0, 0);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, 0, 0);
    delay_ms(20);
    value = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(!value, "an alarm for the local APIC that is not there ends", "%u",
           value);
    report(vmi_frequency() == 1000000000, "calls still work after that",
           "%llu Hz", vmi_frequency());
    report_plan();
    vmi_call(VMI_CALL_Reboot, 7, 0, 0, 0, 0);
    for (;;) {
        asm volatile("cli; hlt");
    }
}
