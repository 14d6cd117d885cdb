/*
 * VMI: time under KVM, which guests read without an exit
 *
 * The real counter is the guest's TSC from a point on, scaled.  Point and
 * scale are in the ROM that the guest runs, where its stubs read them.  So
 * the counter is what the guest computes, and the host asks for the TSC, or
 * counts on from what it was when it last asked.
 *
 * While the machine is stopped the counter stands still; its value is then
 * in the same place, and so moves with the guest's memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "kvm/kvm_i386.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

typedef struct VMIShared {
    MemoryRegion *mr;           /* with a reference; NULL: not there */
    hwaddr offset;
    uint8_t *data;
} VMIShared;

/*
 * The data in the guest's copy of the ROM.  Stores through the memory API
 * would be dropped, as the firmware has write-protected it.  That is the
 * chipset's doing, and the RAM behind it can be written to.  What is read-only
 * by itself, as a file that a guest maps there may be, cannot.
 */
static VMIShared vmi_shared_get(VMIPCIState *vmi)
{
    VMIShared shared = { };
    MemoryRegionSection section =
        memory_region_find(get_system_memory(),
                           vmi->rom_address + VMI_ROM_SHARED,
                           VMI_ROM_SHARED_SIZE);

    if (!section.mr) {
        return shared;
    }
    if (!memory_region_is_ram(section.mr) ||
        memory_region_is_rom(section.mr) ||
        int128_get64(section.size) < VMI_ROM_SHARED_SIZE) {
        memory_region_unref(section.mr);
        return shared;
    }
    shared.mr = section.mr;
    shared.offset = section.offset_within_region;
    shared.data = (uint8_t *)memory_region_get_ram_ptr(section.mr) +
                  shared.offset;
    return shared;
}

static void vmi_shared_put(VMIShared *shared)
{
    memory_region_unref(shared->mr);
}

/* In the thread of a vCPU, or with it stopped */
static bool vmi_kvm_read_tsc(CPUState *cs, uint64_t *tsc)
{
    struct {
        struct kvm_msrs info;
        struct kvm_msr_entry entry;
    } msrs = {
        .info.nmsrs = 1,
        .entry.index = MSR_IA32_TSC,
    };

    if (kvm_vcpu_ioctl(cs, KVM_GET_MSRS, &msrs) != 1) {
        return false;
    }
    *tsc = msrs.entry.data;
    return true;
}

/* KVM says whether the TSC is one clock for all of the guest's processors. */
static bool vmi_kvm_tsc_stable(void)
{
    struct kvm_clock_data clock = { };

    return kvm_has_adjust_clock_stable() &&
           kvm_vm_ioctl(kvm_state, KVM_GET_CLOCK, &clock) >= 0 &&
           (clock.flags & KVM_CLOCK_TSC_STABLE);
}

/* What a stub computes */
static uint64_t vmi_shared_cycles(const uint8_t *data, uint64_t tsc)
{
    uint64_t start = ldq_le_p(data + VMI_SHARED_TSC);
    uint64_t ticks = tsc > start ? tsc - start : 0;
    uint32_t multiplier = ldl_le_p(data + VMI_SHARED_MULTIPLIER);
    int shift = (int8_t)data[VMI_SHARED_SHIFT];
    uint64_t lo, hi;

    /* The guest can write what it likes here. */
    if (shift <= -32 || shift >= 32) {
        return ldq_le_p(data + VMI_SHARED_CYCLES);
    }
    ticks = shift < 0 ? ticks >> -shift : ticks << shift;
    mulu64(&lo, &hi, ticks, multiplier);
    return ldq_le_p(data + VMI_SHARED_CYCLES) + (hi << 32 | lo >> 32);
}

/* (Ticks << shift) * multiplier >> 32 are cycles; large ones are exact. */
static void vmi_shared_scale(VMIPCIState *vmi, uint64_t tsc_hz, int8_t *shift,
                             uint32_t *multiplier)
{
    uint64_t lo, hi;

    *shift = 0;
    while (vmi->cycle_frequency >= tsc_hz << *shift) {
        (*shift)++;
    }
    while (*shift <= 0 && *shift > -31 &&
           vmi->cycle_frequency < tsc_hz >> (1 - *shift)) {
        (*shift)--;
    }
    mulu64(&lo, &hi, vmi->cycle_frequency, 1ull << (32 - *shift));
    divu128(&lo, &hi, tsc_hz);
    *multiplier = MIN(lo, UINT32_MAX);
}

