/*
 * VMI: a guest enters VMI mode, and asks what the host serves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/tb-flush.h"
#include "hw/timer/hpet.h"
#include "qapi/qapi-events-vmi.h"
#include "qemu/error-report.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

void vmi_flush_code(void)
{
    if (tcg_enabled()) {
        tb_flush(first_cpu);
    }
}

void vmi_vcpu_forget(VMIVCPU *vcpu)
{
    vmi_alarm_cancel_all(vcpu);
    vcpu->ap_staged = false;
    vcpu->ap_native = false;
}

/*
 * The timer's set-up in the guest replaces what would map the HPET, and the
 * kernel reads its registers all the same.
 */
static void vmi_warn_hpet(VMIPCIState *vmi)
{
    if ((vmi->groups & BIT(VMI_GROUP_TIMER)) && hpet_find()) {
        warn_report_once("vmi-pci: Linux 2.6.24 to 2.6.34 dies with VMI on a "
                         "machine that has an HPET: use -machine hpet=off");
    }
}

bool vmi_handshake(VMIPCIState *vmi, X86CPU *cpu, uint32_t linear,
                   uint32_t revision)
{
    uint32_t rom = 0;
    bool ok;

    /* Once per guest kernel: a second one, by kexec say, starts afresh. */
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_vcpu_forget(&vmi->vcpu[i]);
    }
    memset(vmi->relocated, 0, sizeof(vmi->relocated));
    vmi->kvm.pit_seen = false;

    ok = revision == VMI_ROM_REVISION && vmi_rom_find(cpu, linear, &rom);
    trace_vmi_init(linear, revision, ok, rom);
    if (!ok) {
        vmi_guest_error(vmi, "VMI_Init from linear address 0x%" PRIx32
                        ", ROM revision %" PRIu32 ": not the ROM in the "
                        "firmware's segment", linear, revision);
    }
    vmi->rom_address = rom;
    vmi->rom_revision = VMI_ROM_REVISION;
    qatomic_set(&vmi->rom_linear, ok ? linear : 0);
    vmi->accel = kvm_enabled() ? VMI_ACCEL_KVM : VMI_ACCEL_TCG;
    qatomic_set(&vmi->active, ok);
    if (ok && kvm_enabled()) {
        vmi_kvm_time_share(vmi);
        vmi_alarm_restart_all(vmi);
    }
    vmi_flush_code();
    if (ok) {
        vmi->active_since = g_get_real_time() / G_USEC_PER_SEC;
        vmi->handshakes++;
        vmi_warn_hpet(vmi);
        qapi_event_send_vmi_active(vmi->qom_path, rom);
    }
    return ok;
}

/*
 * Linux 2.6.21-rc1 and its forerunners replace a call that they are refused by
 * an empty function.  They ask for Halt early; later ports ask for it last.
 */
static void vmi_warn_no_apic(VMIPCIState *vmi, uint32_t nr)
{
    if ((nr == VMI_CALL_APICRead || nr == VMI_CALL_APICWrite) &&
        vmi->relocated[VMI_CALL_Halt] != VMI_SERVICE_NONE) {
        warn_report_once("vmi-pci: a guest's port of VMI as old as Linux "
                         "2.6.21-rc1 cannot reach its local APIC without the "
                         "calls for it, which KVM and smp=off leave out: use "
                         "-accel tcg, or noapic and nolapic in the guest");
    }
}

void vmi_relocate(VMIPCIState *vmi, CPUX86State *env)
{
    static const struct {
        uint8_t type;
        uint16_t slots;
    } answer[] = {
        [VMI_SERVICE_NONE]   = { VMI_RELOCATION_NONE },
        [VMI_SERVICE_NATIVE] = { VMI_RELOCATION_CALL_REL,
                                 VMI_ROM_NATIVE_SLOTS },
        [VMI_SERVICE_HOST]   = { VMI_RELOCATION_CALL_REL },
        [VMI_SERVICE_NOP]    = { VMI_RELOCATION_CALL_REL,
                                 VMI_ROM_NATIVE_SLOTS },
        [VMI_SERVICE_SHARED] = { VMI_RELOCATION_CALL_REL,
                                 VMI_ROM_NATIVE_SLOTS },
    };
    uint32_t nr = env->regs[R_EAX];
    VMIService service = VMI_SERVICE_NONE;
    uint32_t slots;

    if (!vmi->active) {
        vmi_guest_error(vmi, "GetRelocationInfo before VMI_Init");
    } else {
        service = vmi_service(vmi, nr);
    }
    if (service == VMI_SERVICE_NONE) {
        vmi_warn_no_apic(vmi, nr);
    }
    slots = answer[service].slots;
    if (service == VMI_SERVICE_HOST) {
        slots = vmi->accel == VMI_ACCEL_TCG ? VMI_ROM_VMCALL_SLOTS :
                                              VMI_ROM_PORT_SLOTS;
    }
    if (nr < VMI_MAX_CALLS) {
        vmi->relocated[nr] = service;
        trace_vmi_relocation(nr, vmi_call_info(nr)->name ?: "unassigned",
                             answer[service].type);
    }
    env->regs[R_EAX] = service == VMI_SERVICE_NONE ? 0 :
                       slots + nr * VMI_ROM_SLOT_SIZE;
    env->regs[R_EDX] = answer[service].type;
}
