/*
 * VMI under TCG: the MMU calls
 *
 * A guest that says what it changes in its page tables lets QEMU keep the
 * soft TLB of several address spaces (exec/tlb-spaces.h).  What has to be
 * right is which changes make a kept entry stale:
 *
 * - Entries of a space that is away must be as if a CR3 load had flushed
 *   them: a change that the processor would not notice before a flush counts.
 * - A change to a present entry counts, unless all it does is set accessed or
 *   dirty, or add rights.  An entry that was not present counts for nothing:
 *   it is in no TLB.
 * - UpdatePxE comes after the guest's own store, so the old entry is gone and
 *   it always counts.
 * - Which spaces an entry belongs to is known from its page table page, for
 *   the walker notes those that it reads.  Level bits are not looked at:
 *   Linux passes the wrong ones.
 * - With VMI_PAGE_CURRENT_AS the linear page is known too, and its entry
 *   goes from each such space that is away; without, the space is dropped.
 *   So it is if the walker has used the page table as a directory, because
 *   then more than that page has changed, whatever the level bits say.
 *   The guest flushes the current space, or counts on the CR3 load to come:
 *   what it has not flushed by then is not kept.
 * - Linux does not report entries that it tears down with a process, but
 *   releases their page table pages before these are used again, and some
 *   kernels release no directory.  So ReleasePage always counts.
 * - Global entries are those of the kernel, in all spaces.  The guest flushes
 *   them by InvalPage or by FlushTLB with the global bit, as it does natively,
 *   and needs no other notice.  FlushTLB with that bit drops all spaces: CPU
 *   hotplug in Linux changes the kernel's directory without a report, then
 *   does that.
 * - Other processors keep copies too, of which VMI_PAGE_CURRENT_AS says
 *   nothing.  They are told, and replay what counts at their next SetCR3.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu_ldst.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "exec/target_page.h"
#include "exec/tlb-spaces.h"
#include "qemu/units.h"
#include "vmi-tcg.h"

/* Bounds of what is kept for a vCPU. */
#define VMI_MMU_SPACES      8
#define VMI_MMU_MAX_BYTES   (48 * MiB)

/* An entry of the page table @table has changed so that TLBs may be stale. */
static void vmi_mmu_note_loss(VMIVCPU *vcpu, hwaddr table, uint32_t flags)
{
    vaddr page = flags & VMI_PAGE_CURRENT_AS ? flags & TARGET_PAGE_MASK
                                             : TLB_SPACES_ANY_PAGE;

    tlb_spaces_table_changed(CPU(vcpu->cpu), table, page);
    vmi_count(&vcpu->stats.losses);
}

/*
 * The host and physical address of a page table entry of @size bytes, which
 * is aligned; a page fault, as for a store, if it is not mapped.  The host
 * address is NULL where only an ordinary store will do.
 */
static void *vmi_mmu_entry(CPUX86State *env, uint32_t addr, unsigned size,
                           hwaddr *phys, uintptr_t ra)
{
    CPUTLBEntryFull *full;
    void *host;
    int flags;

    flags = probe_access_full(env, addr, size, MMU_DATA_STORE,
                              cpu_mmu_index(env_cpu(env), false), false, &host,
                              &full, ra);
    *phys = full->phys_addr | (addr & ~TARGET_PAGE_MASK);
    return flags ? NULL : host;
}

static bool vmi_mmu_is_loss(CPUX86State *env, uint64_t old, uint64_t new)
{
    const uint64_t rights = PG_RW_MASK | PG_USER_MASK;
    const uint64_t kept = PG_ACCESSED_MASK | PG_DIRTY_MASK;
    const uint64_t same = PG_ADDRESS_MASK | PG_PSE_MASK | PG_GLOBAL_MASK;

    return (old & PG_PRESENT_MASK) &&
           ((old & ~new & (PG_PRESENT_MASK | rights | kept)) ||
            ((old ^ new) & same) || (new & ~old & PG_NX_MASK) ||
            /* From the kernel, SMEP and SMAP take what a user is given. */
            ((new & ~old & PG_USER_MASK) &&
             (env->cr[4] & (CR4_SMEP_MASK | CR4_SMAP_MASK))));
}

