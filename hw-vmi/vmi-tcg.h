/*
 * VMI device: what there is under TCG only
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VMI_TCG_H
#define HW_VMI_TCG_H

#include "vmi-internal.h"

/* vmi-tcg.c */

/**
 * vmi_hypercall: VMCALL under TCG, see X86VirtualHypervisorClass
 */
X86HypercallResult vmi_hypercall(X86VirtualHypervisor *vhyp, X86CPU *cpu,
                                 uint8_t nr, bool in_place, uintptr_t ra);
X86HypercallResult vmi_hypercall_indirect(X86VirtualHypervisor *vhyp,
                                          X86CPU *cpu, uint32_t target,
                                          uintptr_t ra);
bool vmi_hypercall_is_simple(X86VirtualHypervisor *vhyp, uint8_t nr);
X86InlineCall vmi_inline_call(X86VirtualHypervisor *vhyp, uint32_t target,
                              uint8_t *nr);
uint32_t vmi_hypercall_range(X86VirtualHypervisor *vhyp, uint32_t *size);

/* vmi-halt.c */

/**
 * vmi_halt_ended: a vCPU that was halted makes its first call
 *
 * The vCPU's own thread.
 */
void vmi_halt_ended(VMIVCPU *vcpu);

/* vmi-mmu.c */

/**
 * vmi_mmu_vcpu_init: keep address spaces of a CPU that has not run; BQL held
 */
void vmi_mmu_vcpu_init(VMIVCPU *vcpu);

/**
 * vmi_mmu_quick_call: carry out a call from the registers if it is one of the
 * few that Linux makes for each page table entry
 * @nr: a call that is served by the host
 * @ra: GETPC(); a fault does not return
 *
 * Returns: whether it is.  The vCPU's own thread.
 */
bool vmi_mmu_quick_call(VMIVCPU *vcpu, uint8_t nr, uintptr_t ra);

/* vmi-check.c */

/**
 * vmi_check_spaces: compare the current space's TLB with its page tables
 *
 * Reports what does not match.  The vCPU's own thread.
 */
void vmi_check_spaces(VMIVCPU *vcpu);

#endif /* HW_VMI_TCG_H */
