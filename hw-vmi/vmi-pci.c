/*
 * VMware Virtual Machine Interface (VMI): the PCI device
 *
 * It has no registers: it carries the option ROM to where guests find it,
 * and stands for the host that the ROM calls.  See docs/specs/vmi.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "hw/i386/microvm.h"
#include "hw/i386/x86.h"
#include "hw/loader.h"
#include "hw/qdev-properties.h"
#include "hw/timer/i8254.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "system/kvm.h"
#include "system/qtest.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/system.h"
#include "system/tcg.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"
#include "vmi-tcg.h"

#define VMI_ROM_FILE "vmi.rom"

/*
 * A debugger's breakpoint in the ROM is for calls that are really made.  It
 * is set on all CPUs, at the head of the list, while the machine is stopped.
 */
static bool vmi_has_breakpoints(void)
{
    CPUBreakpoint *first = QTAILQ_FIRST(&first_cpu->breakpoints);

    return first && (first->flags & BP_GDB);
}

static void vmi_vm_state_change(void *opaque, bool running, RunState state)
{
    VMIPCIState *vmi = opaque;

    if (!running) {
        vmi_time_jumped(vmi);
    } else if (vmi->debugged != vmi_has_breakpoints()) {
        qatomic_set(&vmi->debugged, !vmi->debugged);
        vmi_flush_code();
    }
    if (kvm_enabled() && vmi->active) {
        if (running) {
            vmi_kvm_time_share(vmi);
            vmi_alarm_restart_all(vmi);
        } else {
            vmi_kvm_time_stop(vmi);
        }
    }
    for (uint32_t i = 0; running && i < vmi->nr_vcpus; i++) {
        vmi_time_check(&vmi->vcpu[i]);
    }
}

static void vmi_cpu_realize(DeviceListener *listener, DeviceState *dev)
{
    VMIPCIState *vmi = container_of(listener, VMIPCIState, cpu_listener);
    X86CPU *cpu = (X86CPU *)object_dynamic_cast(OBJECT(dev), TYPE_X86_CPU);

    if (cpu) {
        assert(CPU(cpu)->cpu_index < vmi->nr_vcpus);
        vmi->vcpu[CPU(cpu)->cpu_index].cpu = cpu;
        cpu_x86_set_vhyp(cpu, X86_VIRTUAL_HYPERVISOR(vmi));
        if (tcg_enabled()) {
            vmi_mmu_vcpu_init(&vmi->vcpu[CPU(cpu)->cpu_index]);
        }
        if (kvm_enabled() && vmi->hide_kvm) {
            vmi_kvm_hide(cpu);
        }
    }
}

static void vmi_cpu_unrealize(DeviceListener *listener, DeviceState *dev)
{
    VMIPCIState *vmi = container_of(listener, VMIPCIState, cpu_listener);
    VMIVCPU *vcpu;

    if (!object_dynamic_cast(OBJECT(dev), TYPE_X86_CPU)) {
        return;
    }
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vcpu = &vmi->vcpu[i];
        if (vcpu->cpu == X86_CPU(dev)) {
            vmi_vcpu_forget(vcpu);
            vmi_time_vcpu_reset(vcpu);
            vcpu->cpu = NULL;
        }
    }
}

/* UEFI firmware of QEMU's kind ends with a table that ends with this GUID. */
static bool vmi_firmware_is_ovmf(void)
{
    static const QemuUUID footer = {
        .data = UUID_LE(0x96b582de, 0x1fb2, 0x45f7, 0xba, 0xea,
                        0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d)
    };
    const hwaddr at = 4 * GiB - 0x30;
    /* Of -bios, which is not in memory before the first reset */
    const void *rom = rom_ptr(at, sizeof(footer));
    QemuUUID found;

    if (rom) {
        memcpy(&found, rom, sizeof(found));
    } else if (address_space_read(&address_space_memory, at,
                                  MEMTXATTRS_UNSPECIFIED, &found,
                                  sizeof(found)) != MEMTX_OK) {
        return false;
    }
    return qemu_uuid_is_equal(&found, &footer);
}

static void vmi_machine_done(Notifier *notifier, void *data)
{
    VMIPCIState *vmi = container_of(notifier, VMIPCIState, machine_done);
    Object *pit = object_resolve_path_type("", TYPE_I8254, NULL);

    vmi->pit = pit ? ISA_DEVICE(pit) : NULL;
    if (object_dynamic_cast(qdev_get_machine(), TYPE_MICROVM_MACHINE) ||
        vmi_firmware_is_ovmf()) {
        warn_report("vmi-pci: this machine's firmware runs no option ROMs; "
                    "guests will not find VMI (use SeaBIOS)");
    }
}

static uint64_t vmi_default_frequency(void)
{
    int64_t tsc_khz = X86_CPU(first_cpu)->env.tsc_khz;

    /* KVM: the guest's TSC.  TCG: QEMU's virtual clock, in ns. */
    if (kvm_enabled() && tsc_khz > 0) {
        return MAX(tsc_khz * 1000, VMI_MIN_CYCLE_FREQUENCY);
    }
    return NANOSECONDS_PER_SECOND;
}

