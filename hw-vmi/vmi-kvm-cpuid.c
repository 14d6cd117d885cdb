/*
 * VMI: hiding KVM from guests that are to use VMI
 *
 * Linux with CONFIG_KVM_CLOCK takes its time from KVM, and says that it runs
 * on KVM, if it sees KVM's CPUID leaves.  Some versions look before they use
 * VMI, so the instruction itself must not show them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "qemu/error-report.h"
#include "standard-headers/asm-x86/kvm_para.h"
#include "system/kvm.h"
#include "vmi-kvm.h"

#define VMI_CPUID_ENTRIES 256   /* more than KVM takes */
#define VMI_HYPERVISOR_LEAVES 0x40000000
#define VMI_HYPERVISOR_LEAVES_END 0x40010000
#define VMI_HYPERVISOR_LEAVES_STEP 0x100

/* Where guests look for a hypervisor's signature */
static bool vmi_is_kvm_signature(const struct kvm_cpuid_entry2 *entry)
{
    uint32_t signature[3] = { entry->ebx, entry->ecx, entry->edx };

    return entry->function >= VMI_HYPERVISOR_LEAVES &&
           entry->function < VMI_HYPERVISOR_LEAVES_END &&
           entry->function % VMI_HYPERVISOR_LEAVES_STEP == 0 &&
           !memcmp(signature, KVM_SIGNATURE, sizeof(signature));
}

void vmi_kvm_hide(X86CPU *cpu)
{
    g_autofree struct kvm_cpuid2 *cpuid =
        g_malloc0(sizeof(*cpuid) +
                  VMI_CPUID_ENTRIES * sizeof(cpuid->entries[0]));
    uint32_t base = 0, kept = 0;
    int ret;

    cpuid->nent = VMI_CPUID_ENTRIES;
    ret = kvm_vcpu_ioctl(CPU(cpu), KVM_GET_CPUID2, cpuid);
    for (uint32_t i = 0; ret >= 0 && i < cpuid->nent; i++) {
        if (vmi_is_kvm_signature(&cpuid->entries[i])) {
            base = cpuid->entries[i].function;
        }
    }
    if (ret >= 0 && base) {
        for (uint32_t i = 0; i < cpuid->nent; i++) {
            if (cpuid->entries[i].function - base >=
                VMI_HYPERVISOR_LEAVES_STEP) {
                cpuid->entries[kept++] = cpuid->entries[i];
            }
        }
        cpuid->nent = kept;
        ret = kvm_vcpu_ioctl(CPU(cpu), KVM_SET_CPUID2, cpuid);
    }
    if (ret < 0) {
        warn_report_once("vmi-pci: cannot hide KVM from the guest (%s), which "
                         "may prefer it to VMI; use -cpu ...,kvm=off",
                         strerror(-ret));
    }
}
