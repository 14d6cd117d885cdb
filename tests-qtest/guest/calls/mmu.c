/*
 * The calls program: page tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"
#include "paging.h"

#define PAGE_A_VALUE 0xaaaa1111
#define PAGE_B_VALUE 0xbbbb2222
#define RW (PTE_PRESENT | PTE_WRITE | PTE_USER)

static uint32_t page_a[1024] __attribute__((aligned(PAGE_SIZE)));
static uint32_t page_b[1024] __attribute__((aligned(PAGE_SIZE)));
static uint32_t *const word = (uint32_t *)(PLAY_BASE + 3 * PAGE_SIZE);

/* Calls that touch no memory but what they are told to */
static void test_plain(void)
{
    uint32_t buf[6], want[6];
    Invoke s;

    memset(buf, 0x3c, sizeof(buf));
    memset(want, 0x3c, sizeof(want));
    want[2] = 0x01020304;
    calls_make(VMI_CALL_SetPxE, ARGS(want[2], (uint32_t)&buf[2], VMI_PAGE_PT));
    report(!memcmp(buf, want, sizeof(want)),
           text("SetPxE stores 4 bytes and no more, %s", calls_how()),
           "0x%x", buf[2]);
    want[2] = 0x11121314;
    want[3] = 0x21222324;
    calls_make(VMI_CALL_SetPxELong, ARGS(want[2], want[3], (uint32_t)&buf[2],
                                         VMI_PAGE_PT));
    report(!memcmp(buf, want, sizeof(want)),
           text("SetPxELong stores 8 bytes and no more, %s", calls_how()),
           "0x%x 0x%x", buf[2], buf[3]);
    calls_make(VMI_CALL_UpdatePxE, ARGS((uint32_t)&buf[2], VMI_PAGE_PT));
    calls_make(VMI_CALL_UpdatePxELong, ARGS((uint32_t)&buf[2], VMI_PAGE_PT));
    report(!memcmp(buf, want, sizeof(want)),
           text("UpdatePxE and UpdatePxELong store nothing, %s", calls_how()),
           "0x%x 0x%x", buf[2], buf[3]);

    s = calls_make(VMI_CALL_MachineToPhysical, ARGS(0x12345));
    report(s.eax == 0x12345, text("MachineToPhysical is identity, %s",
                                  calls_how()), "0x%x", s.eax);
    s = calls_make(VMI_CALL_PhysicalToMachine, ARGS(0xabcde));
    report(s.eax == 0xabcde, text("PhysicalToMachine is identity, %s",
                                  calls_how()), "0x%x", s.eax);

    calls_make(VMI_CALL_AllocatePage, ARGS((uint32_t)page_a / PAGE_SIZE,
                                           VMI_PAGE_PT | VMI_PAGE_ZEROED));
    calls_make(VMI_CALL_ReleasePage, ARGS((uint32_t)page_a / PAGE_SIZE,
                                          VMI_PAGE_PT));
    for (unsigned slot = 0; slot < 4; slot++) {
        calls_make(VMI_CALL_SetLinearMapping, ARGS(slot, DIRECT_MAP, 0x38000));
    }
    calls_make(VMI_CALL_InvalPage, ARGS((uint32_t)page_a));
    for (unsigned flags = 0; flags < 4; flags++) {
        calls_make(VMI_CALL_FlushTLB, ARGS(flags));
    }
    calls_make(VMI_CALL_SetCR3, ARGS(read_cr3()));
}

/* The call of this mode: 32-bit or 64-bit entries */
static void set_entry(uint64_t entry, uint32_t flags)
{
    uint32_t where = (uint32_t)paging_entry((uint32_t)word);

    flags |= VMI_PAGE_PT;
    if (paging_mode() == PAGING_PAE) {
        calls_make_quiet(VMI_CALL_SetPxELong,
                         ARGS(entry, entry >> 32, where, flags));
    } else {
        calls_make_quiet(VMI_CALL_SetPxE, ARGS(entry, where, flags));
    }
}