/*
 * Whether the host stores 64 bits at once.  If not, an ordinary store does what
 * QEMU does for the guest's own: it stops the other CPUs.
 */
#ifdef CONFIG_ATOMIC64
#define VMI_MMU_ATOMIC64 true
#else
#define VMI_MMU_ATOMIC64 false
#endif

/* The store of SetPxE or SetPxELong; returns the entry that was there. */
static inline QEMU_ALWAYS_INLINE uint64_t
vmi_mmu_exchange(CPUX86State *env, uint32_t addr, void *host, unsigned size,
                 uint64_t new, uintptr_t ra)
{
    uint64_t old;

    if (size == 4) {
        if (likely(host)) {
            old = le32_to_cpu(qatomic_read((uint32_t *)host));
            qatomic_set((uint32_t *)host, cpu_to_le32(new));
        } else {
            old = cpu_ldl_data_ra(env, addr, ra);
            cpu_stl_data_ra(env, addr, new, ra);
        }
    } else {
        if (likely(host) && VMI_MMU_ATOMIC64) {
            old = le64_to_cpu(qatomic_read_u64((uint64_t *)host));
            qatomic_set_u64((uint64_t *)host, cpu_to_le64(new));
        } else {
            old = cpu_ldq_data_ra(env, addr, ra);
            cpu_stq_data_ra(env, addr, new, ra);
        }
    }
    return old;
}

/*
 * Set an entry of @size bytes.  One store, so that no other processor sees
 * half an entry.
 */
static inline QEMU_ALWAYS_INLINE void
vmi_mmu_set(VMIVCPU *vcpu, uint32_t addr, unsigned size, uint64_t new,
            uint32_t flags, uintptr_t ra)
{
    CPUX86State *env = &vcpu->cpu->env;
    uint64_t old;
    hwaddr phys;
    void *host;

    if (unlikely(!QEMU_IS_ALIGNED(addr, size))) {
        if (size == 4) {
            cpu_stl_data_ra(env, addr, new, ra);
        } else {
            cpu_stq_data_ra(env, addr, new, ra);
        }
        tlb_flush(CPU(vcpu->cpu));      /* no entry lies there */
        return;
    }
    host = vmi_mmu_entry(env, addr, size, &phys, ra);
    old = vmi_mmu_exchange(env, addr, host, size, new, ra);
    if (vmi_mmu_is_loss(env, old, new)) {
        vmi_mmu_note_loss(vcpu, phys, flags);
    }
}

/* SetPxE: EAX entry, EDX -> entry, ECX flags */
void vmi_call_set_pxe(VMICall *call)
{
    vmi_mmu_set(call->vcpu, call->arg[1], 4, call->arg[0], call->arg[2],
                call->ra);
}

/* SetPxELong: EDX:EAX entry, ECX -> entry, then flags */
void vmi_call_set_pxe_long(VMICall *call)
{
    vmi_mmu_set(call->vcpu, call->arg[2], 8,
                call->arg[0] | (uint64_t)call->arg[1] << 32, call->arg[3],
                call->ra);
}

/*
 * On a processor the update calls do nothing, so they do not fault, and set no
 * dirty bit.
 */
static void vmi_mmu_update(VMIVCPU *vcpu, uint8_t nr, uint32_t addr,
                           uint32_t flags, uintptr_t ra)
{
    CPUX86State *env = &vcpu->cpu->env;
    CPUTLBEntryFull *full;
    void *host;
    int found;

    found = probe_access_full(env, addr, 0, MMU_DATA_LOAD,
                              cpu_mmu_index(env_cpu(env), false), true, &host,
                              &full, ra);
    if (unlikely(found & TLB_INVALID_MASK)) {
        vmi_guest_error(vcpu->vmi, "%s of an entry that is not mapped, at 0x%x",
                        vmi_call_info(nr)->name, addr);
        tlb_spaces_drop(CPU(vcpu->cpu));
        return;
    }
    vmi_mmu_note_loss(vcpu, full->phys_addr | (addr & ~TARGET_PAGE_MASK),
                      flags);
}

