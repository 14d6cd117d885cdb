/*
 * Shutdown powers the machine off: QEMU ends with status 0
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "vmi.h"

void guest_main(void)
{
    vmi_setup();
    report_plan();
    vmi_call(VMI_CALL_Shutdown, 0, 0, 0, 0, 0);
    for (;;) {
        asm volatile("cli; hlt");
    }
}
