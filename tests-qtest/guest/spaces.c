/*
 * Address spaces that are exchanged by SetCR3: each reported change is seen
 * when its space is loaded again, as if the load had flushed the TLB.
 *
 * Arguments: pae or paging32; stale: change an entry without a report, for the
 * device's self-check to find.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "libc.h"
#include "paging.h"
#include "vmi.h"

#define RW (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define PLAY(n) (PLAY_BASE + (n) * PAGE_SIZE)

/* Frames that say who they are; the play pages are mapped to them */
static uint32_t frames[8][1024] __attribute__((aligned(PAGE_SIZE)));
static uint32_t first, second;

static uint64_t entry_of(unsigned frame)
{
    return (uint32_t)frames[frame] | RW;
}

static uint32_t seen(unsigned page)
{
    return AT(uint32_t, PLAY(page));
}

static void load(uint32_t space)
{
    vmi_call(VMI_CALL_SetCR3, space, 0, 0, 0, 0);
}

/* SetPxE or SetPxELong of an entry in the first space */
static void set_entry(unsigned page, uint64_t entry, uint32_t flags)
{
    uint32_t at = (uint32_t)paging_entry(PLAY(page));

    if (paging_mode() == PAGING_PAE) {
        vmi_call(VMI_CALL_SetPxELong, entry, entry >> 32, at, flags, 0);
    } else {
        vmi_call(VMI_CALL_SetPxE, entry, at, flags, 0, 0);
    }
}

static void update_entry(unsigned page, uint32_t flags)
{
    vmi_call(paging_mode() == PAGING_PAE ? VMI_CALL_UpdatePxELong
                                         : VMI_CALL_UpdatePxE,
             (uint32_t)paging_entry(PLAY(page)), flags, 0, 0, 0);
}

/* First space: page n is frame n. Second: frame n + 4. All of it loaded. */
static void start(void)
{
    for (unsigned page = 0; page < 4; page++) {
        paging_put(PLAY(page), entry_of(page));
        paging_put_second(PLAY(page), entry_of(page + 4));
    }
    vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, 0, 0, 0, 0);
    for (unsigned round = 0; round < 2; round++) {
        load(second);
        for (unsigned page = 0; page < 4; page++) {
            seen(page);
        }
        load(first);
        for (unsigned page = 0; page < 4; page++) {
            seen(page);
        }
    }
}

static void expect(unsigned page, unsigned frame, const char *fact)
{
    uint32_t value = seen(page);

    report(value == frame, fact, "page %u is frame %u, wanted %u", page, value,
           frame);
}

static void test_exchange(void)
{
    unsigned wrong = 0;

    start();
    for (unsigned i = 0; i < 1000; i++) {
        load(i % 2 ? first : second);
        for (unsigned page = 0; page < 4; page++) {
            wrong += seen(page) != page + (i % 2 ? 0 : 4);
        }
    }
    report(!wrong, "1000 exchanges show each space's own pages",
           "%u of 4000 wrong", wrong);
}

static void test_away(void)
{
    start();
    load(second);
    set_entry(0, entry_of(3), VMI_PAGE_PT);
    load(first);
    expect(0, 3, "SetPxE in a space that is away is seen when it is back");
    expect(1, 1, "other pages of that space are as before");

    start();
    load(second);
    set_entry(0, entry_of(3), VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | PLAY(0));
    load(first);
    expect(0, 3, "SetPxE with the page's address is seen when it is back");
    expect(1, 1, "other pages are as before, with the page's address");

    start();
    load(second);
    paging_put(PLAY(2), entry_of(3));
    update_entry(2, VMI_PAGE_PT);
    load(first);
    expect(2, 3, "UpdatePxE in a space that is away is seen");

    start();
    load(second);
    for (unsigned page = 0; page < 4; page++) {
        paging_put(PLAY(page), entry_of(3 - page));
    }
    vmi_call(VMI_CALL_ReleasePage,
             (uint32_t)paging_entry(PLAY_BASE) / PAGE_SIZE, VMI_PAGE_PT, 0, 0,
             0);
    load(first);
    expect(0, 3, "changes are seen after ReleasePage of their page table");
}

/* The current space, left without a flush: the load to come is one. */
static void test_left(void)
{
    start();
    set_entry(0, entry_of(3), VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | PLAY(0));
    load(second);
    load(first);
    expect(0, 3, "one change before the space is left is seen");
    expect(1, 1, "other pages are as before, after one change");

    start();
    for (unsigned page = 0; page < 4; page++) {
        set_entry(page, entry_of(3 - page),
                  VMI_PAGE_PT | VMI_PAGE_CURRENT_AS | PLAY(page));
    }
    load(second);
    load(first);
    for (unsigned page = 0; page < 4; page++) {
        expect(page, 3 - page, "many changes before the space is left are "
               "seen");
    }

    start();
    set_entry(1, entry_of(3), VMI_PAGE_PT);
    load(second);
    load(first);
    expect(1, 3, "a change without an address before the space is left");

    start();
    paging_put(PLAY(1), entry_of(2));
    vmi_call(VMI_CALL_InvalPage, PLAY(1), 0, 0, 0, 0);
    expect(1, 2, "InvalPage drops the page of the current space");

    start();
    set_entry(1, entry_of(2), VMI_PAGE_PT);
    load(first);
    expect(1, 2, "SetCR3 of the space that is loaded flushes it");
}

