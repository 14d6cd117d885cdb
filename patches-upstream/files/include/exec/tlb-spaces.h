/*
 * Address spaces kept in the soft TLB
 *
 * Loading another address space flushes the soft TLB, as it flushes a
 * processor's.  Where the guest tells QEMU what it changes in its page tables,
 * as paravirtual guests do, the TLB of the last few address spaces can be kept
 * and taken back.  The target says which space is loaded, from which page
 * table pages an entry comes, and what changes; the rest is here.
 *
 * Entries that the target marks as global are those of every space, as on x86
 * and Arm: they survive the load of another one, which starts with them, and
 * depend on no notice, because the guest must flush them itself.
 *
 * All flushes that QEMU does on its own drop all kept spaces.  A flush of one
 * page means that page of every space.
 *
 * Unless it says otherwise, a function is called in the CPU's own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef EXEC_TLB_SPACES_H
#define EXEC_TLB_SPACES_H

#include "exec/cpu-common.h"
#include "exec/hwaddr.h"
#include "exec/vaddr.h"
#include "hw/core/cpu.h"

/* tlb_spaces_table_changed(): which page is not known */
#define TLB_SPACES_ANY_PAGE (~(vaddr)0)

/**
 * tlb_spaces_enable: keep address spaces of a CPU
 * @cpu: a CPU that has not run yet; BQL held
 * @idxmap: the MMU indexes that translate through the guest's page tables
 * @nr: how many spaces to keep besides the current one, 1 to 15
 * @max_bytes: bound on the memory that their tables take
 */
void tlb_spaces_enable(CPUState *cpu, MMUIdxMap idxmap, unsigned nr,
                       size_t max_bytes);

/**
 * TLBSpacesLoad: what tlb_spaces_load() has done
 * @TLB_SPACES_TAKEN_BACK: the space is one that had been kept
 * @TLB_SPACES_DROPPED: other CPUs changed more than could be noted, so all
 *                      that was kept is dropped
 */
typedef enum TLBSpacesLoad {
    TLB_SPACES_TAKEN_BACK = 1,
    TLB_SPACES_DROPPED = 2,
} TLBSpacesLoad;

/**
 * tlb_spaces_load: another address space is loaded, in place of a flush
 * @key: names it, the root of its page tables say
 *
 * Loading the space that is loaded flushes it.  Global entries stay.
 *
 * Returns: a set of TLBSpacesLoad.
 */
unsigned tlb_spaces_load(CPUState *cpu, uint64_t key);

/**
 * tlb_spaces_flush_page: the guest flushes a page of the current space
 * @page: any address in it
 *
 * If it may be a global one, in all spaces.
 */
void tlb_spaces_flush_page(CPUState *cpu, vaddr page);

/**
 * tlb_spaces_drop: keep none of the spaces that are kept now, nor the current
 */
void tlb_spaces_drop(CPUState *cpu);

/**
 * tlb_spaces_kept: how many spaces are kept beside the current one
 *
 * Any thread may ask.
 */
unsigned tlb_spaces_kept(CPUState *cpu);

/**
 * tlb_spaces_note_tables: an entry of the current space depends on these
 * @table: physical addresses of the page table entries that were read, from
 *         the root down
 * @n: how many
 * @large: the last one maps a large page
 *
 * Not for global entries.  Whatever changes later in a page table that is
 * noted is told.
 *
 * Returns: whether one was not noted before.  Then the entries must be read
 * again, because another CPU may have changed them meanwhile.
 */
bool tlb_spaces_note_tables(CPUState *cpu, const hwaddr *table, unsigned n,
                            bool large);

/**
 * tlb_spaces_table_changed: entries may have become stale
 * @table: physical address of the page table entry that has changed
 * @page: the page whose translation has, or TLB_SPACES_ANY_PAGE
 *
 * For all CPUs and all spaces with entries that come from that page table.  Of
 * those that are away, the page goes, or all if it is not known, or if a
 * directory has changed.  The current space is left to the guest to flush;
 * what it has not flushed is not kept.
 *
 * A full memory barrier is between what the guest stored before and what it
 * reads later: which CPUs to interrupt, say.  (Where all CPUs share a thread,
 * none is needed, and there is none.)
 */
void tlb_spaces_table_changed(CPUState *cpu, hwaddr table, vaddr page);

/**
 * tlb_spaces_behind: whether other CPUs have told of changes since the load
 */
bool tlb_spaces_behind(CPUState *cpu);

/**
 * TLBSpaceEntryFunc: one entry of the current space
 * @page, @phys: what is mapped where
 * @prot: PAGE_READ, PAGE_WRITE, PAGE_EXEC as the entry grants them
 * @global: in every space
 */
typedef void TLBSpaceEntryFunc(CPUState *cpu, int mmu_idx, vaddr page,
                               hwaddr phys, int prot, bool global,
                               void *opaque);

/**
 * TLBSpaceCodeFunc: a page that a block of the current jump cache has code in
 * @page, @ram: what is mapped where in RAM
 * @global: all pages of the block are global
 */
typedef void TLBSpaceCodeFunc(CPUState *cpu, vaddr page, ram_addr_t ram,
                              bool global, void *opaque);

/**
 * tlb_spaces_foreach_entry: for a check that entries are what they should be
 *
 * The functions may not do anything that changes the TLB.
 */
void tlb_spaces_foreach_entry(CPUState *cpu, TLBSpaceEntryFunc *entry,
                              TLBSpaceCodeFunc *code, void *opaque);

#endif /* EXEC_TLB_SPACES_H */
