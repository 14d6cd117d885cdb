/*
 * VMI: starting processors under KVM
 *
 * With KVM's local APIC, QEMU sees neither INIT nor STARTUP IPIs.  What it
 * can see is that a processor waits for a STARTUP IPI.  So a processor that
 * waits when the guest gives its initial state starts there and then, and
 * KVM ignores the STARTUP IPI that follows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

/* In the processor's thread; BQL held */
static void vmi_kvm_ap_work(CPUState *cs, run_on_cpu_data data)
{
    VMIVCPU *vcpu = data.host_ptr;
    CPUX86State *env = cpu_env(cs);
    struct kvm_mp_state now, running = { .mp_state = KVM_MP_STATE_RUNNABLE };

    /* Let KVM carry out an INIT first: what QEMU would read before is stale. */
    kvm_vcpu_ioctl(cs, KVM_GET_MP_STATE, &now);
    cpu_synchronize_state(cs);
    trace_vmi_kvm_ap(cs->cpu_index, env->mp_state, vcpu->ap_staged &&
                     env->mp_state == KVM_MP_STATE_INIT_RECEIVED);
    if (!vcpu->ap_staged || env->mp_state != KVM_MP_STATE_INIT_RECEIVED) {
        return;
    }
    vmi_vcpu_forget(vcpu);
    if (!vmi_ap_load(X86_CPU(cs), &vcpu->ap_state)) {
        vmi_guest_error(vcpu->vmi, "SetInitialAPState for CPU %d: its "
                        "segments are bad", cs->cpu_index);
        /* Forget what was set: KVM has the state that INIT left. */
        cs->vcpu_dirty = false;
        cpu_synchronize_state(cs);
        return;
    }
    /* KVM takes the status flags from here. */
    env->eflags |= CC_SRC;
    env->mp_state = running.mp_state;
    kvm_vcpu_ioctl(cs, KVM_SET_MP_STATE, &running);
    cs->halted = 0;
}

void vmi_kvm_start_ap(VMIVCPU *vcpu)
{
    VMIPCIState *vmi = vcpu->vmi;
    CPUState *cs = CPU(vcpu->cpu);

    if (cs == current_cpu) {
        return;
    }
    /* Two vCPUs that wait for each other would wait for good. */
    if (vmi->kvm.ap_starting) {
        vmi_guest_error(vmi, "SetInitialAPState for CPU %d while another "
                        "processor starts", cs->cpu_index);
        vcpu->ap_staged = false;
        return;
    }
    vmi->kvm.ap_starting = true;
    run_on_cpu(cs, vmi_kvm_ap_work, RUN_ON_CPU_HOST_PTR(vcpu));
    vmi->kvm.ap_starting = false;
}
