/*
 * VMI under KVM: IRET to a 16-bit stack
 *
 * The instruction would leave the high half of the kernel's ESP to the user.
 * The ROM has checked all that faults; what does not look like it here is left
 * to the instruction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "qemu/bswap.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"

#define IRET_EFLAGS (CC_O | CC_S | CC_Z | CC_A | CC_P | CC_C | DF_MASK | \
                     TF_MASK | IF_MASK | IOPL_MASK | NT_MASK | RF_MASK | \
                     AC_MASK | ID_MASK)

typedef struct Descriptor {
    uint32_t base, limit;
    uint32_t flags;             /* the high word */
} Descriptor;

/* A segment that is there, for code and data */
static bool vmi_read_descriptor(X86CPU *cpu, uint32_t selector, Descriptor *d)
{
    CPUX86State *env = &cpu->env;
    SegmentCache *table = selector & 4 ? &env->ldt : &env->gdt;
    uint32_t offset = selector & 0xfff8;
    uint32_t words[2], lo;

    if (!(selector & 0xfffc) || offset + 7 > table->limit ||
        cpu_memory_rw_debug(CPU(cpu), (uint32_t)(table->base + offset), words,
                            sizeof(words), false) < 0) {
        return false;
    }
    lo = le32_to_cpu(words[0]);
    d->flags = le32_to_cpu(words[1]);
    d->base = lo >> 16 | (d->flags & 0xff) << 16 | (d->flags & 0xff000000);
    d->limit = (lo & 0xffff) | (d->flags & 0xf0000);
    if (d->flags & DESC_G_MASK) {
        d->limit = d->limit << 12 | 0xfff;
    }
    return (d->flags & DESC_P_MASK) && (d->flags & DESC_S_MASK);
}

static unsigned vmi_dpl(uint32_t flags)
{
    return (flags >> DESC_DPL_SHIFT) & 3;
}

static bool vmi_iret_allowed(const VMIIretStack *s, const Descriptor *cs,
                             const Descriptor *ss)
{
    unsigned rpl = s->cs & 3;

    if (!rpl || (s->ss & 3) != rpl || s->eip > cs->limit) {
        return false;
    }
    if (!(cs->flags & DESC_CS_MASK) ||
        (cs->flags & DESC_C_MASK ? vmi_dpl(cs->flags) > rpl
                                 : vmi_dpl(cs->flags) != rpl)) {
        return false;
    }
    return !(ss->flags & DESC_CS_MASK) && (ss->flags & DESC_W_MASK) &&
           !(ss->flags & DESC_B_MASK) && vmi_dpl(ss->flags) == rpl;
}

/* A segment register that the user must not have is null afterwards. */
static void vmi_iret_drop_segment(CPUX86State *env, int reg, unsigned rpl)
{
    uint32_t flags = env->segs[reg].flags;

    if (vmi_dpl(flags) < rpl && (~flags & (DESC_CS_MASK | DESC_C_MASK))) {
        cpu_x86_load_seg_cache(env, reg, 0, 0, 0, 0);
    }
}

bool vmi_kvm_iret(X86CPU *cpu)
{
    CPUX86State *env = &cpu->env;
    VMIIretStack s;
    Descriptor cs, ss;

    if (cpu_memory_rw_debug(CPU(cpu),
                            (uint32_t)(env->segs[R_SS].base +
                                       env->regs[R_ESP]),
                            &s, sizeof(s), false) < 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(s); i += sizeof(uint32_t)) {
        uint8_t *word = (uint8_t *)&s + i;

        stl_he_p(word, ldl_le_p(word));
    }
    s.cs &= 0xffff;
    s.ss &= 0xffff;
    if ((s.eflags & VM_MASK) || (env->eflags & NT_MASK) ||
        !vmi_read_descriptor(cpu, s.cs, &cs) ||
        !vmi_read_descriptor(cpu, s.ss, &ss) ||
        !vmi_iret_allowed(&s, &cs, &ss)) {
        return false;
    }
    trace_vmi_kvm_iret(CPU(cpu)->cpu_index, s.cs, s.eip, s.ss, s.esp);
    cpu_x86_load_seg_cache(env, R_SS, s.ss, ss.base, ss.limit, ss.flags);
    cpu_x86_load_seg_cache(env, R_CS, s.cs, cs.base, cs.limit, cs.flags);
    vmi_iret_drop_segment(env, R_ES, s.cs & 3);
    vmi_iret_drop_segment(env, R_DS, s.cs & 3);
    vmi_iret_drop_segment(env, R_FS, s.cs & 3);
    vmi_iret_drop_segment(env, R_GS, s.cs & 3);
    env->regs[R_EDI] = s.edi;
    env->regs[R_EDX] = s.edx;
    env->regs[R_ECX] = s.ecx;
    env->regs[R_EAX] = s.eax;
    env->regs[R_ESP] = s.esp;
    env->eip = s.eip;
    env->eflags = (s.eflags & IRET_EFLAGS) | 2;
    env->hflags2 &= ~HF2_NMI_MASK;
    return true;
}
