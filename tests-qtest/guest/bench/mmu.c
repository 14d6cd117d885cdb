/*
 * Bench: address spaces, page table entries, the TLB
 *
 * The address space is Linux': the kernel's pages are global, its direct map
 * is of large pages, and page tables are written through that map.  A process
 * has its working set at USER_BASE, in a page table of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "bench.h"
#include "console.h"
#include "paging.h"

#define SPACES      64
#define SET_PAGES   512             /* of a working set, at most */
#define USER_BASE   0x08000000u
#define FRAME_BASE  0x00800000u     /* memory that the working sets share */
#define FRAMES      4096
#define LARGE_SIZE  0x00400000u
#define KMAP_PAGES  64
#define HIGH_BASE   0xe0000000u     /* as the direct map of 512 MiB and more */
#define HIGH_PAGES  64              /* large ones */
#define KEPT        7
#define USER_RW     (PTE_PRESENT | PTE_WRITE | PTE_USER)

typedef uint32_t Table[1024];

static Table directory[SPACES] __attribute__((aligned(PAGE_SIZE)));
static Table table[SPACES] __attribute__((aligned(PAGE_SIZE)));
static unsigned round_now;          /* so that entries get other frames */
static unsigned space_now;          /* which is loaded */

/* The kernel's view of a table's entries */
static uint32_t *kernel_entry(Table *at, unsigned page)
{
    return (uint32_t *)((uint32_t)&(*at)[page] | DIRECT_MAP);
}

static uint32_t page_address(unsigned page)
{
    return USER_BASE + page * PAGE_SIZE;
}

static uint32_t frame_address(unsigned space, unsigned page)
{
    return FRAME_BASE + (space * 67 + page) % FRAMES * PAGE_SIZE;
}

static uint32_t make_entry(unsigned space, unsigned page)
{
    return frame_address(space, page) | USER_RW | PTE_ACCESSED | PTE_DIRTY;
}

/* One word a page, in lines that do not all fall into one cache set */
static ALWAYS_INLINE void touch(unsigned pages)
{
    for (unsigned page = 0; page < pages; page++) {
        AT(uint32_t, page_address(page) + (page % 64) * 64);
    }
}

void bench_mmu_init(void)
{
    for (uint32_t at = 0; at < DIRECT_MAP_SIZE; at += PAGE_SIZE) {
        paging_put(at, paging_get(at) | PTE_GLOBAL);
    }
    for (uint32_t at = 0; at < DIRECT_MAP_SIZE; at += LARGE_SIZE) {
        paging_put_large(DIRECT_MAP + at, at | PTE_GLOBAL);
    }
    for (unsigned i = 0; i < HIGH_PAGES; i++) {
        paging_put_large(HIGH_BASE + i * LARGE_SIZE,
                         i * LARGE_SIZE % DIRECT_MAP_SIZE | PTE_GLOBAL);
    }
    for (unsigned space = 0; space < SPACES; space++) {
        memcpy(directory[space], (void *)read_cr3(), sizeof(Table));
        directory[space][USER_BASE / LARGE_SIZE] = (uint32_t)table[space] |
                                                   USER_RW;
        for (unsigned page = 0; page < SET_PAGES; page++) {
            table[space][page] = make_entry(space, page);
        }
    }
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        uint32_t at = FRAME_BASE + frame * PAGE_SIZE;

        AT(uint32_t, at) = at;
    }
    write_cr4(read_cr4() & ~CR4_PGE);
    write_cr3((uint32_t)directory[0]);
    write_cr4(read_cr4() | CR4_PGE);
}

void bench_mmu_announce(void)
{
    if (!bench_serves(VMI_CALL_AllocatePage)) {
        return;
    }
    for (unsigned space = 0; space < SPACES; space++) {
        vmi_call(VMI_CALL_AllocatePage, (uint32_t)directory[space] / PAGE_SIZE,
                 VMI_PAGE_PD, 0, 0, 0);
        vmi_call(VMI_CALL_AllocatePage, (uint32_t)table[space] / PAGE_SIZE,
                 VMI_PAGE_PT, 0, 0, 0);
    }
}