static void notify(uint32_t flags)
{
    calls_make_quiet(paging_mode() == PAGING_PAE ? VMI_CALL_UpdatePxELong :
                                                   VMI_CALL_UpdatePxE,
                     ARGS((uint32_t)paging_entry((uint32_t)word),
                          flags | VMI_PAGE_PT));
}

static void flush(uint32_t flags)
{
    calls_make_quiet(VMI_CALL_FlushTLB, ARGS(flags));
}

static void inval(void)
{
    calls_make_quiet(VMI_CALL_InvalPage, ARGS((uint32_t)word));
}

static void touch(void *unused)
{
    AT(uint32_t, word) = AT(uint32_t, word);
}

static void report_word(uint32_t want, const char *what)
{
    uint32_t seen = 0;
    int vector = trap(touch, NULL);

    if (vector < 0) {
        seen = AT(uint32_t, word);
    }
    report(vector < 0 && seen == want, text("%s, %s", what, calls_how()),
           "0x%x, vector %d", seen, vector);
}

static void report_fault(uint32_t error, const char *what)
{
    int vector = trap(touch, NULL);

    report(vector == VECTOR_PF && trap_frame.error == error &&
           read_cr2() == (uint32_t)word, text("%s, %s", what, calls_how()),
           "vector %d, error 0x%x, CR2 0x%x", vector, trap_frame.error,
           read_cr2());
}

static void test_set(void)
{
    const uint32_t here = VMI_PAGE_CURRENT_AS | (uint32_t)word;

    set_entry(0, here);
    inval();
    report_fault(0, "an entry of 0 makes a page fault");
    set_entry((uint32_t)page_a | RW, here);
    report_word(PAGE_A_VALUE, "an entry set where none was needs no flush");
    set_entry((uint32_t)page_b | RW, here);
    inval();
    report_word(PAGE_B_VALUE, "a changed entry works after InvalPage");
    set_entry((uint32_t)page_a | RW, here | VMI_PAGE_DEFER);
    flush(VMI_FLUSH_TLB);
    report_word(PAGE_A_VALUE, "a deferred change works after FlushTLB(1)");
    set_entry((uint32_t)page_a | PTE_PRESENT, here);
    inval();
    report_fault(3, "a page made read-only faults on a store");
    set_entry((uint32_t)page_b | RW, 0);
    flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL);
    report_word(PAGE_B_VALUE, "a change not said to be current works after "
                "FlushTLB(3)");
    set_entry(0, here);
    flush(VMI_FLUSH_TLB);
    report_fault(0, "an entry set to 0 makes a page fault");

    paging_put((uint32_t)word, (uint32_t)page_a | RW);
    notify(here);
    report_word(PAGE_A_VALUE, "an entry written natively, then UpdatePxE");
    paging_put((uint32_t)word, (uint32_t)page_b | RW);
    notify(here);
    inval();
    report_word(PAGE_B_VALUE, "UpdatePxE, then InvalPage");
    paging_put((uint32_t)word, (uint32_t)page_a | RW);
    flush(VMI_FLUSH_TLB);
    report_word(PAGE_A_VALUE, "a change not reported works after FlushTLB(1)");
}

