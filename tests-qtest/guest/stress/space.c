/*
 * The stress program: address spaces, and the ways to change them
 *
 * Pages of tables come out of a pool and go back to it, so that one that was a
 * page directory may be a page table of another space next.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"
#include "stress.h"

/* Few to choose from, so that most come back soon */
#define PER_SPACE (TABLES + 1 + (paging_mode() == PAGING_PAE))
#define POOL_MAX (SPACES * (TABLES + 2) + 2)
#define POOL    (SPACES * PER_SPACE + 2)
/* A table covers this much of 32-bit paging; of PAE paging, half of it */
#define TABLE_STEP 0x400000

Space spaces[SPACES];

static uint8_t pool[POOL_MAX][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool pool_used[POOL_MAX];
static uint32_t pool_lock;
static uint8_t *first_dir;      /* what all spaces share, from the boot's */
static uint32_t dirs_lock;      /* a leaf: which directories there are */

/* The tables at MANY_BASE, and one whose last page is in front of PLAY_BASE */
static uint8_t many[SPACES][2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t border[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static bool pae(void)
{
    return paging_mode() == PAGING_PAE;
}

unsigned space_index(Space *s)
{
    return s - spaces;
}

uint32_t space_page(unsigned table, unsigned page)
{
    return PLAY_BASE + table * TABLE_STEP + page * PAGE_SIZE;
}

static uint8_t *pool_get(void)
{
    unsigned i = stress_random(POOL);

    stress_lock(&pool_lock);
    while (pool_used[i]) {
        i = (i + 1) % POOL;
    }
    pool_used[i] = true;
    stress_unlock(&pool_lock);
    memset(pool[i], 0, PAGE_SIZE);
    return pool[i];
}

static void pool_put(uint8_t *page)
{
    stress_lock(&pool_lock);
    pool_used[(page - pool[0]) / PAGE_SIZE] = false;
    stress_unlock(&pool_lock);
}

/* The kernel changes tables in its direct map, or where they are. */
static uint8_t *alias(uint8_t *table)
{
    return table + (stress_random(2) ? DIRECT_MAP : 0);
}

static uint8_t *slot(uint8_t *table, unsigned index)
{
    return table + index * (pae() ? 8 : 4);
}

static unsigned per_table(void)
{
    return PAGE_SIZE / (pae() ? 8 : 4);
}

static uint8_t *dir_slot(uint8_t *dir, uint32_t linear)
{
    return slot(dir, pae() ? (linear >> 21) & 511 : linear >> 22);
}

static uint64_t get_slot(uint8_t *at)
{
    return pae() ? AT(uint64_t, at) : AT(uint32_t, at);
}

/* A processor may walk the tables meanwhile: the half with P last, or first */
static void put_slot(uint8_t *at, uint64_t entry)
{
    if (pae()) {
        AT(uint32_t, at) = 0;
        barrier();
        AT(uint32_t, at + 4) = entry >> 32;
        barrier();
    }
    AT(uint32_t, at) = entry;
}

/* Tell the host: by a call that writes the entry, or by one that says so */
static void change(uint8_t *at, uint64_t entry, uint32_t flags)
{
    bool set = stress_calls();

    if (!set) {
        put_slot(at, entry);
    }
    if (pae()) {
        if (set) {
            vmi_call(VMI_CALL_SetPxELong, entry, entry >> 32, (uint32_t)at,
                     flags, 0);
        } else {
            vmi_call(VMI_CALL_UpdatePxELong, (uint32_t)at, flags, 0, 0, 0);
        }
    } else if (set) {
        vmi_call(VMI_CALL_SetPxE, entry, (uint32_t)at, flags, 0, 0);
    } else {
        vmi_call(VMI_CALL_UpdatePxE, (uint32_t)at, flags, 0, 0, 0);
    }
}

/* The level bits may be any, because Linux passes wrong ones, too. */
static uint32_t change_flags(uint32_t linear, bool current)
{
    uint32_t flags = stress_random(16) | (linear & -PAGE_SIZE);

    if (current && stress_random(2)) {
        flags |= VMI_PAGE_CURRENT_AS;
    }
    return stress_random(2) ? flags | VMI_PAGE_DEFER : flags;
}

void space_set(Space *s, unsigned table, unsigned page, uint64_t entry,
               bool current)
{
    uint32_t linear = space_page(table, page);
    uint8_t *at = slot(s->table[table], page);

    s->entry[table][page] = entry;
    if (!(get_slot(at) & PTE_PRESENT) && stress_random(2)) {
        /* Nothing can have it: no word of it is needed. */
        put_slot(alias(at), entry);
        return;
    }
    change(alias(at), entry, change_flags(linear, current));
}

uint64_t space_get(Space *s, unsigned table, unsigned page)
{
    return get_slot(slot(s->table[table], page));
}

void space_link(Space *s, unsigned table, bool link, bool current)
{
    s->linked[table] = link;
    change(alias(dir_slot(s->dir, space_page(table, 0))),
           link ? (uint32_t)s->table[table] | RW : 0,
           change_flags(space_page(table, stress_random(PAGES)), current));
}

void set_kernel_page(uint32_t linear, uint64_t entry)
{
    change(paging_entry(linear), entry,
           change_flags(linear, true));
}

unsigned space_many(void)
{
    return 2 * per_table();
}

void space_set_many(Space *s, unsigned i, uint64_t entry, bool current)
{
    uint8_t *at = slot(many[space_index(s)][i / per_table()], i % per_table());

    change(alias(at), entry, change_flags(MANY_BASE + i * PAGE_SIZE, current));
}

void space_set_large(uint32_t linear, uint64_t entry)
{
    stress_lock(&dirs_lock);
    put_slot(dir_slot(first_dir, linear), entry);
    for (unsigned i = 0; i < SPACES; i++) {
        if (!spaces[i].dir) {
            continue;
        }
        if (stress_random(2)) {
            put_slot(dir_slot(spaces[i].dir, linear), entry);
        } else {
            change(alias(dir_slot(spaces[i].dir, linear)), entry,
                   change_flags(linear, stress_this()->space == &spaces[i]));
        }
    }
    stress_unlock(&dirs_lock);
}

static void announce(unsigned call, uint8_t *page, uint32_t level)
{
    vmi_call(call, (uint32_t)page / PAGE_SIZE,
             level | (pae() ? VMI_PAGE_PAE : 0), 0, 0, 0);
}

void space_build(Space *s)
{
    uint8_t *dir = pool_get();

    stress_lock(&dirs_lock);
    memcpy(dir, first_dir, PAGE_SIZE);
    s->dir = dir;
    stress_unlock(&dirs_lock);
    announce(VMI_CALL_AllocatePage, s->dir, VMI_PAGE_PD);
    for (unsigned table = 0; table < TABLES; table++) {
        s->table[table] = pool_get();
        announce(VMI_CALL_AllocatePage, s->table[table], VMI_PAGE_PT);
        put_slot(slot(s->table[table], PAGES),
                 (uint32_t)borders[1] | RO | PTE_GLOBAL);
        put_slot(dir_slot(s->dir, space_page(table, 0)),
                 (uint32_t)s->table[table] | RW);
        s->linked[table] = true;
    }
    for (unsigned i = 0; i < 2; i++) {
        put_slot(dir_slot(s->dir, MANY_BASE + i * per_table() * PAGE_SIZE),
                 (uint32_t)many[space_index(s)][i] | RW);
    }
    memset(s->entry, 0, sizeof(s->entry));
    s->cr3 = (uint32_t)s->dir;
    if (pae()) {
        s->pdpt = pool_get();
        for (unsigned i = 0; i < 3; i++) {
            put_slot(s->pdpt + i * 8, *paging_pdpt_entry(i << 30));
        }
        put_slot(s->pdpt + 24, (uint32_t)s->dir | PTE_PRESENT);
        announce(VMI_CALL_AllocatePage, s->pdpt, VMI_PAGE_PDP);
        s->cr3 = (uint32_t)s->pdpt;
    }
    s->generation++;
}

/* No CPU has it loaded. */
void space_release(Space *s)
{
    uint8_t *dir = s->dir;

    stress_lock(&dirs_lock);
    s->dir = NULL;
    stress_unlock(&dirs_lock);
    if (pae()) {
        announce(VMI_CALL_ReleasePage, s->pdpt, VMI_PAGE_PDP);
        pool_put(s->pdpt);
    }
    for (unsigned table = 0; table < TABLES; table++) {
        announce(VMI_CALL_ReleasePage, s->table[table], VMI_PAGE_PT);
        pool_put(s->table[table]);
    }
    announce(VMI_CALL_ReleasePage, dir, VMI_PAGE_PD);
    pool_put(dir);
}

void space_init(void)
{
    first_dir = (uint8_t *)(pae() ? (uint32_t)*paging_pdpt_entry(PLAY_BASE) &
                                    -PAGE_SIZE : read_cr3());
    put_slot(slot(border, per_table() - 1),
             (uint32_t)borders[0] | RO | PTE_GLOBAL);
    put_slot(dir_slot(first_dir, PLAY_BASE - PAGE_SIZE),
             (uint32_t)border | RW);
    for (unsigned i = 0; i < SPACES; i++) {
        space_build(&spaces[i]);
    }
}
