/*
 * VMI guest programs: page tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "paging.h"

#define LOW_TABLES  (DIRECT_MAP_SIZE >> 21)
#define ALL         (PTE_PRESENT | PTE_WRITE | PTE_USER)

typedef union Page {
    uint32_t e32[1024];
    uint64_t e64[512];
} Page;

static Page low[LOW_TABLES] __attribute__((aligned(PAGE_SIZE)));
static Page play[2] __attribute__((aligned(PAGE_SIZE)));
static Page dir32[2] __attribute__((aligned(PAGE_SIZE)));
static Page dir_pae[2][4] __attribute__((aligned(PAGE_SIZE)));
static uint64_t pdpt[2][4] __attribute__((aligned(32)));
static PagingMode mode_now;

PagingMode paging_mode(void)
{
    return mode_now;
}

const char *paging_name(PagingMode mode)
{
    static const char *const names[] = { "off", "32-bit", "PAE" };

    return names[mode];
}

static void set_large(unsigned space, uint32_t linear, uint32_t entry,
                      bool pae)
{
    if (pae) {
        dir_pae[space][linear >> 30].e64[(linear >> 21) & 511] =
            (entry & 0xffe00fff) | PTE_LARGE | ALL;
    } else {
        dir32[space].e32[linear >> 22] =
            (entry & 0xffc00fff) | PTE_LARGE | ALL;
    }
}

static void set_table(unsigned space, uint32_t linear, Page *table, bool pae)
{
    if (pae) {
        dir_pae[space][linear >> 30].e64[(linear >> 21) & 511] =
            (uint32_t)table | ALL;
    } else {
        dir32[space].e32[linear >> 22] = (uint32_t)table | ALL;
    }
}

static void build(unsigned space, bool pae)
{
    const unsigned per_table = pae ? 512 : 1024;

    for (uint32_t pfn = 0; pfn < DIRECT_MAP_SIZE / PAGE_SIZE; pfn++) {
        Page *table = &low[pfn / per_table];
        uint32_t linear = pfn * PAGE_SIZE;

        if (pae) {
            table->e64[pfn % per_table] = linear | ALL;
        } else {
            table->e32[pfn % per_table] = linear | ALL;
        }
        set_table(space, linear, table, pae);
        set_table(space, DIRECT_MAP + linear, table, pae);
    }
    set_table(space, PLAY_BASE, &play[space], pae);
    set_large(space, 0xfec00000, 0xfec00000, pae);
    set_large(space, 0xfee00000, 0xfee00000, pae);
    for (unsigned i = 0; i < 4; i++) {
        pdpt[space][i] = (uint32_t)&dir_pae[space][i] | PTE_PRESENT;
    }
}

void paging_set(PagingMode mode)
{
    bool pae = mode == PAGING_PAE;

    write_cr0(read_cr0() & ~CR0_PG);
    write_cr3(0);
    write_cr4(read_cr4() & ~(CR4_PAE | CR4_PSE | CR4_PGE));
    mode_now = mode;
    if (mode == PAGING_OFF) {
        return;
    }
    memset(play, 0, sizeof(play));
    for (unsigned space = 0; space < 2; space++) {
        memset(&dir32[space], 0, sizeof(dir32[space]));
        memset(dir_pae[space], 0, sizeof(dir_pae[space]));
        build(space, pae);
    }
    write_cr4(read_cr4() | (pae ? CR4_PAE : CR4_PSE));
    write_cr3(pae ? (uint32_t)pdpt[0] : (uint32_t)&dir32[0]);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
}

static void *entry_in(unsigned space, uint32_t linear)
{
    bool pae = mode_now == PAGING_PAE;
    unsigned pfn = linear / PAGE_SIZE;
    Page *table;

    if (linear >= PLAY_BASE) {
        table = &play[space];
    } else {
        table = &low[(linear & ~DIRECT_MAP) >> (pae ? 21 : 22)];
    }
    return pae ? (void *)&table->e64[pfn % 512] :
                 (void *)&table->e32[pfn % 1024];
}

void *paging_entry(uint32_t linear)
{
    return entry_in(0, linear);
}

uint64_t paging_get(uint32_t linear)
{
    void *entry = paging_entry(linear);

    return mode_now == PAGING_PAE ? *(uint64_t *)entry : *(uint32_t *)entry;
}

static void put_in(unsigned space, uint32_t linear, uint64_t value)
{
    uint32_t *entry = entry_in(space, linear);

    if (mode_now == PAGING_PAE) {
        AT(uint32_t, entry + 1) = value >> 32;
    }
    AT(uint32_t, entry) = value;
}

void paging_put(uint32_t linear, uint64_t value)
{
    put_in(0, linear, value);
}

void *paging_second_entry(uint32_t linear)
{
    return entry_in(1, linear);
}

void paging_put_second(uint32_t linear, uint64_t value)
{
    put_in(1, linear, value);
}

uint32_t paging_second_space(void)
{
    return mode_now == PAGING_PAE ? (uint32_t)pdpt[1] : (uint32_t)&dir32[1];
}

uint64_t *paging_pdpt_entry(uint32_t linear)
{
    return &pdpt[0][linear >> 30];
}

uint64_t paging_second_pdpt_entry(uint32_t linear)
{
    return pdpt[1][linear >> 30];
}

void paging_put_large(uint32_t linear, uint32_t entry)
{
    for (unsigned space = 0; space < 2; space++) {
        set_large(space, linear, entry, mode_now == PAGING_PAE);
    }
}