static void test_global(void)
{
    paging_put((uint32_t)word, (uint32_t)page_a | RW | PTE_GLOBAL);
    inval();
    report_word(PAGE_A_VALUE, "a global page is mapped");
    paging_put((uint32_t)word, (uint32_t)page_b | RW | PTE_GLOBAL);
    inval();
    report_word(PAGE_B_VALUE, "InvalPage drops a global page");
    paging_put((uint32_t)word, (uint32_t)page_a | RW | PTE_GLOBAL);
    flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL);
    report_word(PAGE_A_VALUE, "FlushTLB(3) drops global pages");
    paging_put((uint32_t)word, (uint32_t)page_b | RW | PTE_GLOBAL);
    flush(VMI_FLUSH_GLOBAL);
    report_word(PAGE_B_VALUE, "FlushTLB(2) drops global pages");
    report(read_cr4() & CR4_PGE, text("FlushTLB leaves CR4.PGE set, %s",
                                      calls_how()), "0x%x", read_cr4());
    write_cr4(read_cr4() & ~CR4_PGE);
    paging_put((uint32_t)word, (uint32_t)page_a | RW | PTE_GLOBAL);
    flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL);
    report_word(PAGE_A_VALUE, "FlushTLB(3) works with CR4.PGE clear");
    report(!(read_cr4() & CR4_PGE), text("FlushTLB leaves CR4.PGE clear, %s",
                                         calls_how()), "0x%x", read_cr4());
    write_cr4(read_cr4() | CR4_PGE);
}

static void test_spaces(void)
{
    uint32_t first = read_cr3();
    bool same = true;

    paging_put((uint32_t)word, (uint32_t)page_a | RW);
    paging_put_second((uint32_t)word, (uint32_t)page_b | RW);
    calls_make_quiet(VMI_CALL_SetCR3, ARGS(first));
    report_word(PAGE_A_VALUE, "SetCR3 to the same space drops what was cached");
    calls_make_quiet(VMI_CALL_SetCR3, ARGS(paging_second_space()));
    report_word(PAGE_B_VALUE, "SetCR3 to another space shows its page");
    report(read_cr3() == paging_second_space(),
           text("SetCR3 sets CR3, %s", calls_how()), "0x%x", read_cr3());
    for (unsigned i = 0; i < 100; i++) {
        calls_make_quiet(VMI_CALL_SetCR3, ARGS(first));
        same &= AT(uint32_t, word) == PAGE_A_VALUE;
        calls_make_quiet(VMI_CALL_SetCR3, ARGS(paging_second_space()));
        same &= AT(uint32_t, word) == PAGE_B_VALUE;
    }
    report(same, text("100 switches between two spaces show the right pages, "
                      "%s", calls_how()), "%s", same ? "yes" : "no");

    /* The other space's entry changes, and the host is told. */
    paging_put((uint32_t)word, (uint32_t)page_b | RW);
    calls_make_quiet(paging_mode() == PAGING_PAE ? VMI_CALL_UpdatePxELong
                                                 : VMI_CALL_UpdatePxE,
                     ARGS((uint32_t)paging_entry((uint32_t)word),
                          VMI_PAGE_PT));
    calls_make_quiet(VMI_CALL_SetCR3, ARGS(first));
    report_word(PAGE_B_VALUE, "a change made from another space is seen");
    paging_put((uint32_t)word, (uint32_t)page_a | RW);
    calls_make_quiet(VMI_CALL_SetCR3, ARGS(first));

    if (paging_mode() == PAGING_PAE) {
        uint64_t old = *paging_pdpt_entry((uint32_t)word);

        *paging_pdpt_entry((uint32_t)word) =
            paging_second_pdpt_entry((uint32_t)word);
        flush(VMI_FLUSH_TLB);
        report_word(PAGE_B_VALUE, "FlushTLB(1) reloads the PDPTEs");
        *paging_pdpt_entry((uint32_t)word) = old;
        flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL);
        report_word(PAGE_A_VALUE, "FlushTLB(3) reloads the PDPTEs");
    }
}

void test_mmu_calls(void)
{
    if (!calls_served(VMI_CALL_SetPxE)) {
        report_skip("mmu calls", "switched off");
        return;
    }
    test_plain();
    if (paging_mode() == PAGING_OFF) {
        return;
    }
    page_a[0] = PAGE_A_VALUE;
    page_b[0] = PAGE_B_VALUE;
    test_set();
    test_global();
    test_spaces();
    set_entry(0, 0);
    flush(VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL);
}
