/*
 * VMI: calls about time under KVM
 *
 * A guest sets an alarm each time that it idles and at each tick.  To
 * synchronise the CPU's whole state takes two dozen system calls, of which
 * such a call needs three: it concerns general registers only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "system/kvm.h"
#include "vmi-kvm.h"

/* As vmi_port_allowed(), of what KVM says */
static bool vmi_kvm_port_allowed(CPUX86State *env, const struct kvm_regs *regs,
                                 const struct kvm_sregs *sregs)
{
    return (sregs->cr0 & CR0_PE_MASK) && sregs->cs.db && !sregs->ss.dpl &&
           !(sregs->efer & MSR_EFER_LMA) && !(regs->rflags & VM_MASK) &&
           !(env->hflags & HF_SMM_MASK);
}

bool vmi_kvm_port_call(VMIPCIState *vmi, CPUState *cs)
{
    CPUX86State *env = cpu_env(cs);
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    VMICall call;
    uint32_t nr;

    /*
     * If this CPU can run guests of its own, with SVM or VMX, the call may
     * come from one of those.  Only the CPU's whole state shows which it is.
     */
    if (!vmi->active || cs->vcpu_dirty || cpu_has_svm(env) ||
        cpu_has_vmx(env) || kvm_vcpu_ioctl(cs, KVM_GET_REGS, &regs) < 0) {
        return false;
    }
    nr = regs.rdi;
    if (nr >= VMI_MAX_CALLS || vmi_call_info(nr)->group != VMI_GROUP_TIMER ||
        kvm_vcpu_ioctl(cs, KVM_GET_SREGS, &sregs) < 0 ||
        !vmi_kvm_port_allowed(env, &regs, &sregs)) {
        return false;
    }
    /* What QEMU has of them is stale, and is read again before it is used. */
    env->regs[R_EAX] = regs.rax;
    env->regs[R_EDX] = regs.rdx;
    env->regs[R_ECX] = regs.rcx;
    env->regs[R_EBX] = regs.rbx;
    env->regs[R_ESI] = regs.rsi;
    call = vmi_call_begin(vmi, X86_CPU(cs), nr, 0);
    vmi_dispatch(&call);
    vmi_call_end(&call);
    regs.rax = env->regs[R_EAX];
    regs.rdx = env->regs[R_EDX];
    kvm_vcpu_ioctl(cs, KVM_SET_REGS, &regs);
    return true;
}
