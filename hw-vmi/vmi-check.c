/*
 * VMI under TCG: self-check of kept address spaces (property "check")
 *
 * When a space is loaded, every entry of its soft TLB must be one that the
 * page tables would give now, and every block of its jump cache must be code
 * that is mapped there now.  A mismatch means that the guest has changed an
 * entry without telling, or that vmi-mmu.c has a rule wrong.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/page-protection.h"
#include "exec/target_page.h"
#include "exec/tlb-spaces.h"
#include "qemu/error-report.h"
#include "trace.h"
#include "vmi-tcg.h"

typedef struct VMIWalk {
    uint64_t leaf;              /* the last entry read */
    hwaddr phys;
    int prot;                   /* PAGE_* */
} VMIWalk;

static uint64_t vmi_check_read(hwaddr addr, bool pae)
{
    return pae ? address_space_ldq_le(&address_space_memory, addr,
                                      MEMTXATTRS_UNSPECIFIED, NULL)
               : address_space_ldl_le(&address_space_memory, addr,
                                      MEMTXATTRS_UNSPECIFIED, NULL);
}

/*
 * What the page tables say, without side effects: the ordinary walker sets
 * accessed and dirty bits, the debugger's gives no rights.
 */
static bool vmi_check_walk(CPUX86State *env, bool user, vaddr page,
                           VMIWalk *walk)
{
    bool pae = env->cr[4] & CR4_PAE_MASK;
    unsigned bits = pae ? 9 : 10, size = pae ? 8 : 4;
    unsigned shift = pae ? 21 : 22;
    uint64_t rights = PG_RW_MASK | PG_USER_MASK, nx = 0;
    hwaddr table = env->cr[3] & ~0xfffULL;

    if (pae) {
        walk->leaf = vmi_check_read((env->cr[3] & ~0x1fULL) + (page >> 30) * 8,
                                    true);
        if (!(walk->leaf & PG_PRESENT_MASK)) {
            return false;
        }
        table = walk->leaf & PG_ADDRESS_MASK;
    }
    for (;; shift -= bits) {
        hwaddr at = table + ((page >> shift) & ((1 << bits) - 1)) * size;

        walk->leaf = vmi_check_read(at, pae);
        if (!(walk->leaf & PG_PRESENT_MASK)) {
            return false;
        }
        rights &= walk->leaf;
        nx |= walk->leaf & PG_NX_MASK;
        if (shift == TARGET_PAGE_BITS ||
            ((walk->leaf & PG_PSE_MASK) &&
             (pae || (env->cr[4] & CR4_PSE_MASK)))) {
            break;
        }
        table = walk->leaf & PG_ADDRESS_MASK;
    }

    walk->phys = (walk->leaf & PG_ADDRESS_MASK & ~MAKE_64BIT_MASK(0, shift)) |
                 (page & MAKE_64BIT_MASK(0, shift));
    if (user && !(rights & PG_USER_MASK)) {
        return false;
    }
    walk->prot = PAGE_READ;
    if (!nx || !(env->efer & MSR_EFER_NXE)) {
        walk->prot |= PAGE_EXEC;
    }
    if ((walk->leaf & PG_DIRTY_MASK) &&
        ((rights & PG_RW_MASK) ||
         (!user && !(env->cr[0] & CR0_WP_MASK)))) {
        walk->prot |= PAGE_WRITE;
    }
    return true;
}

/*
 * Whether another CPU has changed an entry since this CPU's last SetCR3.  Then
 * a mismatch is no fault: the change is not visible here before the next
 * SetCR3, which replays the notices that other CPUs have left.
 *
 * The other CPU may have made its store, and not left its notice yet; on a
 * busy host that may take a while, so wait for it.
 */
static bool vmi_check_changed_since(VMIVCPU *vcpu)
{
    for (unsigned ms = 0; vcpu->vmi->nr_vcpus > 1 && ms < 100; ms++) {
        if (tlb_spaces_behind(CPU(vcpu->cpu))) {
            return true;
        }
        g_usleep(1000);
    }
    return false;
}

/*
 * Whether what was kept differs from the page tables by right.  Else it is
 * counted.
 */
static bool vmi_check_excused(VMIVCPU *vcpu, const VMIWalk *walk, bool global)
{
    /*
     * A kernel may let a global page be that it has unmapped, until it maps
     * another there, and may not have it in the directory of each space.
     */
    if (global && !(walk->leaf & PG_PRESENT_MASK)) {
        return true;
    }
    if (vmi_check_changed_since(vcpu)) {
        return true;
    }
    vcpu->stale++;
    return false;
}

static void vmi_check_entry(CPUState *cs, int mmu_idx, vaddr page, hwaddr phys,
                            int prot, bool global, void *opaque)
{
    VMIVCPU *vcpu = opaque;
    CPUX86State *env = cpu_env(cs);
    bool user = mmu_idx == MMU_USER32_IDX;
    VMIWalk walk = { 0 };

    if (vmi_check_walk(env, user, page, &walk) && walk.phys == phys &&
        !(prot & ~walk.prot)) {
        return;
    }
    if (vmi_check_excused(vcpu, &walk, global)) {
        return;
    }
    trace_vmi_check_stale(cs->cpu_index, env->cr[3], page, phys, prot,
                          walk.leaf, walk.prot);
    if (vcpu->stale <= 10) {
        error_report("vmi-pci: check: CPU %d kept a stale entry of CR3 0x%"
                     PRIx64 ": page 0x%" VADDR_PRIx " at 0x%" HWADDR_PRIx
                     " rights %d, but the page table entry is 0x%" PRIx64
                     " rights %d", cs->cpu_index, (uint64_t)env->cr[3], page,
                     phys, prot, walk.leaf, walk.prot);
    }
}

/* Where an address is in RAM; -1 if it is not */
static ram_addr_t vmi_check_ram(hwaddr phys)
{
    hwaddr xlat, len = TARGET_PAGE_SIZE;
    MemoryRegion *mr;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, phys, &xlat, &len,
                                 false, MEMTXATTRS_UNSPECIFIED);
    return memory_region_is_ram(mr) || memory_region_is_romd(mr)
           ? memory_region_get_ram_addr(mr) + xlat : -1;
}

static void vmi_check_code(CPUState *cs, vaddr page, ram_addr_t ram,
                           bool global, void *opaque)
{
    VMIVCPU *vcpu = opaque;
    CPUX86State *env = cpu_env(cs);
    VMIWalk walk = { 0 };
    bool mapped = vmi_check_walk(env, false, page, &walk);

    if (mapped && vmi_check_ram(walk.phys) == ram) {
        return;
    }
    if (vmi_check_excused(vcpu, &walk, global)) {
        return;
    }
    trace_vmi_check_stale_code(cs->cpu_index, env->cr[3], page, ram, walk.leaf);
    if (vcpu->stale <= 10) {
        error_report("vmi-pci: check: CPU %d kept a stale block of CR3 0x%"
                     PRIx64 ": page 0x%" VADDR_PRIx " was RAM 0x" RAM_ADDR_FMT
                     ", but the page table entry is 0x%" PRIx64, cs->cpu_index,
                     (uint64_t)env->cr[3], page, ram, walk.leaf);
    }
}

void vmi_check_spaces(VMIVCPU *vcpu)
{
    tlb_spaces_foreach_entry(CPU(vcpu->cpu), vmi_check_entry, vmi_check_code,
                             vcpu);
}
