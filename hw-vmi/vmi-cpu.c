/*
 * VMI: calls that end the guest's life
 *
 * The rest of the cpu group is native instructions in the ROM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/runstate.h"
#include "vmi-internal.h"

/*
 * Reboot: EAX = VMI_REBOOT_*.
 *
 * A soft reboot is an INIT, which takes a PC to its firmware, which finds
 * that it has run before and resets the machine.  So both are a reset.
 */
void vmi_call_reboot(VMICall *call)
{
    if (call->arg[0] > VMI_REBOOT_HARD) {
        vmi_guest_error(call->vmi, "Reboot: unknown kind %" PRIu32,
                        call->arg[0]);
    }
    qemu_system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
}

/* Shutdown: power off. */
void vmi_call_shutdown(VMICall *call)
{
    qemu_system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
}