static bool vmi_check_properties(VMIPCIState *vmi, Error **errp)
{
    if (!vmi->cycle_frequency_set) {
        vmi->cycle_frequency = vmi_default_frequency();
    }
    if (vmi->cycle_frequency < VMI_MIN_CYCLE_FREQUENCY ||
        vmi->cycle_frequency > VMI_MAX_CYCLE_FREQUENCY) {
        error_setg(errp, "vmi-pci: cycle-frequency must be between %" PRIu64
                   " and %" PRIu64 " Hz, because guests compute with it in "
                   "32 bits", (uint64_t)VMI_MIN_CYCLE_FREQUENCY,
                   (uint64_t)VMI_MAX_CYCLE_FREQUENCY);
        return false;
    }
    if (vmi->exact_stolen && !kvm_enabled()) {
        error_setg(errp, "vmi-pci: exact-stolen=on is for the KVM accelerator; "
                   "stolen time is exact under TCG");
        return false;
    }
    if (vmi->check && !tcg_enabled()) {
        error_setg(errp, "vmi-pci: check=on is for the TCG accelerator");
        return false;
    }
    if (!vmi_virtual_top_valid(vmi->virtual_top)) {
        error_setg(errp, "vmi-pci: virtual-top must be page-aligned and "
                   "between 0x%" PRIx64 " and 0x%" PRIx64,
                   (uint64_t)VMI_MIN_VIRTUAL_TOP,
                   (uint64_t)(4 * GiB - TARGET_PAGE_SIZE));
        return false;
    }
    return true;
}

static bool vmi_check_rom(PCIDevice *pdev, Error **errp)
{
    const char *romfile = pdev->romfile ?: VMI_ROM_FILE;

    if (!pdev->rom_bar) {
        error_setg(errp, "vmi-pci: rombar=0 would hide VMI from the guest");
        return false;
    }
    if (pdev->romsize != UINT32_MAX && pdev->romsize != VMI_ROM_SIZE) {
        error_setg(errp, "vmi-pci: romsize must be %d", VMI_ROM_SIZE);
        return false;
    }
    pdev->romsize = VMI_ROM_SIZE;
    if (!*romfile) {
        error_setg(errp, "vmi-pci: an empty romfile would hide VMI from the "
                   "guest");
        return false;
    }
    /* An incoming guest brings its own ROM. */
    return runstate_check(RUN_STATE_INMIGRATE) ||
           vmi_rom_check(romfile, errp);
}

static void vmi_pci_realize(PCIDevice *pdev, Error **errp)
{
    VMIPCIState *vmi = VMI_PCI(pdev);
    MachineState *machine = MACHINE(qdev_get_machine());
    CPUState *cs;

    if (!object_resolve_path_type("", TYPE_VMI_PCI, NULL)) {
        error_setg(errp, "at most one vmi-pci device is permitted");
        return;
    }
    if (vmi->vcpu) {
        error_setg(errp, "vmi-pci: the device cannot be realized again");
        return;
    }
    if (!object_dynamic_cast(OBJECT(machine), TYPE_X86_MACHINE)) {
        error_setg(errp, "vmi-pci: machine \"%s\" is not a PC",
                   MACHINE_GET_CLASS(machine)->name);
        return;
    }
    if (!tcg_enabled() && !kvm_enabled() && !qtest_enabled()) {
        error_setg(errp, "vmi-pci: needs the TCG or the KVM accelerator");
        return;
    }
    if (!vmi_check_properties(vmi, errp) || !vmi_check_rom(pdev, errp)) {
        return;
    }

    qemu_mutex_init(&vmi->errors.lock);
    vmi_calls_init(vmi);
    vmi->nr_vcpus = machine->smp.max_cpus;
    vmi->vcpu = g_new0(VMIVCPU, vmi->nr_vcpus);
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        VMIVCPU *vcpu = &vmi->vcpu[i];

        vcpu->vmi = vmi;
        qemu_mutex_init(&vcpu->lock);
        vmi_alarm_vcpu_init(vcpu);
        vmi_time_vcpu_init(vcpu);
    }

    vmi->cpu_listener.realize = vmi_cpu_realize;
    vmi->cpu_listener.unrealize = vmi_cpu_unrealize;
    CPU_FOREACH(cs) {
        vmi_cpu_realize(&vmi->cpu_listener, DEVICE(cs));
    }
    device_listener_register(&vmi->cpu_listener);

    vmi_port_init(vmi);
    vmi_stats_init(vmi);
    vmi_reset_setup(vmi);
    vmi->vm_state_change =
        qemu_add_vm_change_state_handler(vmi_vm_state_change, vmi);
    vmi->machine_done.notify = vmi_machine_done;
    qemu_add_machine_init_done_notifier(&vmi->machine_done);
}