/* Without a report, and yet to be seen: what flushes all */
static void test_unreported(void)
{
    start();
    load(second);
    paging_put(PLAY(0), entry_of(3));
    asm volatile("mov %0, %%cr3" : : "r"(first) : "memory");
    expect(0, 3, "MOV to CR3 flushes as ever");

    start();
    load(second);
    paging_put(PLAY(0), entry_of(3));
    vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, 0, 0, 0, 0);
    load(first);
    expect(0, 3, "FlushTLB with the global bit leaves nothing behind");

    start();
    paging_put(PLAY(0), entry_of(3));
    vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0);
    expect(0, 3, "FlushTLB flushes the current space");

    start();
    load(second);
    paging_put(PLAY(0), entry_of(3));
    asm volatile("invlpg (%0)" : : "r"(PLAY(0)) : "memory");
    load(first);
    expect(0, 3, "INVLPG drops the page of other spaces");
}

/* The kernel's pages: the same in each space, and flushed by the guest */
static void put_global(unsigned frame)
{
    paging_put(PLAY(8), entry_of(frame) | PTE_GLOBAL);
    paging_put_second(PLAY(8), entry_of(frame) | PTE_GLOBAL);
}

static void start_global(void)
{
    start();
    put_global(0);
    for (unsigned round = 0; round < 2; round++) {
        load(second);
        seen(8);
        load(first);
        seen(8);
    }
}

static void test_global(void)
{
    start_global();
    load(second);
    put_global(3);
    vmi_call(VMI_CALL_InvalPage, PLAY(8), 0, 0, 0, 0);
    expect(8, 3, "InvalPage drops a global page");
    load(first);
    expect(8, 3, "InvalPage drops a global page of other spaces, too");
    expect(1, 1, "InvalPage drops no other page of other spaces");

    start_global();
    load(second);
    put_global(3);
    vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, 0, 0, 0, 0);
    expect(8, 3, "FlushTLB with the global bit drops global pages");
    load(first);
    expect(8, 3, "FlushTLB with the global bit drops those of other spaces");

    start_global();
    write_cr4(read_cr4() & ~CR4_PGE);
    put_global(3);
    load(second);
    expect(8, 3, "without CR4.PGE no page is global");
    put_global(2);
    write_cr4(read_cr4() | CR4_PGE);
    expect(8, 2, "a change of CR4.PGE flushes all");
}

/* One large page, in pieces in the TLB: any address in it invalidates all */
static void test_large(void)
{
    const uint32_t linear = PLAY_BASE + 0x800000, frame = 0x1800000;
    const uint32_t at[] = { linear, linear + 0x3000, linear + 0x1ff000 };

    for (unsigned i = 0; i < 3; i++) {
        AT(uint32_t, at[i] - linear + frame) = 10 + i;
        AT(uint32_t, at[i] - linear + frame + 0x400000) = 20 + i;
    }
    for (unsigned global = 0; global < 2; global++) {
        uint32_t flags = global ? PTE_GLOBAL : 0;
        unsigned wrong = 0;

        paging_put_large(linear, frame | flags);
        start();
        for (unsigned i = 0; i < 3; i++) {
            wrong += AT(uint32_t, at[i]) != 10 + i;
        }
        paging_put_large(linear, (frame + 0x400000) | flags);
        vmi_call(VMI_CALL_InvalPage, at[1], 0, 0, 0, 0);
        for (unsigned i = 0; i < 3; i++) {
            wrong += AT(uint32_t, at[i]) != 20 + i;
        }
        report(!wrong, "InvalPage of an address drops all of a large page",
               "global %u: %u of 6 reads wrong", global, wrong);

        start();
        wrong = 0;
        for (unsigned i = 0; i < 3; i++) {
            wrong += AT(uint32_t, at[i]) != 20 + i;
        }
        load(second);
        paging_put_large(linear, frame | flags);
        vmi_call(VMI_CALL_InvalPage, at[2], 0, 0, 0, 0);
        if (!global) {
            load(second);
            vmi_call(VMI_CALL_ReleasePage, first / PAGE_SIZE, VMI_PAGE_PD, 0,
                     0, 0);
        }
        load(first);
        for (unsigned i = 0; i < 3; i++) {
            wrong += AT(uint32_t, at[i]) != 10 + i;
        }
        report(!wrong, "a large page changed while its space is away",
               "global %u: %u of 6 reads wrong", global, wrong);
    }
}

/* Code in a page that changes owner: the cache of where blocks are */
static void test_code(void)
{
    uint32_t (*code)(void) = (void *)PLAY(0);
    unsigned wrong = 0;

    start();
    for (unsigned frame = 0; frame < 8; frame++) {
        uint8_t *at = (uint8_t *)frames[frame] + 16;

        at[0] = 0xb8;                           /* mov $frame, %eax; ret */
        memcpy(at + 1, &frame, sizeof(frame));
        at[5] = 0xc3;
    }
    code = (void *)(PLAY(0) + 16);
    for (unsigned i = 0; i < 100; i++) {
        load(i % 2 ? first : second);
        wrong += code() != (i % 2 ? 0 : 4);
    }
    report(!wrong, "code at one address is each space's own",
           "%u of 100 calls wrong", wrong);

    load(second);
    set_entry(0, entry_of(2), VMI_PAGE_PT);
    load(first);
    report(code() == 2, "code of a page that has changed is the new frame's",
           "frame %u", code());
}

static void test_stale(void)
{
    start();
    load(second);
    paging_put(PLAY(0), entry_of(3));
    load(first);
    printf("VMI spaces: changed an entry without a word\n");
}

void guest_main(void)
{
    vmi_setup();
    for (unsigned frame = 0; frame < 8; frame++) {
        frames[frame][0] = frame;
    }
    second = paging_second_space();
    asm volatile("mov %%cr3, %0" : "=r"(first));
    if (guest_has_arg("stale")) {
        test_stale();
        guest_exit(true);
    }
    test_exchange();
    test_away();
    test_left();
    test_unreported();
    test_global();
    test_large();
    test_code();
    report_end();
}
