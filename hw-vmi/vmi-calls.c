/*
 * VMI: the table of calls, and what is said of wrong ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-internal.h"

#define VMI_ERRORS_PER_SECOND 10

static const VMICallInfo vmi_call_table[VMI_MAX_CALLS] = {
#define VMI_CALL(nr, call, grp, words, on_stack, tcg, kvm, in_place, func) \
    [nr] = {                                                  \
        .name = #call,                                        \
        .group = VMI_GROUP_ ## grp,                           \
        .args = words,                                        \
        .stack = on_stack,                                    \
        .service = {                                          \
            [VMI_ACCEL_TCG] = VMI_SERVICE_ ## tcg,            \
            [VMI_ACCEL_KVM] = VMI_SERVICE_ ## kvm,            \
        },                                                    \
        .place = VMI_PLACE_ ## in_place,                      \
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

void vmi_calls_init(VMIPCIState *vmi)
{
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        VMIService service = vmi_service(vmi, nr);

        if (service != VMI_SERVICE_HOST && service != VMI_SERVICE_SHARED) {
            vmi->host[nr] = VMI_HOST_NONE;
        } else {
            vmi->host[nr] = vmi_call_table[nr].place == VMI_PLACE_SIMPLE
                          ? VMI_HOST_SIMPLE : VMI_HOST_CALL;
        }
    }
}

/* Ten a second; a flood silences no more than the rest of its second. */
static bool vmi_may_report(VMIPCIState *vmi)
{
    int64_t now = get_clock();

    QEMU_LOCK_GUARD(&vmi->errors.lock);
    if (now - vmi->errors.start >= NANOSECONDS_PER_SECOND) {
        vmi->errors.start = now;
        vmi->errors.logged = 0;
    }
    if (vmi->errors.logged == VMI_ERRORS_PER_SECOND) {
        return false;
    }
    vmi->errors.logged++;
    return true;
}

/*
 * A guest can make errors as fast as it can make calls, so few of them format a
 * message: those that are logged, and those that find no event waiting.
 *
 * The event is sent by a bottom half, because sending needs the BQL, and
 * contains the number of errors until then: if errors.message shows that an
 * event is waiting, then the bottom half, which clears it before it reads the
 * number, reads one that includes this error.
 */
static void G_GNUC_PRINTF(2, 0)
vmi_guest_error_va(VMIPCIState *vmi, const char *fmt, va_list ap)
{
    bool event, log;
    char *msg;

    stat64_add(&vmi->errors.count, 1);
    smp_mb();                   /* the count before the message */
    event = !qatomic_read(&vmi->errors.message);
    log = qemu_loglevel_mask(LOG_GUEST_ERROR) && vmi_may_report(vmi);
    if (!event && !log) {
        return;
    }
    msg = g_strdup_vprintf(fmt, ap);
    if (log) {
        qemu_log("vmi: %s\n", msg);
    }
    g_free(qatomic_xchg(&vmi->errors.message, msg));
    qemu_bh_schedule(vmi->errors.bh);
}

void vmi_guest_error(VMIPCIState *vmi, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vmi_guest_error_va(vmi, fmt, ap);
    va_end(ap);
}

void vmi_refuse(VMIVCPU *vcpu, uint32_t nr, const char *why, const char *fmt,
                ...)
{
    va_list ap;

    trace_vmi_refused(vcpu - vcpu->vmi->vcpu, nr, why);
    va_start(ap, fmt);
    vmi_guest_error_va(vcpu->vmi, fmt, ap);
    va_end(ap);
    vmi_count(&vcpu->stats.refused);
}
