/*
 * VMI: the table of calls, and dispatch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include "trace.h"
#include "vmi-internal.h"

#define VMI_ERRORS_PER_SECOND 10

static const VMICallInfo vmi_call_table[VMI_MAX_CALLS] = {
#define VMI_CALL(nr, call, grp, words, on_stack, tcg, kvm, func) \
    [nr] = {                                                  \
        .name = #call,                                        \
        .group = VMI_GROUP_ ## grp,                           \
        .args = words,                                        \
        .stack = on_stack,                                    \
        .service = {                                          \
            [VMI_ACCEL_TCG] = VMI_SERVICE_ ## tcg,            \
            [VMI_ACCEL_KVM] = VMI_SERVICE_ ## kvm,            \
        },                                                    \
        .handler = func,                                      \
    },
#include "hw/vmi/vmi-calls.h.inc"
};

const VMICallInfo *vmi_call_info(unsigned nr)
{
    assert(nr < VMI_MAX_CALLS);
    return &vmi_call_table[nr];
}

VMIService vmi_service(VMIPCIState *vmi, unsigned nr)
{
    const VMICallInfo *info;

    if (nr >= VMI_MAX_CALLS || !vmi_call_table[nr].name) {
        return VMI_SERVICE_NONE;
    }
    info = &vmi_call_table[nr];
    if (!(vmi->groups & (1u << info->group))) {
        return VMI_SERVICE_NONE;
    }
    if (!kvm_enabled()) {
        return info->service[VMI_ACCEL_TCG];
    }
    if (info->service[VMI_ACCEL_KVM] == VMI_SERVICE_SHARED &&
        vmi->exact_stolen) {
        return VMI_SERVICE_HOST;
    }
    return info->service[VMI_ACCEL_KVM];
}

void vmi_dispatch(VMICall *call)
{
    const VMICallInfo *info;

    if (unlikely(call->nr >= VMI_MAX_CALLS ||
                 call->vmi->host[call->nr] == VMI_HOST_NONE)) {
        trace_vmi_refused(CPU(call->cpu)->cpu_index, call->nr,
                          "not served by the host");
        vmi_guest_error(call->vmi, "call %u is not served by the host",
                        call->nr);
        vmi_count(&call->vcpu->stats.refused);
        call->result = UINT64_MAX;
        return;
    }

    /*
     * A handler may raise an exception in the guest, which TCG can do for an
     * instruction, but not in the middle of an access to a port.
     */
    if (tcg_enabled() && !call->ra) {
        trace_vmi_refused(CPU(call->cpu)->cpu_index, call->nr, "by the port");
        vmi_guest_error(call->vmi, "call %u by the port, under TCG", call->nr);
        vmi_count(&call->vcpu->stats.refused);
        call->result = UINT64_MAX;
        return;
    }

    info = &vmi_call_table[call->nr];
    trace_vmi_call(CPU(call->cpu)->cpu_index, call->nr, info->name, info->args,
                   call->arg[0], call->arg[1], call->arg[2], call->arg[3],
                   call->arg[4]);
    info->handler(call);
    /* One that faulted has not come here, and will be made again. */
    vmi_count(&call->vcpu->stats.calls[call->nr]);
    trace_vmi_return(CPU(call->cpu)->cpu_index, info->name, call->result);
}

/* Ten a second; a flood silences no more than the rest of its second. */
static bool vmi_may_report(VMIPCIState *vmi)
{
    int64_t now = get_clock();

    QEMU_LOCK_GUARD(&vmi->error_lock);
    if (now - vmi->error_start >= NANOSECONDS_PER_SECOND) {
        vmi->error_start = now;
        vmi->errors = 0;
    }
    if (vmi->errors == VMI_ERRORS_PER_SECOND) {
        return false;
    }
    vmi->errors++;
    return true;
}

/*
 * A flood formats few messages: the event needs the BQL, so it comes later, and
 * tells how many errors there were by then.  qatomic_inc is a full barrier, so
 * an event that is still to come, as seen here, counts this error.
 */
void vmi_guest_error(VMIPCIState *vmi, const char *fmt, ...)
{
    bool event, log;
    char *msg;
    va_list ap;

    qatomic_inc(&vmi->guest_errors);
    event = !qatomic_read(&vmi->error_message);
    log = qemu_loglevel_mask(LOG_GUEST_ERROR) && vmi_may_report(vmi);
    if (!event && !log) {
        return;
    }
    va_start(ap, fmt);
    msg = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (log) {
        qemu_log("vmi: %s\n", msg);
    }
    g_free(qatomic_xchg(&vmi->error_message, msg));
    qemu_bh_schedule(vmi->error_bh);
}
