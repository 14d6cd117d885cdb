/*
 * VMI device: what there is under KVM only, or nothing in a QEMU without it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VMI_KVM_H
#define HW_VMI_KVM_H

#include "vmi-internal.h"

#ifdef CONFIG_KVM

/* vmi-kvm-apic.c */

/**
 * vmi_kvm_read_lvtt: what KVM's local APIC of a vCPU does with an alarm
 *
 * In the vCPU's own thread.
 *
 * Returns: false if KVM does not tell.
 */
bool vmi_kvm_read_lvtt(CPUState *cs, VMILVTT *lvtt);

/* vmi-kvm-cpuid.c */

/**
 * vmi_kvm_hide: take KVM's CPUID leaves from a CPU that has not run
 */
void vmi_kvm_hide(X86CPU *cpu);

/* vmi-kvm-iret.c */

/**
 * vmi_kvm_iret: IRET to a 16-bit stack, as VMIIretStack at ESP says
 *
 * In the vCPU's thread, with its state synchronised; BQL held.
 *
 * Returns: false, with nothing changed, if that is not what is there.
 */
bool vmi_kvm_iret(X86CPU *cpu);

/* vmi-kvm-pit.c */

/**
 * vmi_kvm_quiet_pit: stop KVM's PIT if the guest has set it to wait
 *
 * For SetAlarm, of which only the first after VMI_Init, and after a migration,
 * does something.
 * BQL held.
 */
void vmi_kvm_quiet_pit(VMIPCIState *vmi);

/* vmi-kvm-port.c */

/**
 * vmi_kvm_port_call: serve a call without the CPU's whole state, if it can be
 *
 * In the vCPU's thread; BQL held.
 *
 * Returns: false if nothing was done.
 */
bool vmi_kvm_port_call(VMIPCIState *vmi, CPUState *cs);

/* vmi-kvm-time.c: all with the BQL held */

/**
 * vmi_kvm_real_cycles: the real counter under KVM
 * @now: the virtual clock
 *
 * Exact in a vCPU's thread.  Elsewhere it is counted from the last exact
 * value by the virtual clock, which may go some millionths faster or slower.
 */
uint64_t vmi_kvm_real_cycles(VMIPCIState *vmi, int64_t now);

/**
 * vmi_kvm_time_share: let the guest read time, from where it is now
 *
 * For VMI_Init and whenever the machine goes on after a stop.
 */
void vmi_kvm_time_share(VMIPCIState *vmi);

/**
 * vmi_kvm_time_sample: see where the counter is, with all vCPUs stopped
 *
 * From there it goes on by the virtual clock, whatever becomes of the TSC,
 * until vmi_kvm_time_share().  BQL held.
 */
void vmi_kvm_time_sample(VMIPCIState *vmi);

/**
 * vmi_kvm_time_stop: keep the counter with the guest while it is stopped
 */
void vmi_kvm_time_stop(VMIPCIState *vmi);

/* vmi-kvm-smp.c */

/**
 * vmi_kvm_start_ap: start a processor that waits for a STARTUP IPI
 *
 * With the state that is staged.  Waits for the vCPU's thread; BQL held.
 */
void vmi_kvm_start_ap(VMIVCPU *vcpu);

#else /* CONFIG_KVM */

static inline bool vmi_kvm_read_lvtt(CPUState *cs, VMILVTT *lvtt)
{
    return false;
}

static inline void vmi_kvm_hide(X86CPU *cpu)
{
}

static inline bool vmi_kvm_iret(X86CPU *cpu)
{
    return false;
}

static inline void vmi_kvm_quiet_pit(VMIPCIState *vmi)
{
}

static inline bool vmi_kvm_port_call(VMIPCIState *vmi, CPUState *cs)
{
    return false;
}

static inline uint64_t vmi_kvm_real_cycles(VMIPCIState *vmi, int64_t now)
{
    return 0;
}

static inline void vmi_kvm_time_share(VMIPCIState *vmi)
{
}

static inline void vmi_kvm_time_sample(VMIPCIState *vmi)
{
}

static inline void vmi_kvm_time_stop(VMIPCIState *vmi)
{
}

static inline void vmi_kvm_start_ap(VMIVCPU *vcpu)
{
}

#endif /* CONFIG_KVM */

#endif /* HW_VMI_KVM_H */
