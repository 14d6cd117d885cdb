/*
 * VMI guest programs: page tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include "x86.h"

#define PAGE_SIZE       4096
#define PTE_PRESENT     0x001
#define PTE_WRITE       0x002
#define PTE_USER        0x004
#define PTE_ACCESSED    0x020
#define PTE_DIRTY       0x040
#define PTE_LARGE       0x080
#define PTE_GLOBAL      0x100

/* The kernel's direct map, where the ROM runs while paging is on */
#define DIRECT_MAP      0xc0000000u
#define DIRECT_MAP_SIZE 0x02000000u     /* 32 MiB, at 0 as well */

/* Linear addresses for tests to map: 256 entries of one page table */
#define PLAY_BASE       0xd0000000u
#define PLAY_PAGES      256

typedef enum PagingMode {
    PAGING_OFF,
    PAGING_32,
    PAGING_PAE,
} PagingMode;

/*
 * Set up tables and switch paging on, or off: 32 MiB of memory at 0 and at
 * DIRECT_MAP in 4 KiB pages, accessible to users; the APICs' page where it
 * is.  Global pages are enabled and used for nothing.
 */
void paging_set(PagingMode mode);
PagingMode paging_mode(void);

/* "off", "32-bit", "PAE" */
const char *paging_name(PagingMode mode);

/* The entry of a 4 KiB page: 4 or 8 bytes, by mode */
void *paging_entry(uint32_t linear);
uint64_t paging_get(uint32_t linear);
/* Write an entry, natively; no flush. */
void paging_put(uint32_t linear, uint64_t entry);

/* Another top-level table: a copy of this one except PLAY_BASE's tables */
uint32_t paging_second_space(void);
/* As paging_entry() and paging_put(), in the second address space */
void *paging_second_entry(uint32_t linear);
void paging_put_second(uint32_t linear, uint64_t entry);

/* In both: a large page, of 4 MiB or with PAE of 2 MiB; @entry: frame, flags */
void paging_put_large(uint32_t linear, uint32_t entry);

/* PAE: the entry of the PDPT for an address, and the second space's */
uint64_t *paging_pdpt_entry(uint32_t linear);
uint64_t paging_second_pdpt_entry(uint32_t linear);

#endif
