/*
 * VMI: the cpu group, as far as it is not native instructions in the ROM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu_ldst.h"
#include "system/runstate.h"
#include "vmi-internal.h"

/*
 * UpdateKernelStack: EAX -> TSS, EDX new esp0.
 *
 * So the specification.  Linux has written the TSS itself, and passes the
 * selector of a data segment; what may be one is left alone.
 */
void vmi_call_kernel_stack(VMICall *call)
{
    CPUX86State *env = &call->cpu->env;

    if (call->arg[0] > UINT16_MAX && (env->tr.selector & ~7) &&
        call->arg[0] == env->tr.base) {
        cpu_stl_data_ra(env, call->arg[0] + 4, call->arg[1], call->ra);
    }
}

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
