/*
 * VMI: migration and snapshots
 *
 * The option ROM's bytes travel as RAM: the BAR, and the firmware's copy
 * that the guest runs.  Real time travels as QEMU_CLOCK_VIRTUAL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/vmstate.h"
#include "qemu/error-report.h"
#include "system/kvm.h"
#include "vmi-parts.h"

static const VMStateDescription vmstate_vmi_alarm = {
    .name = "vmi-pci/vcpu/alarm",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(armed, VMIAlarm),
        VMSTATE_UINT32(flags, VMIAlarm),
        VMSTATE_UINT64(expiry, VMIAlarm),
        VMSTATE_UINT64(period, VMIAlarm),
        VMSTATE_END_OF_LIST()
    }
};

static bool vmi_ap_needed(void *opaque)
{
    VMIVCPU *vcpu = opaque;

    return vcpu->ap_staged;
}

static int vmi_ap_post_load(void *opaque, int version_id)
{
    VMIVCPU *vcpu = opaque;

    vcpu->ap_staged = true;
    return 0;
}

static const VMStateDescription vmstate_vmi_ap = {
    .name = "vmi-pci/vcpu/ap-state",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vmi_ap_needed,
    .post_load = vmi_ap_post_load,
    .fields = (const VMStateField[]) {
        /* In the guest's byte order, as it gave it. */
        VMSTATE_BUFFER_UNSAFE(ap_state, VMIVCPU, 1, sizeof(VMIAPState)),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_vmi_vcpu = {
    .name = "vmi-pci/vcpu",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT_ARRAY(alarm, VMIVCPU, VMI_ALARMS, 1, vmstate_vmi_alarm,
                             VMIAlarm),
        VMSTATE_UINT64(stolen, VMIVCPU),
        VMSTATE_UINT64(available_seen, VMIVCPU),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * const []) {
        &vmstate_vmi_ap,
        NULL
    }
};

/*
 * Revision 1 goes without saying.  A QEMU that knows others sends the number,
 * and one that does not know it refuses the guest.
 */
static bool vmi_revision_needed(void *opaque)
{
    VMIPCIState *vmi = opaque;

    return vmi->active && vmi->rom_revision != 1;
}

static const VMStateDescription vmstate_vmi_revision = {
    .name = "vmi-pci/rom-revision",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vmi_revision_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(rom_revision, VMIPCIState),
        VMSTATE_END_OF_LIST()
    }
};

static int vmi_pre_load(void *opaque)
{
    VMIPCIState *vmi = opaque;

    vmi->rom_revision = 1;
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_vcpu_forget(&vmi->vcpu[i]);
    }
    return 0;
}

/* Refuse, with the reason, what this machine cannot carry on. */
static bool vmi_load_valid(VMIPCIState *vmi, uint32_t groups)
{
    VMIAccel accel = kvm_enabled() ? VMI_ACCEL_KVM : VMI_ACCEL_TCG;

    if (vmi->cycle_frequency < VMI_MIN_CYCLE_FREQUENCY ||
        vmi->cycle_frequency > VMI_MAX_CYCLE_FREQUENCY) {
        error_report("vmi-pci: invalid cycle frequency in migrated state");
        return false;
    }
    if (!vmi_virtual_top_valid(vmi->virtual_top)) {
        error_report("vmi-pci: invalid virtual-top in migrated state");
        return false;
    }
    if (groups != vmi->groups) {
        error_report("vmi-pci: the guest comes from a machine with other call "
                     "groups switched on (mask 0x%" PRIx32 ", here 0x%" PRIx32
                     ")", groups, vmi->groups);
        return false;
    }
    if (vmi->active && vmi->accel != accel) {
        error_report("vmi-pci: the guest uses VMI and was started under %s; "
                     "its calls cannot be served under %s",
                     vmi->accel == VMI_ACCEL_TCG ? "TCG" : "KVM",
                     accel == VMI_ACCEL_TCG ? "TCG" : "KVM");
        return false;
    }
    if (vmi->active && vmi->rom_revision != VMI_ROM_REVISION) {
        error_report("vmi-pci: the guest runs a ROM of revision %" PRIu32
                     "; revision %d is all that is known here",
                     vmi->rom_revision, VMI_ROM_REVISION);
        return false;
    }
    return true;
}

static int vmi_post_load(void *opaque, int version_id)
{
    VMIPCIState *vmi = opaque;

    if (!vmi_load_valid(vmi, vmi->loaded_groups)) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_time_vcpu_reset(&vmi->vcpu[i]);
        vmi_alarm_restart(&vmi->vcpu[i]);
    }
    vmi_time_jumped(vmi);
    vmi_flush_code();
    vmi->active_since = g_get_real_time() / G_USEC_PER_SEC;
    return 0;
}

static int vmi_pre_save(void *opaque)
{
    VMIPCIState *vmi = opaque;

    vmi->loaded_groups = vmi->groups;
    return 0;
}

const VMStateDescription vmstate_vmi_pci = {
    .name = TYPE_VMI_PCI,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_load = vmi_pre_load,
    .post_load = vmi_post_load,
    .pre_save = vmi_pre_save,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, VMIPCIState),
        VMSTATE_UINT64(cycle_frequency, VMIPCIState),
        VMSTATE_UINT32(virtual_top, VMIPCIState),
        VMSTATE_UINT32(loaded_groups, VMIPCIState),
        VMSTATE_BOOL(active, VMIPCIState),
        VMSTATE_UINT32(rom_address, VMIPCIState),
        VMSTATE_UINT32(rom_linear, VMIPCIState),
        VMSTATE_UINT8(accel, VMIPCIState),
        VMSTATE_UINT8_ARRAY(relocated, VMIPCIState, VMI_MAX_CALLS),
        VMSTATE_BOOL(wallclock_updated, VMIPCIState),
        VMSTATE_UINT32_EQUAL(nr_vcpus, VMIPCIState,
                             "-smp maxcpus differs from the source's"),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(vcpu, VMIPCIState, nr_vcpus,
                                             vmstate_vmi_vcpu, VMIVCPU),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * const []) {
        &vmstate_vmi_revision,
        NULL
    }
};