/*
 * The operations.  Entries are those of space 0, which is loaded.
 */
static ALWAYS_INLINE void load_space(BenchKind kind, unsigned space)
{
    if (kind == BENCH_NATIVE) {
        write_cr3((uint32_t)directory[space]);
    } else {
        bench_call(kind, VMI_CALL_SetCR3, (uint32_t)directory[space], 0, 0);
    }
}

static ALWAYS_INLINE void set_entry(BenchKind kind, unsigned page,
                                    uint32_t entry)
{
    uint32_t *at = kernel_entry(&table[0], page);

    if (kind == BENCH_NATIVE) {
        AT(uint32_t, at) = entry;
    } else {
        bench_call(kind, VMI_CALL_SetPxE, entry, (uint32_t)at,
                   page_address(page) | VMI_PAGE_PT | VMI_PAGE_CURRENT_AS |
                   VMI_PAGE_DEFER);
    }
}

static ALWAYS_INLINE void update_entry(BenchKind kind, unsigned page,
                                       uint32_t entry)
{
    uint32_t *at = kernel_entry(&table[0], page);

    AT(uint32_t, at) = entry;
    if (kind != BENCH_NATIVE) {
        bench_call(kind, VMI_CALL_UpdatePxE, (uint32_t)at,
                   page_address(page) | VMI_PAGE_PT | VMI_PAGE_CURRENT_AS |
                   VMI_PAGE_DEFER, 0);
    }
}

static ALWAYS_INLINE void inval_page(BenchKind kind, unsigned page)
{
    if (kind == BENCH_NATIVE) {
        invlpg(page_address(page));
    } else {
        bench_call(kind, VMI_CALL_InvalPage, page_address(page), 0, 0);
    }
}

static ALWAYS_INLINE void flush(BenchKind kind)
{
    if (kind == BENCH_NATIVE) {
        write_cr3(read_cr3());
    } else {
        bench_call(kind, VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0);
    }
}

static ALWAYS_INLINE void flush_global(BenchKind kind)
{
    if (kind == BENCH_NATIVE) {
        uint32_t cr4 = read_cr4();

        write_cr4(cr4 & ~CR4_PGE);
        write_cr4(cr4);
    } else {
        bench_call(kind, VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL,
                   0, 0);
    }
}

/* The next of the spaces is loaded, and reads its working set. */
static ALWAYS_INLINE void run_switch(BenchKind kind, const BenchRow *row,
                                     unsigned n)
{
    while (n--) {
        space_now = space_now + 1 < row->spaces ? space_now + 1 : 0;
        load_space(kind, space_now);
        touch(row->pages);
    }
}
BENCH_DEFINE(run_switch)

/*
 * Entries that were not present become so.  That they are cleared again
 * without a word costs the same for each kind; nothing has read them.
 */
static ALWAYS_INLINE void run_map(BenchKind kind, const BenchRow *row,
                                  unsigned n)
{
    while (n--) {
        memset(kernel_entry(&table[0], 0), 0, SET_PAGES * sizeof(uint32_t));
        for (unsigned page = 0; page < SET_PAGES; page++) {
            set_entry(kind, page, make_entry(0, page));
        }
    }
}
BENCH_DEFINE(run_map)

/* Present entries get another frame; nobody looks. */
static ALWAYS_INLINE void run_change(BenchKind kind, const BenchRow *row,
                                     unsigned n)
{
    while (n--) {
        round_now++;
        for (unsigned page = 0; page < 64; page++) {
            set_entry(kind, page, make_entry(round_now % 2, page));
        }
    }
}
BENCH_DEFINE(run_change)

/* The same, by the guest's own store and a notice */
static ALWAYS_INLINE void run_notify(BenchKind kind, const BenchRow *row,
                                     unsigned n)
{
    while (n--) {
        round_now++;
        for (unsigned page = 0; page < 64; page++) {
            update_entry(kind, page, make_entry(round_now % 2, page));
        }
    }
}
BENCH_DEFINE(run_notify)

/*
 * A batch of present entries gets other frames, then they are flushed, and
 * all are read.  One entry alone is invalidated.
 */
