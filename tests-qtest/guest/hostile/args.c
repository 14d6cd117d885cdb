/*
 * The hostile program: arguments out of range have a defined answer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hostile.h"

static void answers(unsigned nr, uint32_t eax, uint64_t want)
{
    uint64_t seen;

    if (vmi_type[nr] == VMI_RELOCATION_NONE) {
        return;
    }
    seen = vmi_call(nr, eax, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);
    report(seen == want, text("%s of 0x%x answers 0x%llx", vmi_calls[nr].name,
                              eax, want), "0x%llx", seen);
}

static void test_time(void)
{
    static const uint32_t counters[] = { 3, 77, 0x100, 0x10000, 0xffffffff };
    uint32_t armed;

    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
        answers(VMI_CALL_GetCycleCounter, counters[i], 0);
    }
    vmi_set_alarm(VMI_CYCLES_REAL, UINT64_MAX, 0);
    for (uint32_t counter = 2; counter < 256; counter += 127) {
        vmi_set_alarm(counter | 0xffffff00, 0, 1);
        answers(VMI_CALL_CancelAlarm, counter | 0xffffff00, 0);
    }
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(armed == 1, "alarms of other counters leave an alarm as it is", "%u",
           armed);
    vmi_set_alarm(VMI_CYCLES_REAL, UINT64_MAX, 0);
    answers(VMI_CALL_CancelAlarm, 0xffffff00, 1);
    answers(VMI_CALL_CancelAlarm, 0xffffff00, 0);
}

static void test_relocations(void)
{
    static const uint32_t numbers[] = {
        49, 60, 72, 74, 127, 128, 255, 256, 256 + VMI_CALL_SetCR3, 0x80000011,
        0xffffffff,
    };
    unsigned bad = 0;
    uint32_t address, edx;

    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        vmi_get_relocation(numbers[i], &address, &edx);
        bad += address || (edx & 0xff);
    }
    report(!bad, "numbers that there are not are type 0", "%u are", bad);
}

/* What must do nothing but flush; the program goes on in what is mapped. */
static void test_pages(void)
{
    static const uint32_t values[] = {
        0, 0xfffff, 0x100000, 0x7fffffff, 0x80000000, 0xffffffff,
    };
    static const uint8_t calls[] = {
        VMI_CALL_AllocatePage, VMI_CALL_ReleasePage, VMI_CALL_InvalPage,
        VMI_CALL_FlushTLB, VMI_CALL_SetLinearMapping, VMI_CALL_SetLazyMode,
        VMI_CALL_IODelay,
    };
    uint32_t cr3 = read_cr3(), cr4 = read_cr4();

    for (unsigned c = 0; c < ARRAY_SIZE(calls); c++) {
        for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
            for (unsigned j = 0; j < ARRAY_SIZE(values); j++) {
                vmi_call(calls[c], values[i], values[j], values[i], values[j],
                         values[i]);
            }
        }
    }
    report(read_cr3() == cr3 && read_cr4() == cr4,
           "page numbers, flags and counts out of range change no register",
           "CR3 0x%x, CR4 0x%x", read_cr3(), read_cr4());
}

static void test_masks(void)
{
    uint32_t eflags;

    vmi_call(VMI_CALL_SetIOPLMask, 0xffffffff, 0, 0, 0, 0);
    eflags = read_eflags();
    vmi_call(VMI_CALL_SetIOPLMask, ~EFLAGS_IOPL, 0, 0, 0, 0);
    report((eflags & ~EFLAGS_STATUS) == (EFLAGS_ONE | EFLAGS_IOPL),
           "SetIOPLMask of all bits sets IOPL alone", "0x%x", eflags);
    vmi_call(VMI_CALL_SetInterruptMask, ~EFLAGS_IF, 0, 0, 0, 0);
    eflags = read_eflags();
    report((eflags & ~EFLAGS_STATUS) == EFLAGS_ONE,
           "SetInterruptMask of all other bits sets none", "0x%x", eflags);
    vmi_call(VMI_CALL_SetDR, 0xfffffffb, 0x12345678, 0, 0, 0);
    report(read_dr3() == 0x12345678, "SetDR takes its number modulo 8",
           "DR3 0x%x", read_dr3());
    answers(VMI_CALL_GetDR, 0x7ffffffb, (uint64_t)0xffffffff << 32 |
                                        0x12345678);
    write_dr3(0);
}

void test_arguments(void)
{
    test_time();
    test_relocations();
    test_pages();
    test_masks();
    report_alive("arguments out of range");
}
