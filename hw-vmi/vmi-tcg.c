/*
 * VMI under TCG: VMCALL, and calls in place
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "trace.h"
#include "vmi-tcg.h"

bool vmi_hypercall_is_simple(X86VirtualHypervisor *vhyp, uint8_t nr)
{
    VMIPCIState *vmi = vmi_of(vhyp);

    return nr < VMI_MAX_CALLS && vmi->host[nr] == VMI_HOST_SIMPLE;
}

X86HypercallResult vmi_hypercall(X86VirtualHypervisor *vhyp, X86CPU *cpu,
                                 uint8_t nr, bool in_place, uintptr_t ra)
{
    VMIPCIState *vmi = vmi_of(vhyp);
    VMIVCPU *vcpu = &vmi->vcpu[CPU(cpu)->cpu_index];
    CPUX86State *env = &cpu->env;
    VMICall call;

    /* What is done below, for the calls that are made most */
    if (likely(qatomic_read(&vmi->active) && !vcpu->halt_start) &&
        vmi_hypercall_is_simple(vhyp, nr) &&
        !trace_event_get_state_backends(TRACE_VMI_CALL) &&
        !trace_event_get_state_backends(TRACE_VMI_RETURN) &&
        vmi_mmu_quick_call(vcpu, nr, ra)) {
        vmi_count(&vcpu->stats.calls[nr]);
        return X86_HYPERCALL_SIMPLE;
    }

    call = vmi_call_begin(vmi, cpu, nr, ra);
    if (!qatomic_read(&vmi->active)) {
        vmi_refuse(call.vcpu, nr, "before VMI_Init", "call %u before VMI_Init",
                   nr);
        return X86_HYPERCALL_UNDEFINED;
    }

    /* In place of the ROM's stub, which would have loaded them */
    if (in_place && vmi_call_info(nr)->stack) {
        uint32_t at = env->segs[R_SS].base + env->regs[R_ESP];

        for (unsigned i = 0; i < vmi_call_info(nr)->stack; i++) {
            call.arg[3 + i] = cpu_ldl_data_ra(env, at + 4 * i, ra);
        }
    }

    if (unlikely(call.vcpu->halt_start)) {
        vmi_halt_ended(call.vcpu);
    }
    vmi_dispatch(&call);
    if (call.jumped) {
        return X86_HYPERCALL_JUMP;
    }
    vmi_call_end(&call);
    if (call.halt) {
        return X86_HYPERCALL_HALT;
    }
    return vmi_hypercall_is_simple(vhyp, nr) ? X86_HYPERCALL_SIMPLE
                                             : X86_HYPERCALL_DONE;
}

/* IRET finds its frame behind a return address: that call is carried out. */
X86HypercallResult vmi_hypercall_indirect(X86VirtualHypervisor *vhyp,
                                          X86CPU *cpu, uint32_t target,
                                          uintptr_t ra)
{
    VMIPCIState *vmi = vmi_of(vhyp);
    uint32_t offset = target - qatomic_read(&vmi->rom_linear) -
                      VMI_ROM_VMCALL_SLOTS;
    uint32_t nr = offset / VMI_ROM_SLOT_SIZE;

    if (offset % VMI_ROM_SLOT_SIZE || nr >= VMI_ROM_SLOTS ||
        vmi->host[nr] == VMI_HOST_NONE || nr == VMI_CALL_IRET) {
        return X86_HYPERCALL_NONE;
    }
    return vmi_hypercall(vhyp, cpu, nr, true, ra);
}

/* Not with a debugger, whose breakpoints may be in the ROM. */
static bool vmi_calls_in_place(VMIPCIState *vmi)
{
    return qatomic_read(&vmi->active) && !qatomic_read(&vmi->debugged);
}

/* What a call to a slot of the ROM does, if TCG can do it in place. */
X86InlineCall vmi_inline_call(X86VirtualHypervisor *vhyp, uint32_t target,
                              uint8_t *nr)
{
    static const X86InlineCall in_place[] = {
        [VMI_PLACE_NONE] = X86_INLINE_NONE,
        [VMI_PLACE_ENDS] = X86_INLINE_HYPERCALL,
        [VMI_PLACE_SIMPLE] = X86_INLINE_HYPERCALL,
        [VMI_PLACE_IRET] = X86_INLINE_IRET,
        [VMI_PLACE_STI] = X86_INLINE_STI,
        [VMI_PLACE_CLI] = X86_INLINE_CLI,
        [VMI_PLACE_GET_IF] = X86_INLINE_GET_IF,
        [VMI_PLACE_SET_IF] = X86_INLINE_SET_IF,
    };
    VMIPCIState *vmi = vmi_of(vhyp);
    uint32_t offset = target - qatomic_read(&vmi->rom_linear);
    VMIService service;

    if (!vmi_calls_in_place(vmi) || offset % VMI_ROM_SLOT_SIZE) {
        return X86_INLINE_NONE;
    }
    if (offset - VMI_ROM_NATIVE_SLOTS < VMI_ROM_SLOTS * VMI_ROM_SLOT_SIZE) {
        offset -= VMI_ROM_NATIVE_SLOTS;
        service = VMI_SERVICE_NATIVE;
    } else if (offset - VMI_ROM_VMCALL_SLOTS <
               VMI_ROM_SLOTS * VMI_ROM_SLOT_SIZE) {
        offset -= VMI_ROM_VMCALL_SLOTS;
        service = VMI_SERVICE_HOST;
    } else {
        return X86_INLINE_NONE;
    }
    *nr = offset / VMI_ROM_SLOT_SIZE;
    if (service == VMI_SERVICE_NATIVE ? vmi_service(vmi, *nr) != service
                                      : vmi->host[*nr] == VMI_HOST_NONE) {
        return X86_INLINE_NONE;
    }
    return in_place[vmi_call_info(*nr)->place];
}

uint32_t vmi_hypercall_range(X86VirtualHypervisor *vhyp, uint32_t *size)
{
    VMIPCIState *vmi = vmi_of(vhyp);

    *size = vmi_calls_in_place(vmi) ? VMI_ROM_SLOTS * VMI_ROM_SLOT_SIZE : 0;
    return qatomic_read(&vmi->rom_linear) + VMI_ROM_VMCALL_SLOTS;
}
