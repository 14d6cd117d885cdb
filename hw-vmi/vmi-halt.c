/*
 * VMI under TCG: Halt, which may poll before it sleeps
 *
 * With several vCPUs a wake-up costs a sleep and a wake of a host thread,
 * much more than what the vCPU was woken for may take.  A guest that halts
 * often and for short polls instead, for as long as that lately paid off, as
 * KVM does (Documentation/virt/kvm/halt-polling.rst in Linux).  An idle guest
 * halts for long, and does not poll.
 *
 * The host's other work goes first: each round of the poll yields the host
 * CPU, and if that was taken, polling is suspended.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "system/cpu-timers.h"
#include "system/tcg.h"
#include "trace.h"
#include "vmi-tcg.h"

#define VMI_HALT_POLL_MIN_NS    (10 * SCALE_US)
#define VMI_HALT_POLL_MAX_NS    (400 * SCALE_US)
#define VMI_HALT_TAKEN_NS       (20 * SCALE_US) /* by another thread */
#define VMI_HALT_SUSPENDED      100             /* halts */

static bool vmi_halt_is_over(CPUState *cs)
{
    return qatomic_read(&cs->interrupt_request) ||
           qatomic_read(&cs->exit_request);
}

static void vmi_halt_poll(VMIVCPU *vcpu, int64_t start)
{
    int64_t last = start, now;

    if (vcpu->halt_suspended) {
        vcpu->halt_suspended--;
        return;
    }
    while (last - start < vcpu->halt_poll_ns &&
           !vmi_halt_is_over(CPU(vcpu->cpu))) {
        g_thread_yield();
        now = get_clock();
        if (now - last > VMI_HALT_TAKEN_NS) {
            vcpu->halt_suspended = VMI_HALT_SUSPENDED;
            break;
        }
        last = now;
    }
}

void vmi_halt_ended(VMIVCPU *vcpu)
{
    int64_t halted = get_clock() - vcpu->halt_start;

    if (halted > VMI_HALT_POLL_MAX_NS) {
        vcpu->halt_poll_ns = 0;
    } else if (halted > vcpu->halt_poll_ns) {
        vcpu->halt_poll_ns = MIN(MAX(vcpu->halt_poll_ns * 2,
                                     VMI_HALT_POLL_MIN_NS),
                                 VMI_HALT_POLL_MAX_NS);
    }
    trace_vmi_halt(CPU(vcpu->cpu)->cpu_index, halted, vcpu->halt_poll_ns);
    vcpu->halt_start = 0;
}

/*
 * Halt: set IF and halt.  An interrupt that is pending by then is taken as
 * soon as the call has returned.
 */
void vmi_call_halt(VMICall *call)
{
    VMIVCPU *vcpu = call->vcpu;
    CPUState *cs = CPU(call->cpu);

    call->cpu->env.eflags |= IF_MASK;
    /* Others would have to wait for a thread that is shared. */
    if (call->vmi->nr_vcpus > 1 && qemu_tcg_mttcg_enabled() &&
        !icount_enabled()) {
        vcpu->halt_start = get_clock();
        vmi_halt_poll(vcpu, vcpu->halt_start);
    }
    call->halt = x86_cpu_pending_interrupt(cs,
                     qatomic_read(&cs->interrupt_request)) !=
                 CPU_INTERRUPT_HARD;
}
