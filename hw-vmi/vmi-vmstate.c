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
#include "qapi/error.h"
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

/* Nothing starts the processor that the machine begins with. */
static bool vmi_ap_native_needed(void *opaque)
{
    VMIVCPU *vcpu = opaque;

    return vcpu->ap_native && vcpu->cpu && !cpu_is_bsp(vcpu->cpu);
}

static int vmi_ap_native_post_load(void *opaque, int version_id)
{
    VMIVCPU *vcpu = opaque;

    vcpu->ap_native = true;
    return 0;
}

/* A machine that has woken up, until its kernel starts this processor */
static const VMStateDescription vmstate_vmi_ap_native = {
    .name = "vmi-pci/vcpu/ap-native",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vmi_ap_native_needed,
    .post_load = vmi_ap_native_post_load,
    .fields = (const VMStateField[]) {
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
        &vmstate_vmi_ap_native,
        NULL
    }
};

/* A field of what migrates beside the vCPUs, by the name that it has had */
#define VMI_MIGRATED(_name, _field, _info, _type) {                     \
    .name = (_name),                                                    \
    .info = &(_info),                                                   \
    .size = sizeof(_type),                                              \
    .flags = VMS_SINGLE,                                                \
    .offset = vmstate_offset_value(VMIPCIState, migrated._field, _type), \
}

/*
 * Revision 1 goes without saying.  A QEMU that knows others sends the number,
 * and one that does not know it refuses the guest.
 */
static bool vmi_revision_needed(void *opaque)
{
    VMIPCIState *vmi = opaque;

    return vmi->migrated.active && vmi->migrated.rom_revision != 1;
}

static const VMStateDescription vmstate_vmi_revision = {
    .name = "vmi-pci/rom-revision",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = vmi_revision_needed,
    .fields = (const VMStateField[]) {
        VMI_MIGRATED("rom_revision", rom_revision, vmstate_info_uint32,
                     uint32_t),
        VMSTATE_END_OF_LIST()
    }
};

static int vmi_pre_load(void *opaque)
{
    VMIPCIState *vmi = opaque;

    vmi->migrated.rom_revision = 1;
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_vcpu_forget(&vmi->vcpu[i]);
    }
    return 0;
}

/* Refuse, with the reason, what this machine cannot carry on. */
static bool vmi_migrated_valid(VMIPCIState *vmi, Error **errp)
{
    const VMIMigrated *in = &vmi->migrated;
    VMIAccel accel = kvm_enabled() ? VMI_ACCEL_KVM : VMI_ACCEL_TCG;

    if (in->cycle_frequency < VMI_MIN_CYCLE_FREQUENCY ||
        in->cycle_frequency > VMI_MAX_CYCLE_FREQUENCY) {
        error_setg(errp, "invalid cycle frequency %" PRIu64 " in migrated "
                   "state", in->cycle_frequency);
        return false;
    }
    if (!vmi_virtual_top_valid(in->virtual_top)) {
        error_setg(errp, "invalid virtual-top 0x%" PRIx32 " in migrated state",
                   in->virtual_top);
        return false;
    }
    if (in->groups != vmi->groups) {
        error_setg(errp, "the guest comes from a machine with other call "
                   "groups switched on (mask 0x%" PRIx32 ", here 0x%" PRIx32
                   ")", in->groups, vmi->groups);
        return false;
    }
    if (!in->active) {
        return true;
    }
    if (in->accel != accel) {
        error_setg(errp, "the guest uses VMI and was started under %s; its "
                   "calls cannot be served under %s",
                   in->accel == VMI_ACCEL_TCG ? "TCG" : "KVM",
                   accel == VMI_ACCEL_TCG ? "TCG" : "KVM");
        return false;
    }
    /* Under KVM, the device writes to the ROM that the guest runs. */
    if (!vmi_rom_address_valid(in->rom_address)) {
        error_setg(errp, "no guest runs its ROM at 0x%" PRIx32 ", as migrated "
                   "state says", in->rom_address);
        return false;
    }
    if (in->rom_revision != VMI_ROM_REVISION) {
        error_setg(errp, "the guest runs a ROM of revision %" PRIu32
                   "; revision %d is all that is known here",
                   in->rom_revision, VMI_ROM_REVISION);
        return false;
    }
    return true;
}

static int vmi_post_load(void *opaque, int version_id)
{
    VMIPCIState *vmi = opaque;
    const VMIMigrated *in = &vmi->migrated;
    Error *err = NULL;

    if (!vmi_migrated_valid(vmi, &err)) {
        error_reportf_err(err, "vmi-pci: ");
        return -EINVAL;
    }
    vmi->cycle_frequency = in->cycle_frequency;
    vmi->virtual_top = in->virtual_top;
    vmi->rom_address = in->rom_address;
    qatomic_set(&vmi->rom_linear, in->rom_linear);
    vmi->accel = in->accel;
    vmi->rom_revision = in->rom_revision;
    qatomic_set(&vmi->active, in->active);
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

    vmi->migrated = (VMIMigrated) {
        .cycle_frequency = vmi->cycle_frequency,
        .virtual_top = vmi->virtual_top,
        .groups = vmi->groups,
        .active = vmi->active,
        .rom_address = vmi->rom_address,
        .rom_linear = vmi->rom_linear,
        .accel = vmi->accel,
        .rom_revision = vmi->rom_revision,
    };
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
        VMI_MIGRATED("cycle_frequency", cycle_frequency, vmstate_info_uint64,
                     uint64_t),
        VMI_MIGRATED("virtual_top", virtual_top, vmstate_info_uint32,
                     uint32_t),
        VMI_MIGRATED("loaded_groups", groups, vmstate_info_uint32, uint32_t),
        VMI_MIGRATED("active", active, vmstate_info_bool, bool),
        VMI_MIGRATED("rom_address", rom_address, vmstate_info_uint32,
                     uint32_t),
        VMI_MIGRATED("rom_linear", rom_linear, vmstate_info_uint32, uint32_t),
        VMI_MIGRATED("accel", accel, vmstate_info_uint8, uint8_t),
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