static void vmi_shared_write(VMIShared *shared, uint32_t flags, uint64_t tsc,
                             uint64_t cycles, int8_t shift,
                             uint32_t multiplier)
{
    uint8_t *data = shared->data, sum = 0;
    uint32_t sequence = ldl_le_p(data + VMI_SHARED_SEQUENCE) | 1;

    /* Readers start over if the sequence is odd, or another one afterwards. */
    stl_le_p(data + VMI_SHARED_SEQUENCE, sequence);
    smp_wmb();                  /* odd before the data; read by stubs */
    stl_le_p(data + VMI_SHARED_FLAGS, flags);
    stq_le_p(data + VMI_SHARED_TSC, tsc);
    stq_le_p(data + VMI_SHARED_CYCLES, cycles);
    stl_le_p(data + VMI_SHARED_MULTIPLIER, multiplier);
    data[VMI_SHARED_SHIFT] = shift;
    smp_wmb();                  /* the data before it is even again */
    stl_le_p(data + VMI_SHARED_SEQUENCE, sequence + 1);

    data[VMI_SHARED_BALANCE] = 0;
    for (int i = 0; i < VMI_ROM_SHARED_SIZE; i++) {
        sum += data[i];
    }
    data[VMI_SHARED_BALANCE] = -sum;
    memory_region_set_dirty(shared->mr, shared->offset, VMI_ROM_SHARED_SIZE);
}

uint64_t vmi_kvm_real_cycles(VMIPCIState *vmi, int64_t now)
{
    VMIShared shared = { };
    uint64_t tsc;

    if (vmi->kvm.shared_time && current_cpu) {
        shared = vmi_shared_get(vmi);
    }
    if (shared.mr) {
        if (vmi_kvm_read_tsc(current_cpu, &tsc)) {
            vmi->kvm.cycles = vmi_shared_cycles(shared.data, tsc);
            /* Not before the TSC was read, or alarms would be early. */
            now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
            vmi->kvm.cycles_ns = now;
        }
        vmi_shared_put(&shared);
    }
    return vmi->kvm.cycles +
           vmi_ns_to_cycles(vmi, MAX(now - vmi->kvm.cycles_ns, 0));
}

void vmi_kvm_time_share(VMIPCIState *vmi)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    CPUState *cs = current_cpu ?: first_cpu;
    int64_t tsc_khz = kvm_vcpu_ioctl(cs, KVM_GET_TSC_KHZ);
    VMIShared shared = vmi_shared_get(vmi);
    uint64_t cycles = vmi_kvm_real_cycles(vmi, now), tsc = 0;
    uint32_t multiplier = 0, flags = 0;
    int8_t shift = 0;

    if (shared.mr && (ldl_le_p(shared.data + VMI_SHARED_FLAGS) &
                      VMI_SHARED_STOPPED)) {
        cycles = ldq_le_p(shared.data + VMI_SHARED_CYCLES);
    }
    vmi->kvm.shared_time = shared.mr && !vmi->exact_stolen && tsc_khz > 0 &&
                           vmi_kvm_tsc_stable() && vmi_kvm_read_tsc(cs, &tsc);
    if (vmi->kvm.shared_time) {
        vmi_shared_scale(vmi, tsc_khz * 1000, &shift, &multiplier);
        flags = VMI_SHARED_USABLE;
        if (vmi->cycle_frequency == tsc_khz * 1000) {
            flags |= VMI_SHARED_TICKS;
        }
    } else if (!vmi->exact_stolen) {
        warn_report_once("vmi-pci: the TSC of this host is not one clock for "
                         "all processors, so each reading of time is an exit");
    }
    vmi->kvm.cycles = cycles;
    vmi->kvm.cycles_ns = now;
    trace_vmi_share_time(vmi->kvm.shared_time, tsc, cycles, shift, multiplier);
    if (shared.mr) {
        vmi_shared_write(&shared, flags, tsc, cycles, shift, multiplier);
        vmi_shared_put(&shared);
    }
}

void vmi_kvm_time_sample(VMIPCIState *vmi)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    uint64_t cycles = vmi_kvm_real_cycles(vmi, now), tsc;
    VMIShared shared = vmi_shared_get(vmi);

    if (!shared.mr) {
        return;
    }
    if (vmi->kvm.shared_time && vmi_kvm_read_tsc(first_cpu, &tsc)) {
        cycles = vmi_shared_cycles(shared.data, tsc);
    }
    vmi->kvm.cycles = cycles;
    vmi->kvm.cycles_ns = now;
    vmi_shared_put(&shared);
}

void vmi_kvm_time_stop(VMIPCIState *vmi)
{
    VMIShared shared;

    vmi_kvm_time_sample(vmi);
    shared = vmi_shared_get(vmi);
    if (shared.mr) {
        vmi_shared_write(&shared, VMI_SHARED_STOPPED, 0, vmi->kvm.cycles, 0, 0);
        vmi_shared_put(&shared);
    }
}
