/*
 * VMI: from a call's number to the function that carries it out
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/tcg.h"
#include "trace.h"
#include "vmi-internal.h"

#define vmi_call_none NULL      /* the table has none for it */

static const struct {
    VMIHandler *function;
} vmi_handler[VMI_MAX_CALLS] = {
#define VMI_CALL(nr, call, grp, words, on_stack, tcg, kvm, place, func) \
    [nr] = {                                                            \
        .function = vmi_call_ ## func,                                  \
    },
#include "hw/vmi/vmi-calls.h.inc"
};

void vmi_dispatch(VMICall *call)
{
    const VMICallInfo *info;

    if (unlikely(call->nr >= VMI_MAX_CALLS ||
                 call->vmi->host[call->nr] == VMI_HOST_NONE)) {
        vmi_refuse(call->vcpu, call->nr, "not served by the host",
                   "call %u is not served by the host", call->nr);
        call->result = UINT64_MAX;
        return;
    }

    /*
     * A handler may raise an exception in the guest, which TCG can do for an
     * instruction, but not in the middle of an access to a port.
     */
    if (tcg_enabled() && !call->ra) {
        vmi_refuse(call->vcpu, call->nr, "by the port",
                   "call %u by the port, under TCG", call->nr);
        call->result = UINT64_MAX;
        return;
    }

    info = vmi_call_info(call->nr);
    trace_vmi_call(CPU(call->cpu)->cpu_index, call->nr, info->name, info->args,
                   call->arg[0], call->arg[1], call->arg[2], call->arg[3],
                   call->arg[4]);
    vmi_handler[call->nr].function(call);
    /* One that faulted has not come here, and will be made again. */
    vmi_count(&call->vcpu->stats.calls[call->nr]);
    trace_vmi_return(CPU(call->cpu)->cpu_index, info->name, call->result);
}