static ALWAYS_INLINE void end_batch(BenchKind kind, const BenchRow *row)
{
    if (row->pages == 1) {
        inval_page(kind, 0);
    } else {
        flush(kind);
    }
    touch(row->pages);
}

static ALWAYS_INLINE void run_set_batch(BenchKind kind, const BenchRow *row,
                                        unsigned n)
{
    while (n--) {
        round_now++;
        for (unsigned page = 0; page < row->pages; page++) {
            set_entry(kind, page, make_entry(round_now % 2, page));
        }
        end_batch(kind, row);
    }
}
BENCH_DEFINE(run_set_batch)

static ALWAYS_INLINE void run_update_batch(BenchKind kind, const BenchRow *row,
                                           unsigned n)
{
    while (n--) {
        round_now++;
        for (unsigned page = 0; page < row->pages; page++) {
            update_entry(kind, page, make_entry(round_now % 2, page));
        }
        end_batch(kind, row);
    }
}
BENCH_DEFINE(run_update_batch)

/* Flushes, each followed by reading what was flushed */
static ALWAYS_INLINE void run_flush(BenchKind kind, const BenchRow *row,
                                    unsigned n)
{
    while (n--) {
        flush(kind);
        touch(row->pages);
    }
}
BENCH_DEFINE(run_flush)

static ALWAYS_INLINE void run_flush_global(BenchKind kind, const BenchRow *row,
                                           unsigned n)
{
    while (n--) {
        flush_global(kind);
        touch(row->pages);
    }
}
BENCH_DEFINE(run_flush_global)

/* One page after the other of a working set is invalidated, and read. */
static ALWAYS_INLINE void run_inval(BenchKind kind, const BenchRow *row,
                                    unsigned n)
{
    while (n--) {
        for (unsigned page = 0; page < row->pages; page++) {
            inval_page(kind, page);
            AT(uint32_t, page_address(page));
        }
    }
}
BENCH_DEFINE(run_inval)

static uint32_t kmap_address(unsigned page)
{
    return PLAY_BASE + page * PAGE_SIZE;
}

/*
 * A page of the kernel's gets another frame, and is read: kmap_atomic(), and
 * what undoes it, in a kernel with much memory.
 */
static ALWAYS_INLINE void run_kmap(BenchKind kind, const BenchRow *row,
                                   unsigned n)
{
    while (n--) {
        round_now++;
        for (unsigned page = 0; page < KMAP_PAGES; page++) {
            AT(uint32_t, paging_entry(kmap_address(page))) =
                frame_address(round_now % 2, page) | PTE_PRESENT | PTE_WRITE |
                PTE_GLOBAL;
            if (kind == BENCH_NATIVE) {
                invlpg(kmap_address(page));
            } else {
                bench_call(kind, VMI_CALL_InvalPage, kmap_address(page), 0, 0);
            }
            AT(uint32_t, kmap_address(page));
        }
    }
}
BENCH_DEFINE(run_kmap)

/* As it was at first: no row depends on the one before. */
static void start(const BenchRow *row, BenchKind kind)
{
    for (unsigned page = 0; page < SET_PAGES; page++) {
        table[0][page] = make_entry(0, page);
    }
    write_cr3((uint32_t)directory[0]);
    space_now = 0;
    flush_global(BENCH_NATIVE);
    touch(row->pages);
}

/* Spaces that a host may keep, and all large pages, have been used. */
static void start_kmap(const BenchRow *row, BenchKind kind)
{
    start(row, kind);
    for (unsigned i = 0; i < HIGH_PAGES; i++) {
        AT(uint32_t, HIGH_BASE + i * LARGE_SIZE);
    }
    for (unsigned space = KEPT; space-- > 0;) {
        if (kind == BENCH_NATIVE) {
            write_cr3((uint32_t)directory[space]);
        } else {
            vmi_call(VMI_CALL_SetCR3, (uint32_t)directory[space], 0, 0, 0, 0);
        }
        touch(row->pages);
    }
}