/*
 * Nothing detaches the device: it is not hotpluggable.  If its realized
 * property is set to false all the same, VMI mode ends as at a reset.  CPUs,
 * and code that TCG has translated, go on referring to the device, so its
 * memory stays.
 */
static void vmi_pci_exit(PCIDevice *pdev)
{
    VMIPCIState *vmi = VMI_PCI(pdev);

    vmi_reset_teardown(vmi);
    qemu_del_vm_change_state_handler(vmi->vm_state_change);
    qemu_remove_machine_init_done_notifier(&vmi->machine_done);
    memory_region_del_subregion(get_system_io(), &vmi->port);
    object_ref(OBJECT(vmi));
}

static const Property vmi_pci_properties[] = {
    DEFINE_PROP_UINT32("virtual-top", VMIPCIState, virtual_top,
                       VMI_DEFAULT_VIRTUAL_TOP),
    DEFINE_PROP_BIT("cpu", VMIPCIState, groups, VMI_GROUP_CPU, true),
    DEFINE_PROP_BIT("irq", VMIPCIState, groups, VMI_GROUP_IRQ, true),
    DEFINE_PROP_BIT("mmu", VMIPCIState, groups, VMI_GROUP_MMU, true),
    DEFINE_PROP_BIT("smp", VMIPCIState, groups, VMI_GROUP_SMP, true),
    DEFINE_PROP_BIT("timer", VMIPCIState, groups, VMI_GROUP_TIMER, true),
    DEFINE_PROP_BIT("lazy", VMIPCIState, groups, VMI_GROUP_LAZY, true),
    DEFINE_PROP_BOOL("check", VMIPCIState, check, false),
    DEFINE_PROP_BOOL("hide-kvm", VMIPCIState, hide_kvm, true),
    DEFINE_PROP_BOOL("exact-stolen", VMIPCIState, exact_stolen, false),
};

static bool vmi_get_active(Object *obj, Error **errp)
{
    return qatomic_read(&VMI_PCI(obj)->active);
}

static void vmi_get_cycle_frequency(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &VMI_PCI(obj)->cycle_frequency, errp);
}

/* No value stands for the default, which depends on the accelerator. */
static void vmi_set_cycle_frequency(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    VMIPCIState *vmi = VMI_PCI(obj);

    if (DEVICE(obj)->realized) {
        qdev_prop_set_after_realize(DEVICE(obj), name, errp);
        return;
    }
    if (visit_type_uint64(v, name, &vmi->cycle_frequency, errp)) {
        vmi->cycle_frequency_set = true;
    }
}

static void vmi_pci_instance_init(Object *obj)
{
    VMIPCIState *vmi = VMI_PCI(obj);

    vmi->groups |= 1u << VMI_GROUP_ALWAYS;
    object_property_add_uint32_ptr(obj, "rom-address", &vmi->rom_address,
                                   OBJ_PROP_FLAG_READ);
}

static void vmi_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    X86VirtualHypervisorClass *vc = X86_VIRTUAL_HYPERVISOR_CLASS(klass);

    dc->desc = "VMware Virtual Machine Interface";
    dc->vmsd = &vmstate_vmi_pci;
    /* Guests look for the ROM once, at boot. */
    dc->hotpluggable = false;
    device_class_set_props(dc, vmi_pci_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    object_class_property_add(klass, "cycle-frequency", "uint64",
                              vmi_get_cycle_frequency,
                              vmi_set_cycle_frequency, NULL, NULL);
    object_class_property_set_description(klass, "cycle-frequency",
        "Cycles per second of the guest's counters; default: what the "
        "accelerator serves best");
    object_class_property_add_bool(klass, "active", vmi_get_active, NULL);
    object_class_property_set_description(klass, "active",
        "A guest kernel has entered VMI mode");

    pc->realize = vmi_pci_realize;
    pc->exit = vmi_pci_exit;
    pc->romfile = VMI_ROM_FILE;
    pc->vendor_id = VMI_PCI_VENDOR_ID;
    pc->device_id = VMI_PCI_DEVICE_ID;
    pc->class_id = VMI_PCI_CLASS_ID;
    pc->revision = VMI_PCI_REVISION;

    vc->hypercall = vmi_hypercall;
    vc->is_simple = vmi_hypercall_is_simple;
    vc->inline_call = vmi_inline_call;
    vc->hypercall_indirect = vmi_hypercall_indirect;
    vc->hypercall_range = vmi_hypercall_range;
    vc->startup = vmi_startup;
}

static const TypeInfo vmi_pci_info = {
    .name          = TYPE_VMI_PCI,
    .parent        = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VMIPCIState),
    .instance_init = vmi_pci_instance_init,
    .class_init    = vmi_pci_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { TYPE_X86_VIRTUAL_HYPERVISOR },
        { }
    }
};

static void vmi_pci_register_types(void)
{
    type_register_static(&vmi_pci_info);
}

type_init(vmi_pci_register_types)
