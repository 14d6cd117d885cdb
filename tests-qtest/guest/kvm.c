/*
 * What is different under KVM: its CPUID leaves, and time without exits
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "irq.h"
#include "vmi.h"

#define LEAVES      0x40000000
#define LEAVES_END  0x40010000
#define LEAVES_STEP 0x100

static uint32_t kvm_leaf(void)
{
    for (uint32_t leaf = LEAVES; leaf < LEAVES_END; leaf += LEAVES_STEP) {
        uint32_t reg[4];

        cpuid(leaf, 0, reg);
        if (!memcmp(&reg[1], "KVMKVMKVM\0\0\0", 12)) {
            return leaf;
        }
    }
    return 0;
}

/* Kernels of 2.6.26's day look before they use VMI, later ones after. */
static void test_leaves(const char *when)
{
    uint32_t leaf = kvm_leaf();

    if (guest_has_arg("leaves")) {
        report(leaf, text("with hide-kvm=off the guest sees KVM's leaves %s "
                          "VMI_Init", when), "0x%x", leaf);
    } else {
        report(!leaf, text("the guest does not see KVM's leaves %s VMI_Init",
                           when), "0x%x", leaf);
    }
}

static uint8_t shared_sum(void)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < VMI_ROM_SIZE; i++) {
        sum += VMI_ROM_FIELD(uint8_t, i);
    }
    return sum;
}

static void test_shared(void)
{
    uint32_t flags = VMI_ROM_FIELD(uint32_t, VMI_ROM_SHARED +
                                   VMI_SHARED_FLAGS);
    uint64_t real, available, stolen = 0, before, after, tsc, ticks;
    unsigned wrong = 0;

    report(!shared_sum(), "the byte sum of the ROM is 0", "%u", shared_sum());
    if (guest_has_arg("exits")) {
        report(!(flags & VMI_SHARED_USABLE), "time is not shared", "flags 0x%x",
               flags);
        return;
    }
    report(flags == (VMI_SHARED_USABLE | VMI_SHARED_TICKS), "time is shared, "
           "and cycles are ticks", "flags 0x%x", flags);
    for (unsigned i = 0; i < 10000; i++) {
        real = vmi_counter(VMI_CYCLES_REAL);
        available = vmi_counter(VMI_CYCLES_AVAILABLE);
        stolen |= vmi_counter(VMI_CYCLES_STOLEN);
        wrong += available < real;
    }
    report(!wrong && !stolen, "available time is real time", "%u differ, "
           "stolen %llu", wrong, stolen);

    /* At the default frequency, cycles are ticks of the TSC. */
    before = vmi_counter(VMI_CYCLES_REAL);
    tsc = rdtsc();
    while (rdtsc() - tsc < 50000000) {
        cpu_pause();
    }
    ticks = rdtsc() - tsc;
    after = vmi_counter(VMI_CYCLES_REAL);
    report(after - before >= ticks && after - before < ticks + 50000000,
           "the real counter runs at the TSC's rate", "%llu cycles, %llu ticks",
           after - before, ticks);
}

/* The real counter by a call, which needs no stub */
static uint64_t host_counter(void)
{
    Invoke s = {
        .eax = VMI_CYCLES_REAL, .edi = VMI_CALL_GetCycleCounter,
        .ds_es = KERNEL_DS
    };

    invoke_port(&s);
    return s.eax | (uint64_t)s.edx << 32;
}

#define PAM_FIRST   0x5a    /* i440FX: a byte for two regions of 16 KiB */
#define PAM_READ    1
#define PAM_WRITE   2

static void set_pam(unsigned bits)
{
    uint32_t shared = ((uint32_t)vmi_rom + VMI_ROM_SHARED) & 0xfffff;
    unsigned region = (shared - 0xc0000) / 0x4000;      /* they begin there */
    unsigned reg = PAM_FIRST + region / 2, shift = region % 2 * 4;
    uint32_t old = pci_read(0, 0, reg & ~3) >> (reg & 3) * 8;

    pci_write(0, 0, reg, (old & ~(0xf << shift)) | bits << shift, 1);
}

/* What a guest does to the ROM spoils its own time, and no one else's. */
static void test_spoiled(void)
{
    uint64_t before = vmi_counter(VMI_CYCLES_REAL), bad, after;
    uint8_t shift;

    set_pam(PAM_READ | PAM_WRITE);
    shift = VMI_ROM_FIELD(uint8_t, VMI_ROM_SHARED + VMI_SHARED_SHIFT);
    VMI_ROM_FIELD(uint8_t, VMI_ROM_SHARED + VMI_SHARED_SHIFT) = 100;
    bad = host_counter();
    VMI_ROM_FIELD(uint8_t, VMI_ROM_SHARED + VMI_SHARED_SHIFT) = shift;
    set_pam(PAM_READ);
    after = vmi_counter(VMI_CYCLES_REAL);
    report(bad < after, "the host survives a scale that makes no sense",
           "%llu", bad);
    report(after > before && !shared_sum(), "the guest's counter is right "
           "afterwards", "%llu, then %llu; sum %u", before, after,
           shared_sum());
}

void guest_main(void)
{
    test_leaves("before");
    vmi_setup();
    test_leaves("after");
    test_shared();
    if (!guest_has_arg("exits")) {
        test_spoiled();
    }
    report_end();
}
