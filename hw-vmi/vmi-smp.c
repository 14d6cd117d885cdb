/*
 * VMI: starting processors, and the local APIC calls
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/i386/apic.h"
#include "hw/i386/apic_internal.h"
#include "qemu/bswap.h"
#include "qemu/main-loop.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

/*
 * SetInitialAPState: EAX -> VMIAPState, EDX APIC id.
 *
 * Linux has the structure on its stack, so it is copied now.  A state that
 * cannot be read or makes no sense leaves nothing staged.
 */
void vmi_call_set_ap_state(VMICall *call)
{
    VMIPCIState *vmi = call->vmi;
    VMIAPState state;
    CPUState *target;
    VMIVCPU *vcpu;

    BQL_LOCK_GUARD();

    target = cpu_by_arch_id(call->arg[1]);
    if (!target) {
        vmi_guest_error(vmi, "SetInitialAPState: no CPU has APIC id %" PRIu32,
                        call->arg[1]);
        return;
    }
    vcpu = &vmi->vcpu[target->cpu_index];
    vcpu->ap_native = false;
    vcpu->ap_staged = false;
    if (call->arg[0] > UINT32_MAX - sizeof(state) ||
        cpu_memory_rw_debug(CPU(call->cpu), call->arg[0], &state,
                            sizeof(state), false) < 0) {
        vmi_guest_error(vmi, "SetInitialAPState: no state at 0x%" PRIx32,
                        call->arg[0]);
        return;
    }
    vcpu->ap_staged = vmi_ap_state_valid(X86_CPU(target), &state);
    vcpu->ap_state = state;
    trace_vmi_ap_state(target->cpu_index, le32_to_cpu(state.eip),
                       le32_to_cpu(state.cr0), le32_to_cpu(state.cr3),
                       le32_to_cpu(state.cr4), vcpu->ap_staged);
    if (!vcpu->ap_staged) {
        vmi_guest_error(vmi, "SetInitialAPState: bad state for APIC id %"
                        PRIu32, call->arg[1]);
    } else if (kvm_enabled()) {
        vmi_kvm_start_ap(vcpu);
    }
}

X86StartupResult vmi_startup(X86VirtualHypervisor *vhyp, X86CPU *cpu)
{
    VMIPCIState *vmi = vmi_of(vhyp);
    VMIVCPU *vcpu = &vmi->vcpu[CPU(cpu)->cpu_index];
    bool ok;

    if (!vmi->active || vcpu->ap_native ||
        vmi_service(vmi, VMI_CALL_SetInitialAPState) != VMI_SERVICE_HOST) {
        vmi_alarm_cancel_all(vcpu);
        return X86_STARTUP_NATIVE;
    }
    if (!vcpu->ap_staged) {
        trace_vmi_ap_start(CPU(cpu)->cpu_index, false);
        vmi_guest_error(vmi, "STARTUP IPI for CPU %d, but no state is set",
                        CPU(cpu)->cpu_index);
        return X86_STARTUP_REFUSED;
    }

    vmi_vcpu_forget(vcpu);
    /* Migrated state may hold anything. */
    ok = vmi_ap_state_valid(cpu, &vcpu->ap_state) &&
         vmi_ap_load(cpu, &vcpu->ap_state);
    trace_vmi_ap_start(CPU(cpu)->cpu_index, ok);
    if (!ok) {
        vmi_guest_error(vmi, "STARTUP IPI for CPU %d, but its segments are "
                        "bad", CPU(cpu)->cpu_index);
        do_cpu_init(cpu);       /* undo; it waits for a STARTUP IPI again */
        return X86_STARTUP_REFUSED;
    }
    CPU(cpu)->halted = 0;
    return X86_STARTUP_DONE;
}

/*
 * APICRead and APICWrite name a register by its linear address (the
 * specification) or its offset (Linux): the low 12 bits are the same.
 */
static hwaddr vmi_apic_register(VMICall *call)
{
    return (cpu_get_apic_base(call->cpu->apic_state) & MSR_IA32_APICBASE_BASE) |
           (call->arg[0] & 0xff0);
}

static bool vmi_apic_present(VMICall *call)
{
    if (!call->cpu->apic_state) {
        vmi_guest_error(call->vmi, "CPU %d has no local APIC",
                        CPU(call->cpu)->cpu_index);
    }
    return call->cpu->apic_state;
}

/* APICWrite: EAX register, EDX value. */
void vmi_call_apic_write(VMICall *call)
{
    if (vmi_apic_present(call)) {
        address_space_stl_le(CPU(call->cpu)->as, vmi_apic_register(call),
                             call->arg[1], MEMTXATTRS_UNSPECIFIED, NULL);
        if ((call->arg[0] & 0xff0) == VMI_APIC_LVTT &&
            !(call->arg[1] & APIC_LVT_MASKED)) {
            vmi_alarm_unmasked(call->vcpu);
        }
    }
}

/* APICRead: EAX register. */
void vmi_call_apic_read(VMICall *call)
{
    if (vmi_apic_present(call)) {
        call->result = address_space_ldl_le(CPU(call->cpu)->as,
                                            vmi_apic_register(call),
                                            MEMTXATTRS_UNSPECIFIED, NULL);
    }
}
