/*
 * VMI: the machine is reset, falls asleep, and wakes up
 *
 * Waking up from suspend to RAM (ACPI S3) resets processors and devices.  The
 * kernel in memory is a VMI kernel still, its ROM is in its shadow still, and
 * it goes on where it was, so VMI mode and its calls survive that.  What
 * belongs to processors does not: alarms are cancelled, and processors start
 * as the firmware wants them to until the kernel sets a state for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/kvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

/*
 * Of the machine, not of the PCI bus, so an object beside the PCI function: a
 * guest that resets the bridge in front of it goes on calling its ROM.
 */
#define TYPE_VMI_RESET "vmi-reset"
OBJECT_DECLARE_SIMPLE_TYPE(VMIReset, VMI_RESET)

struct VMIReset {
    Object parent_obj;
    ResettableState state;      /* BQL: what calls vmi_reset_hold() has it */
    VMIPCIState *vmi;           /* constant */
};

OBJECT_DEFINE_SIMPLE_TYPE_WITH_INTERFACES(VMIReset, vmi_reset, VMI_RESET,
                                          OBJECT,
                                          { TYPE_RESETTABLE_INTERFACE }, { })

/* BQL held, and no vCPU runs */
static void vmi_leave(VMIPCIState *vmi)
{
    trace_vmi_reset(vmi->active);
    if (vmi->active) {
        qatomic_set(&vmi->active, false);
        vmi_flush_code();
    }
    vmi->rom_address = 0;
    qatomic_set(&vmi->rom_linear, 0);
    memset(vmi->relocated, 0, sizeof(vmi->relocated));
    qatomic_set(&vmi->wallclock_updated, false);
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_vcpu_forget(&vmi->vcpu[i]);
    }
    /* An incoming guest brings its own ROM. */
    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        vmi_rom_write_header(vmi);
    }
}

/* BQL held */
static void vmi_wake_up(VMIPCIState *vmi)
{
    trace_vmi_wake_up();
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_vcpu_forget(&vmi->vcpu[i]);
        vmi->vcpu[i].ap_native = true;
    }
}

static void vmi_reset_hold(Object *obj, ResetType type)
{
    VMIPCIState *vmi = VMI_RESET(obj)->vmi;

    if (type == RESET_TYPE_WAKEUP && vmi->active) {
        vmi_wake_up(vmi);
    } else {
        vmi_leave(vmi);
    }
}

static ResettableState *vmi_reset_get_state(Object *obj)
{
    return &VMI_RESET(obj)->state;
}

static void vmi_reset_init(Object *obj)
{
}

static void vmi_reset_finalize(Object *obj)
{
}

static void vmi_reset_class_init(ObjectClass *klass, void *data)
{
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    rc->get_state = vmi_reset_get_state;
    rc->phases.hold = vmi_reset_hold;
}

/*
 * The vCPUs are stopped.  Waking up sets KVM's TSC to 0; the counter goes on
 * from here by the virtual clock, as it does under TCG.
 */
static void vmi_suspend(Notifier *notifier, void *data)
{
    VMIPCIState *vmi = container_of(notifier, VMIPCIState, suspend);

    if (kvm_enabled() && vmi->active) {
        vmi_kvm_time_sample(vmi);
    }
}

/* The vCPUs have been reset, and do not run yet. */
static void vmi_wakeup(Notifier *notifier, void *data)
{
    VMIPCIState *vmi = container_of(notifier, VMIPCIState, wakeup);

    vmi_time_jumped(vmi);
    if (kvm_enabled() && vmi->active) {
        vmi_kvm_time_share(vmi);
    }
}

void vmi_reset_setup(VMIPCIState *vmi)
{
    VMIReset *reset = VMI_RESET(object_new(TYPE_VMI_RESET));

    reset->vmi = vmi;
    vmi->reset = OBJECT(reset);
    qemu_register_resettable(vmi->reset);
    vmi->suspend.notify = vmi_suspend;
    qemu_register_suspend_notifier(&vmi->suspend);
    vmi->wakeup.notify = vmi_wakeup;
    qemu_register_wakeup_notifier(&vmi->wakeup);
}

void vmi_reset_teardown(VMIPCIState *vmi)
{
    vmi_leave(vmi);
    notifier_remove(&vmi->wakeup);
    notifier_remove(&vmi->suspend);
    qemu_unregister_resettable(vmi->reset);
    object_unref(vmi->reset);
}
