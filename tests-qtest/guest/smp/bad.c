/*
 * The smp program: states that start no processor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "tests.h"

typedef struct BadState {
    const char *name;
    size_t offset, size;
    uint32_t value;
} BadState;

#define BAD(text, field, wrong)                         \
    {                                                   \
        .name = text,                                   \
        .offset = offsetof(VMIAPState, field),          \
        .size = sizeof(((VMIAPState *)0)->field),       \
        .value = wrong,                                 \
    }

static const BadState bad_states[] = {
    BAD("CR0 without PG", cr0, 0x00050023),
    BAD("CR0 without PE", cr0, 0x80050022),
    BAD("CR0 of 0", cr0, 0),
    BAD("reserved bits in CR4", cr4, 0x80000000),
    BAD("all bits in CR4", cr4, 0xffffffff),
    BAD("EFER.LME", efer, 0x100),
    BAD("EFLAGS.VM", eflags, EFLAGS_VM),
    BAD("a null CS", cs, 0),
    BAD("a CS that is data", cs, KERNEL_DS),
    BAD("a CS of users", cs, USER_CS),
    BAD("a CS beyond the GDT", cs, 0x7ff8),
    BAD("a CS from an LDT", cs, KERNEL_CS | 4),
    BAD("a null SS", ss, 0),
    BAD("an SS that is code", ss, KERNEL_CS),
    BAD("an SS that is not present", ss, ABSENT_SEL),
    BAD("an SS of users", ss, USER_DS),
    BAD("a DS that is a TSS", ds, TSS_SEL),
    BAD("an FS that is not present", fs, ABSENT_SEL),
    BAD("an LDT", ldtr, LDT_SEL),
    BAD("a GDT that is not mapped", gdtr_base, 0xd8000000),
    BAD("a GDT of limit 0", gdtr_limit, 0),
};

static void expect_off(const void *state, const char *name)
{
    uint32_t before = ap_started;
    bool off;

    ap_boot(1, state, SEND_OFFSET);
    off = ap_stays_off(before);
    report(off, text("a CPU with %s does not start", name),
           "%u started", ap_started - before);
}

/* Then a good one; also shows that what is above did not break the CPU. */
static void expect_on(const char *when)
{
    VMIAPState state = ap_good_state(1);
    uint32_t before = ap_started;
    bool on;

    ap_boot(1, &state, SEND_OFFSET);
    on = ap_wait(before);
    report(on, text("a CPU starts with a good state after %s",
                                 when), "%u started", ap_started - before);
}

static void test_bad_pointers(void)
{
    static const uint32_t pointers[] = {
        0xd8000000,             /* not mapped */
        0xfffffff0,             /* wraps */
        0xffffffff,
        APIC_BASE,              /* MMIO */
        VMI_ROM_SEARCH_START,
    };
    VMIAPState state = ap_good_state(1);

    for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++) {
        /*
         * A good one before does not count any more.  Give it to a CPU that
         * runs, or a late STARTUP IPI of the last test would start it.
         */
        expect_on(text("%u bad pointers", i));
        ap_set_state(&state, 1);
        expect_off((void *)pointers[i],
                   text("a state at 0x%08x", pointers[i]));
    }
    expect_on("bad pointers");
}

/* Few enough that the host logs all of them */
void test_logged(void)
{
    VMIAPState bad = ap_good_state(1);

    bad.cs = 0;
    expect_off(&bad, "a null CS");
    bad.cr0 = 0;
    expect_off(&bad, "CR0 of 0");
    expect_off((void *)0xd8000000, "a state that is not mapped");
    ap_set_state(&bad, 77);
}

void test_bad_states(void)
{
    VMIAPState good = ap_good_state(1);
    uint32_t before;
    bool off;

    expect_off(NULL, "no state");
    expect_on("no state");
    for (unsigned i = 0; i < ARRAY_SIZE(bad_states); i++) {
        const BadState *bad = &bad_states[i];
        VMIAPState state = good;

        memcpy((uint8_t *)&state + bad->offset, &bad->value,
               MIN(bad->size, sizeof(bad->value)));
        expect_off(&state, bad->name);
        if (i % 4 == 0) {
            expect_on(bad->name);
        }
    }
    expect_on("bad states");
    test_bad_pointers();

    before = ap_started;
    ap_send(1, ICR_INIT, SEND_OFFSET);
    ap_set_state(&good, 77);
    ap_set_state(&good, 0xffffffff);
    ap_send(1, ICR_STARTUP | REAL_MODE_PAGE, SEND_OFFSET);
    off = ap_stays_off(before);
    report(off,
           "a state for an APIC id that is not there starts no other CPU",
           "%u started", ap_started - before);
    expect_on("unknown APIC ids");

    /* A state is used up by the start that it was for. */
    expect_off(NULL, "a state that was used already");
    /* Leave it stopped. */
    ap_send(1, ICR_INIT, SEND_OFFSET);
}
