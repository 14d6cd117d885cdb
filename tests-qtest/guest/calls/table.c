/*
 * The calls program: descriptor tables and the task register
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"

static void test_pointers(void)
{
    static uint64_t gdt_copy[GDT_ENTRIES], idt_copy[256];
    TablePointer old, new, seen;

    memcpy(gdt_copy, gdt, sizeof(gdt));
    memcpy(idt_copy, idt, sizeof(idt));

    asm volatile("sgdt %0" : "=m"(old));
    new = (TablePointer) { sizeof(gdt_copy) - 1, (uint32_t)gdt_copy };
    calls_make(VMI_CALL_SetGDT, ARGS((uint32_t)&new));
    asm volatile("sgdt %0" : "=m"(seen));
    report(!memcmp(&seen, &new, sizeof(new)), text("SetGDT sets GDTR, %s",
                                                   calls_how()),
           "0x%x, limit 0x%x", seen.base, seen.limit);
    memset(&seen, 0, sizeof(seen));
    calls_make(VMI_CALL_GetGDT, ARGS((uint32_t)&seen));
    report(!memcmp(&seen, &new, sizeof(new)), text("GetGDT stores GDTR, %s",
                                                   calls_how()),
           "0x%x, limit 0x%x", seen.base, seen.limit);
    asm volatile("lgdt %0" : : "m"(old));

    asm volatile("sidt %0" : "=m"(old));
    new = (TablePointer) { sizeof(idt_copy) - 1, (uint32_t)idt_copy };
    calls_make(VMI_CALL_SetIDT, ARGS((uint32_t)&new));
    asm volatile("sidt %0" : "=m"(seen));
    report(!memcmp(&seen, &new, sizeof(new)), text("SetIDT sets IDTR, %s",
                                                   calls_how()),
           "0x%x, limit 0x%x", seen.base, seen.limit);
    memset(&seen, 0, sizeof(seen));
    calls_make(VMI_CALL_GetIDT, ARGS((uint32_t)&seen));
    report(!memcmp(&seen, &new, sizeof(new)), text("GetIDT stores IDTR, %s",
                                                   calls_how()),
           "0x%x, limit 0x%x", seen.base, seen.limit);
    asm volatile("lidt %0" : : "m"(old));
}

static uint16_t native_ldt(void)
{
    uint16_t selector;

    asm volatile("sldt %0" : "=m"(selector));
    return selector;
}

static uint16_t native_tr(void)
{
    uint16_t selector;

    asm volatile("str %0" : "=m"(selector));
    return selector;
}

static void make_tss_available(uint16_t selector)
{
    gdt[selector / 8] &= ~((uint64_t)0x200 << 32);
}

static void test_selectors(void)
{
    Invoke s;

    calls_make(VMI_CALL_SetLDT, ARGS(LDT_SEL));
    report(native_ldt() == LDT_SEL, text("SetLDT sets LDTR, %s", calls_how()),
           "0x%x", native_ldt());
    s = calls_make(VMI_CALL_GetLDT, NULL);
    report((uint16_t)s.eax == LDT_SEL, text("GetLDT reads LDTR, %s",
                                            calls_how()), "0x%x", s.eax);
    calls_make(VMI_CALL_SetLDT, ARGS(0));
    report(native_ldt() == 0, text("SetLDT takes a null selector, %s",
                                   calls_how()), "0x%x", native_ldt());

    calls_make(VMI_CALL_SetTR, ARGS(TSS2_SEL));
    report(native_tr() == TSS2_SEL, text("SetTR sets TR, %s", calls_how()),
           "0x%x", native_tr());
    s = calls_make(VMI_CALL_GetTR, NULL);
    report((uint16_t)s.eax == TSS2_SEL, text("GetTR reads TR, %s",
                                             calls_how()), "0x%x", s.eax);
    make_tss_available(TSS_SEL);
    make_tss_available(TSS2_SEL);
    calls_make_quiet(VMI_CALL_SetTR, ARGS(TSS_SEL));
    make_tss_available(TSS2_SEL);
}

static void test_entries(void)
{
    static const unsigned indices[] = { 0, 1, 5 };
    uint64_t table[8], want[8];

    for (unsigned nr = VMI_CALL_WriteGDTEntry; nr <= VMI_CALL_WriteIDTEntry;
         nr++) {
        for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
            memset(table, 0x5a, sizeof(table));
            memset(want, 0x5a, sizeof(want));
            want[indices[i]] = 0x8899aabb11223344ull;
            calls_make(nr, ARGS((uint32_t)table, indices[i], 0x11223344,
                                0x8899aabb));
            report(!memcmp(table, want, sizeof(want)),
                   text("%s writes entry %u and no other, %s",
                        vmi_calls[nr].name, indices[i], calls_how()),
                   "0x%llx", table[indices[i]]);
        }
    }
}

static void test_entries_in_use(void)
{
    uint64_t desc = make_desc(0, 0x1233, DESC_DATA | DESC_32BIT);
    uint32_t limit = 0, selector = SPARE_SEL;

    calls_make_quiet(VMI_CALL_WriteGDTEntry,
                     ARGS((uint32_t)gdt, SPARE_SEL / 8, desc, desc >> 32));
    asm volatile("lsl %1, %0" : "+r"(limit) : "r"(selector));
    report(limit == 0x1233, text("WriteGDTEntry makes a segment, %s",
                                 calls_how()), "limit 0x%x", limit);
    gdt[SPARE_SEL / 8] = 0;
}

static void test_kernel_stack(void)
{
    uint32_t wrong[4] = { 0x11111111, 0x22222222, 0x33333333, 0x44444444 };
    uint32_t copy[4];
    uint32_t old = tss.esp0;
    uint32_t word = AT(uint32_t, KERNEL_DS + 4);
    TSS before;

    memcpy(copy, wrong, sizeof(copy));
    calls_make(VMI_CALL_UpdateKernelStack, ARGS(KERNEL_DS, 0x77777777));
    report(tss.esp0 == old && AT(uint32_t, KERNEL_DS + 4) == word,
           text("UpdateKernelStack of a selector stores nothing, %s",
                calls_how()), "esp0 0x%x", tss.esp0);
    before = tss;
    calls_make(VMI_CALL_UpdateKernelStack, ARGS((uint32_t)&tss, 0x66666660));
    before.esp0 = 0x66666660;
    report(!memcmp(&before, &tss, sizeof(tss)),
           text("UpdateKernelStack of the TSS stores esp0 alone, %s",
                calls_how()), "esp0 0x%x", tss.esp0);
    calls_make(VMI_CALL_UpdateKernelStack, ARGS((uint32_t)wrong, 0x55555550));
    report(!memcmp(wrong, copy, sizeof(copy)) && tss.esp0 == 0x66666660,
           text("UpdateKernelStack of another address stores nothing, %s",
                calls_how()), "0x%x, esp0 0x%x", wrong[1], tss.esp0);
    tss.esp0 = old;
}

void test_table_calls(void)
{
    if (!calls_served(VMI_CALL_SetGDT)) {
        return;
    }
    test_pointers();
    test_selectors();
    test_entries();
    test_entries_in_use();
    test_kernel_stack();
}