/* UpdatePxE, UpdatePxELong: EAX -> entry, EDX flags */
void vmi_call_update_pxe(VMICall *call)
{
    vmi_mmu_update(call->vcpu, call->nr, call->arg[0], call->arg[1], call->ra);
}

/*
 * AllocatePage, ReleasePage: EAX pfn.  Allocation is a hint that comes late
 * or not at all, but nothing that was kept for a page that only now becomes a
 * page table can be right.
 */
void vmi_call_page_table(VMICall *call)
{
    tlb_spaces_table_changed(CPU(call->cpu),
                             (hwaddr)call->arg[0] << TARGET_PAGE_BITS,
                             TLB_SPACES_ANY_PAGE);
    if (call->nr == VMI_CALL_ReleasePage) {
        vmi_count(&call->vcpu->stats.losses);
    }
}

/* InvalPage: EAX linear address, which may be that of a global page. */
void vmi_call_inval_page(VMICall *call)
{
    tlb_spaces_flush_page(CPU(call->cpu), call->arg[0]);
}

bool vmi_mmu_quick_call(VMIVCPU *vcpu, uint8_t nr, uintptr_t ra)
{
    target_ulong *regs = vcpu->cpu->env.regs;

    switch (nr) {
    case VMI_CALL_SetPxE:
        vmi_mmu_set(vcpu, regs[R_EDX], 4, (uint32_t)regs[R_EAX], regs[R_ECX],
                    ra);
        break;
    case VMI_CALL_UpdatePxE:
    case VMI_CALL_UpdatePxELong:
        vmi_mmu_update(vcpu, nr, regs[R_EAX], regs[R_EDX], ra);
        break;
    case VMI_CALL_InvalPage:
        tlb_spaces_flush_page(CPU(vcpu->cpu), (uint32_t)regs[R_EAX]);
        break;
    default:
        return false;
    }
    regs[R_EAX] = regs[R_EDX] = 0;
    return true;
}

/* FlushTLB: EAX VMI_FLUSH_* */
void vmi_call_flush_tlb(VMICall *call)
{
    CPUX86State *env = &call->cpu->env;

    if (call->arg[0] & VMI_FLUSH_GLOBAL) {
        tlb_flush(CPU(call->cpu));
    } else if (call->arg[0] & VMI_FLUSH_TLB) {
        tlb_spaces_load(CPU(call->cpu), env->cr[3]);
    }
}

/* SetCR3: EAX.  With the value that is loaded it is a flush. */
void vmi_call_set_cr3(VMICall *call)
{
    CPUState *cs = CPU(call->cpu);
    CPUX86State *env = &call->cpu->env;
    unsigned done;

    env->cr[3] = call->arg[0];
    if (!(env->cr[0] & CR0_PG_MASK)) {
        return;
    }
    done = tlb_spaces_load(cs, call->arg[0]);
    if (done & TLB_SPACES_TAKEN_BACK) {
        vmi_count(&call->vcpu->stats.spaces_taken_back);
    }
    if (done & TLB_SPACES_DROPPED) {
        vmi_count(&call->vcpu->stats.spaces_dropped);
    }
    if (unlikely(call->vmi->check)) {
        vmi_check_spaces(call->vcpu);
    }
}

void vmi_mmu_vcpu_init(VMIVCPU *vcpu)
{
    tlb_spaces_enable(CPU(vcpu->cpu),
                      1 << MMU_KSMAP32_IDX | 1 << MMU_KNOSMAP32_IDX |
                      1 << MMU_USER32_IDX,
                      VMI_MMU_SPACES, VMI_MMU_MAX_BYTES);
}
