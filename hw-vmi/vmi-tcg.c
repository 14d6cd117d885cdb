/*
 * VMI under TCG: VMCALL, and calls in place
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "trace.h"
#include "vmi-internal.h"

bool vmi_hypercall_is_simple(X86VirtualHypervisor *vhyp, uint8_t nr)
{
    VMIPCIState *vmi = (VMIPCIState *)vhyp;

    return nr < VMI_MAX_CALLS && vmi->host[nr] == VMI_HOST_SIMPLE;
}

X86HypercallResult vmi_hypercall(X86VirtualHypervisor *vhyp, X86CPU *cpu,
                                 uint8_t nr, bool in_place, uintptr_t ra)
{
    VMIPCIState *vmi = (VMIPCIState *)vhyp; /* no cast check: a hot path */
    CPUX86State *env = &cpu->env;
    VMICall call = {
        .vmi = vmi,
        .vcpu = &vmi->vcpu[CPU(cpu)->cpu_index],
        .cpu = cpu,
        .nr = nr,
        .arg = { env->regs[R_EAX], env->regs[R_EDX], env->regs[R_ECX],
                 env->regs[R_EBX], env->regs[R_ESI] },
        .ra = ra,
    };

    if (!qatomic_read(&vmi->active)) {
        trace_vmi_refused(CPU(cpu)->cpu_index, nr, "before VMI_Init");
        vmi_guest_error(vmi, "call %u before VMI_Init", nr);
        vmi_count(&call.vcpu->stats.refused);
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
    env->regs[R_EAX] = (uint32_t)call.result;
    env->regs[R_EDX] = call.result >> 32;
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
    VMIPCIState *vmi = (VMIPCIState *)vhyp;
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
    static const X86InlineCall native[VMI_MAX_CALLS] = {
        [VMI_CALL_EnableInterrupts] = X86_INLINE_STI,
        [VMI_CALL_DisableInterrupts] = X86_INLINE_CLI,
        [VMI_CALL_GetInterruptMask] = X86_INLINE_GET_IF,
        [VMI_CALL_SetInterruptMask] = X86_INLINE_SET_IF,
    };
    VMIPCIState *vmi = (VMIPCIState *)vhyp;
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
    if (service == VMI_SERVICE_NATIVE) {
        return vmi_service(vmi, *nr) == service ? native[*nr]
                                                : X86_INLINE_NONE;
    }
    if (vmi->host[*nr] == VMI_HOST_NONE) {
        return X86_INLINE_NONE;
    }
    return *nr == VMI_CALL_IRET ? X86_INLINE_IRET : X86_INLINE_HYPERCALL;
}

uint32_t vmi_hypercall_range(X86VirtualHypervisor *vhyp, uint32_t *size)
{
    VMIPCIState *vmi = (VMIPCIState *)vhyp;

    *size = vmi_calls_in_place(vmi) ? VMI_ROM_SLOTS * VMI_ROM_SLOT_SIZE : 0;
    return qatomic_read(&vmi->rom_linear) + VMI_ROM_VMCALL_SLOTS;
}

/*
 * Not SetCR3 and the flushes: the code that follows may be mapped elsewhere.
 * Not IRET, Halt, Reboot and Shutdown.
 */
void vmi_tcg_init(VMIPCIState *vmi)
{
    static const uint8_t simple[] = {
        VMI_CALL_UpdateKernelStack, VMI_CALL_RDTSC, VMI_CALL_GetCycleFrequency,
        VMI_CALL_GetCycleCounter, VMI_CALL_SetAlarm, VMI_CALL_CancelAlarm,
        VMI_CALL_SetPxE, VMI_CALL_SetPxELong, VMI_CALL_UpdatePxE,
        VMI_CALL_UpdatePxELong, VMI_CALL_AllocatePage, VMI_CALL_ReleasePage,
        VMI_CALL_APICWrite, VMI_CALL_APICRead,
    };

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        VMIService service = vmi_service(vmi, nr);

        vmi->host[nr] = service == VMI_SERVICE_HOST ||
                        service == VMI_SERVICE_SHARED
                      ? VMI_HOST_CALL : VMI_HOST_NONE;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(simple); i++) {
        if (vmi->host[simple[i]] == VMI_HOST_CALL) {
            vmi->host[simple[i]] = VMI_HOST_SIMPLE;
        }
    }
}
