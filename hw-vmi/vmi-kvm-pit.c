/*
 * VMI: KVM's PIT falls silent when the guest takes its ticks from alarms
 *
 * The firmware leaves the PIT ticking.  Before Linux arms its first alarm it
 * sets channel 0 to mode 5, and writes no count: a PIT waits for its gate then,
 * which nothing opens.  KVM's goes on as it was, until a count is written.  Its
 * interrupt, IRQ 0, may come to a processor that is being started and has no
 * handler yet, which kills Linux 2.6.27.  QEMU's own PIT needs none of this.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "kvm/kvm_i386.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"

void vmi_kvm_quiet_pit(VMIPCIState *vmi)
{
    struct kvm_pit_state2 pit;

    if (vmi->kvm.pit_seen || !kvm_pit_in_kernel()) {
        return;
    }
    vmi->kvm.pit_seen = true;
    if (kvm_vm_ioctl(kvm_state, KVM_GET_PIT2, &pit) < 0 ||
        pit.channels[0].mode != 5) {
        return;
    }
    /*
     * A count makes KVM drop what was going on.  A counter that stands still at
     * 1 does not look broken to Linux 2.6.22, which would start it again.
     */
    pit.channels[0].count = 1;
    trace_vmi_kvm_quiet_pit();
    kvm_vm_ioctl(kvm_state, KVM_SET_PIT2, &pit);
}