/* A fast answer is of no use if it is wrong: each page is its entry's. */
static void check(const BenchRow *row)
{
    if (read_cr3() != (uint32_t)directory[space_now]) {
        bench_fail("another address space is loaded");
    }
    for (unsigned page = 0; page < row->pages; page++) {
        if (AT(uint32_t, page_address(page)) !=
            (table[space_now][page] & -PAGE_SIZE)) {
            bench_fail(text("page %u of space %u is not its entry's", page,
                            space_now));
        }
    }
}

static void check_kmap(const BenchRow *row)
{
    check(row);
    for (unsigned page = 0; page < KMAP_PAGES; page++) {
        if (AT(uint32_t, kmap_address(page)) !=
            frame_address(round_now % 2, page)) {
            bench_fail(text("page %u of the kernel is an old frame", page));
        }
    }
}

#define SWITCH(of_spaces, of_pages)                                     \
    {                                                                   \
        .name = "switch-" #of_spaces "-spaces-" #of_pages "-pages",     \
        .calls = { VMI_CALL_SetCR3 }, .spaces = of_spaces,              \
        .pages = of_pages, .ops = 1, .start = start, .stop = check,     \
        BENCH_RUN(run_switch),                                          \
    }

#define FLUSH(what, body, of_pages)                                     \
    {                                                                   \
        .name = what "-" #of_pages "-pages",                            \
        .calls = { VMI_CALL_FlushTLB }, .pages = of_pages, .ops = 1,    \
        .start = start, .stop = check, BENCH_RUN(body),                 \
    }

#define BATCH(what, body, call, of_pages)                               \
    {                                                                   \
        .name = what "-" #of_pages,                                     \
        .calls = { call, VMI_CALL_InvalPage, VMI_CALL_FlushTLB },       \
        .pages = of_pages, .ops = of_pages,                             \
        .start = start, .stop = check, BENCH_RUN(body),                 \
    }

const BenchRow bench_mmu_rows[] = {
    SWITCH(2, 1), SWITCH(2, 8), SWITCH(2, 64), SWITCH(2, 512),
    SWITCH(8, 1), SWITCH(8, 8), SWITCH(8, 64), SWITCH(8, 512),
    SWITCH(16, 1), SWITCH(16, 8), SWITCH(16, 64), SWITCH(16, 512),
    SWITCH(64, 1), SWITCH(64, 8), SWITCH(64, 64), SWITCH(64, 512),
    {
        .name = "entry-map", .calls = { VMI_CALL_SetPxE }, .ops = SET_PAGES,
        .start = start, .stop = check, BENCH_RUN(run_map),
    }, {
        .name = "entry-change", .calls = { VMI_CALL_SetPxE }, .ops = 64,
        .start = start, .stop = check, BENCH_RUN(run_change),
    }, {
        .name = "entry-update", .calls = { VMI_CALL_UpdatePxE }, .ops = 64,
        .start = start, .stop = check, BENCH_RUN(run_notify),
    },
    BATCH("set-batch", run_set_batch, VMI_CALL_SetPxE, 1),
    BATCH("set-batch", run_set_batch, VMI_CALL_SetPxE, 16),
    BATCH("set-batch", run_set_batch, VMI_CALL_SetPxE, 512),
    BATCH("update-batch", run_update_batch, VMI_CALL_UpdatePxE, 1),
    BATCH("update-batch", run_update_batch, VMI_CALL_UpdatePxE, 16),
    BATCH("update-batch", run_update_batch, VMI_CALL_UpdatePxE, 512),
    FLUSH("flush", run_flush, 1),
    FLUSH("flush", run_flush, 64),
    FLUSH("flush-global", run_flush_global, 1),
    FLUSH("flush-global", run_flush_global, 64),
    {
        .name = "inval-page", .calls = { VMI_CALL_InvalPage }, .pages = 64,
        .ops = 64,
        .start = start, .stop = check, BENCH_RUN(run_inval),
    }, {
        .name = "kmap", .calls = { VMI_CALL_InvalPage, VMI_CALL_SetCR3 },
        .pages = 64, .ops = KMAP_PAGES,
        .start = start_kmap, .stop = check_kmap, BENCH_RUN(run_kmap),
    },
    { .name = NULL },
};
