/*
 * VMI: what an alarm must know of KVM's local APIC
 *
 * To synchronise the CPU's state would do, too; but QEMU then believes that
 * it knows the APIC, and a machine that stops before it runs again is saved
 * without the interrupt that the alarm has raised since.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/bswap.h"
#include "system/kvm.h"
#include "vmi-kvm.h"

#define VMI_APIC_ID 0x20
#define VMI_APIC_IRR 0x200      /* a register of 32 vectors each 16 bytes */

bool vmi_kvm_read_lvtt(CPUState *cs, VMILVTT *lvtt)
{
    struct kvm_lapic_state apic;
    struct kvm_mp_state mp;
    uint32_t irr;
    uint8_t vector;

    if (kvm_vcpu_ioctl(cs, KVM_GET_LAPIC, &apic) < 0 ||
        kvm_vcpu_ioctl(cs, KVM_GET_MP_STATE, &mp) < 0) {
        return false;
    }
    lvtt->entry = ldl_le_p(apic.regs + VMI_APIC_LVTT);
    lvtt->apic_id = ldl_le_p(apic.regs + VMI_APIC_ID) >> 24;
    lvtt->stopped = mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                    mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    vector = lvtt->entry;
    irr = ldl_le_p(apic.regs + VMI_APIC_IRR + vector / 32 * 16);
    lvtt->pending = irr >> vector % 32 & 1;
    return true;
}
