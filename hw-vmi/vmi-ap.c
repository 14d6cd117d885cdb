/*
 * VMI: the state in which a guest has a processor start
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "vmi-parts.h"

/* What a 32-bit guest may ask for; long mode has no VMI. */
#define VMI_AP_EFER_MASK (MSR_EFER_SCE | MSR_EFER_NXE)

bool vmi_ap_state_valid(X86CPU *cpu, const VMIAPState *state)
{
    uint32_t cr0 = le32_to_cpu(state->cr0);
    uint32_t cr4 = le32_to_cpu(state->cr4);
    uint64_t efer = le64_to_cpu(state->efer);

    return (cr0 & CR0_PE_MASK) && (cr0 & CR0_PG_MASK) &&
           !(cr4 & cr4_reserved_bits(&cpu->env)) &&
           !(efer & ~VMI_AP_EFER_MASK) &&
           (!(efer & MSR_EFER_NXE) ||
            (cpu->env.features[FEAT_8000_0001_EDX] & CPUID_EXT2_NX)) &&
           !(le32_to_cpu(state->eflags) & VM_MASK);
}

/*
 * Load a segment register from the GDT that is in force, at CPL 0.
 * Returns: false if the descriptor is not there or not fit for @reg.
 */
static bool vmi_ap_load_segment(X86CPU *cpu, int reg, uint16_t selector)
{
    CPUX86State *env = &cpu->env;
    uint32_t offset = selector & ~7;
    bool code = reg == R_CS;
    uint32_t desc[2], lo, hi, limit;

    if (!(selector & ~3)) {
        cpu_x86_load_seg_cache(env, reg, selector, 0, 0, 0);
        return reg != R_CS && reg != R_SS;
    }
    if ((selector & 4) || offset + 7 > env->gdt.limit ||
        cpu_memory_rw_debug(CPU(cpu), (uint32_t)(env->gdt.base + offset), desc,
                            sizeof(desc), false) < 0) {
        return false;
    }
    lo = le32_to_cpu(desc[0]);
    hi = le32_to_cpu(desc[1]);
    if (!(hi & DESC_P_MASK) || !(hi & DESC_S_MASK)) {
        return false;
    }
    if (code != !!(hi & DESC_CS_MASK) && (code || reg == R_SS)) {
        return false;
    }
    if (reg == R_SS && !(hi & DESC_W_MASK)) {
        return false;
    }
    if ((code || reg == R_SS) && (hi & DESC_DPL_MASK)) {
        return false;
    }
    limit = (lo & 0xffff) | (hi & 0xf0000);
    if (hi & DESC_G_MASK) {
        limit = limit << 12 | 0xfff;
    }
    cpu_x86_load_seg_cache(env, reg, selector,
                           lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000),
                           limit, hi);
    return true;
}

bool vmi_ap_load(X86CPU *cpu, const VMIAPState *state)
{
    CPUX86State *env = &cpu->env;
    uint32_t eflags = le32_to_cpu(state->eflags);

    env->gdt.base = le32_to_cpu(state->gdtr_base);
    env->gdt.limit = le16_to_cpu(state->gdtr_limit);
    env->idt.base = le32_to_cpu(state->idtr_base);
    env->idt.limit = le16_to_cpu(state->idtr_limit);

    cpu_load_efer(env, le64_to_cpu(state->efer));
    env->cr[2] = le32_to_cpu(state->cr2);
    cpu_x86_update_cr4(env, le32_to_cpu(state->cr4));
    cpu_x86_update_cr3(env, le32_to_cpu(state->cr3));
    cpu_x86_update_cr0(env, le32_to_cpu(state->cr0));

    env->regs[R_EAX] = le32_to_cpu(state->eax);
    env->regs[R_EBX] = le32_to_cpu(state->ebx);
    env->regs[R_ECX] = le32_to_cpu(state->ecx);
    env->regs[R_EDX] = le32_to_cpu(state->edx);
    env->regs[R_ESP] = le32_to_cpu(state->esp);
    env->regs[R_EBP] = le32_to_cpu(state->ebp);
    env->regs[R_ESI] = le32_to_cpu(state->esi);
    env->regs[R_EDI] = le32_to_cpu(state->edi);
    env->eip = le32_to_cpu(state->eip);

    CC_SRC = eflags & (CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C);
    CC_OP = CC_OP_EFLAGS;
    env->df = eflags & DF_MASK ? -1 : 1;
    env->eflags = (eflags & (TF_MASK | IF_MASK | IOPL_MASK | NT_MASK |
                             RF_MASK | AC_MASK | ID_MASK)) | 2;

    /* An LDT would have to come from the same GDT; no client sets one. */
    return !(le16_to_cpu(state->ldtr) & ~3) &&
           vmi_ap_load_segment(cpu, R_CS, le16_to_cpu(state->cs)) &&
           vmi_ap_load_segment(cpu, R_SS, le16_to_cpu(state->ss)) &&
           vmi_ap_load_segment(cpu, R_DS, le16_to_cpu(state->ds)) &&
           vmi_ap_load_segment(cpu, R_ES, le16_to_cpu(state->es)) &&
           vmi_ap_load_segment(cpu, R_FS, le16_to_cpu(state->fs)) &&
           vmi_ap_load_segment(cpu, R_GS, le16_to_cpu(state->gs));
}
