/*
 * VMI under TCG: IRET on the guest's behalf
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/exec-all.h"
#include "exec/target_page.h"
#include "tcg/helper-tcg.h"
#include "vmi-internal.h"

/*
 * Bytes in front of linear address @end.  Quick if they are in the TLB and in
 * one page, and never a fault.
 */
static bool vmi_peek_code(X86CPU *cpu, uint32_t end, uint8_t *code,
                          unsigned len)
{
    uint32_t start = end - len;
    void *host = NULL;

    if ((start & TARGET_PAGE_MASK) == ((end - 1) & TARGET_PAGE_MASK) &&
        !probe_access_flags(&cpu->env, start, len, MMU_DATA_LOAD,
                            cpu_mmu_index(CPU(cpu), false), true, &host, 0) &&
        host) {
        memcpy(code, host, len);
        return true;
    }
    return cpu_memory_rw_debug(CPU(cpu), start, code, len, false) == 0;
}

/* The length of CALL r/m32 (FF /2) with this code behind the opcode. */
static unsigned vmi_indirect_call_length(const uint8_t *modrm)
{
    uint8_t mod = modrm[0] >> 6, rm = modrm[0] & 7;
    bool sib = mod != 3 && rm == 4;

    if (((modrm[0] >> 3) & 7) != 2) {
        return 0;
    }
    if (mod == 1) {
        return 3 + sib;
    }
    if (mod == 2 || (mod == 0 && (rm == 5 || (sib && (modrm[1] & 7) == 5)))) {
        return 6 + sib;
    }
    return 2 + sib;
}

/*
 * The length of the call instruction that ends at linear address @ret, if it
 * is one that may have called the IRET stub at @stub: a direct call to it, or
 * any indirect call.  Otherwise 0.
 */
static unsigned vmi_call_length(X86CPU *cpu, uint32_t ret, uint32_t stub,
                                bool *direct)
{
    uint8_t code[8] = { 0 };    /* the longest has 7 bytes */

    *direct = vmi_peek_code(cpu, ret, code, 5) && code[0] == 0xe8 &&
              ret + ldl_le_p(&code[1]) == stub;
    if (*direct) {
        return 5;
    }
    for (unsigned len = 2; len <= 7; len++) {
        if (vmi_peek_code(cpu, ret, code, len) && code[0] == 0xff &&
            vmi_indirect_call_length(&code[1]) == len) {
            return len;
        }
    }
    return 0;
}

/*
 * Whether these two words can be CS and EFLAGS.  EFLAGS has bit 1 set and
 * bits 3, 5, 15 and 22 to 31 clear, which no kernel's code selectors are.
 */
static bool vmi_is_cs_eflags(uint32_t cs, uint32_t eflags)
{
    return !(cs >> 16) && (eflags & 0xffc0802a) == 2;
}

/*
 * IRET: [return address] EIP CS EFLAGS [ESP SS [ES DS FS GS]].
 *
 * The relocation type says CALL, so the call has pushed a return address on
 * top of the frame.  The specification lets guests jump here as well; then
 * there is no return address, and the first word is the frame's EIP.
 *
 * To tell the two apart, look at the code in front of the address that the
 * first word is.  A direct call to this stub decides.  An indirect call does
 * not: the interrupted code, at the frame's EIP, may follow one by chance.  In
 * that case look at the frame: the first word is EIP if CS and EFLAGS follow.
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
    bool direct;
    unsigned len = vmi_call_length(call->cpu, linear,
                                   env->segs[R_CS].base + env->eip, &direct);

    if (len && !direct) {
        uint32_t frame = env->segs[R_SS].base + esp;

        if (vmi_is_cs_eflags(cpu_ldl_data_ra(env, frame + 4, call->ra),
                             cpu_ldl_data_ra(env, frame + 8, call->ra))) {
            len = 0;
        }
    }
    if (len) {
        env->eip = ret - len;
        env->regs[R_ESP] = esp + 4;
    }
    x86_iret_protected(env, 1, env->eip + (len ?: 5), 0);
    call->jumped = true;
}
