/*
 * VMI under TCG: VMCALL, and IRET on the guest's behalf
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu_ldst.h"
#include "exec/exec-all.h"
#include "tcg/helper-tcg.h"
#include "trace.h"
#include "vmi-internal.h"

X86HypercallResult vmi_hypercall(X86VirtualHypervisor *vhyp, X86CPU *cpu,
                                 uint8_t nr, uintptr_t ra)
{
    VMIPCIState *vmi = VMI_PCI(vhyp);
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
        return X86_HYPERCALL_UNDEFINED;
    }

    vmi_dispatch(&call);
    if (call.jumped) {
        return X86_HYPERCALL_JUMP;
    }
    env->regs[R_EAX] = (uint32_t)call.result;
    env->regs[R_EDX] = call.result >> 32;
    return X86_HYPERCALL_DONE;
}

/*
 * The length of the call instruction that ends at linear address @ret, if it
 * is one that may have called the IRET stub: a direct call to @stub, or any
 * indirect one.  Otherwise 0.
 */
static unsigned vmi_call_length(X86CPU *cpu, uint32_t ret, uint32_t stub)
{
    uint8_t code[7];            /* the longest: FF /2, SIB, disp32 */
    uint32_t start = ret - sizeof(code);
    void *host = NULL;

    /* Quick if it is in the TLB and in one page, and never a fault. */
    if ((start & TARGET_PAGE_MASK) == ((ret - 1) & TARGET_PAGE_MASK) &&
        !probe_access_flags(&cpu->env, start, sizeof(code), MMU_DATA_LOAD,
                            cpu_mmu_index(CPU(cpu), false), true, &host, 0) &&
        host) {
        memcpy(code, host, sizeof(code));
    } else if (cpu_memory_rw_debug(CPU(cpu), start, code, sizeof(code),
                                   false) < 0) {
        return 0;
    }

    if (code[2] == 0xe8 && ret + ldl_le_p(&code[3]) == stub) {
        return 5;
    }
    for (unsigned len = 2; len <= sizeof(code); len++) {
        uint8_t *insn = &code[sizeof(code) - len];
        uint8_t mod = insn[1] >> 6, reg = (insn[1] >> 3) & 7, rm = insn[1] & 7;
        bool sib = mod != 3 && rm == 4;
        unsigned want = 2 + sib;

        if (mod == 1) {
            want += 1;
        } else if (mod == 2 || (mod == 0 && rm == 5) ||
                   (mod == 0 && sib && (insn[2] & 7) == 5)) {
            want += 4;
        }
        if (insn[0] == 0xff && reg == 2 && want == len) {
            return len;
        }
    }
    return 0;
}

/*
 * IRET: [return address] EIP CS EFLAGS [ESP SS [ES DS FS GS]].
 *
 * The relocation type says CALL, so there is a return address on top of the
 * frame.  The specification has guests jump here as well; then there is
 * none, and no call instruction in front of where it points.
 *
 * Linux finds its handler for a fault in IRET by the address of the
 * instruction, its call site, and expects ESP at the frame.  So that is the
 * state before IRET is carried out, and no return address into translated
 * code is passed that would bring back another one.
 */
void vmi_call_iret(VMICall *call)
{
    CPUX86State *env = &call->cpu->env;
    uint32_t esp = env->regs[R_ESP];
    uint32_t ret = cpu_ldl_data_ra(env, env->segs[R_SS].base + esp, call->ra);
    uint32_t linear = env->segs[R_CS].base + ret;
    unsigned len = vmi_call_length(call->cpu, linear,
                                   env->segs[R_CS].base + env->eip);

    if (len) {
        env->eip = ret - len;
        env->regs[R_ESP] = esp + 4;
    }
    x86_iret_protected(env, 1, env->eip + (len ?: 5), 0);
    call->jumped = true;
}
