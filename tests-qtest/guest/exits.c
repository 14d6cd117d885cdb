/*
 * Calls to be counted: the machine is stopped before and after a number of
 * each, for the host to look at KVM's statistics.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

#define PVPANIC     0x505
#define PANICKED    1
#define CALLS       200

typedef struct Case {
    const char *name;
    uint8_t nr;
    uint32_t eax, edx, ecx, stack0, stack1;
} Case;

/* With -action panic=pause */
static void stop_here(void)
{
    outb(PVPANIC, PANICKED);
}

void guest_main(void)
{
    static uint32_t entry;
    static uint64_t entry_long, table[2];
    TablePointer gdtr = { sizeof(gdt) - 1, (uint32_t)gdt };
    TablePointer idtr = { sizeof(idt) - 1, (uint32_t)idt };

    vmi_setup();
    pic_init();

    const Case cases[] = {
        { "nothing", VMI_CALL_MachineToPhysical },
        { "SetGDT", VMI_CALL_SetGDT, (uint32_t)&gdtr },
        { "SetIDT", VMI_CALL_SetIDT, (uint32_t)&idtr },
        { "GetGDT", VMI_CALL_GetGDT, (uint32_t)&gdtr },
        { "GetIDT", VMI_CALL_GetIDT, (uint32_t)&idtr },
        { "SetLDT", VMI_CALL_SetLDT, 0 },
        { "GetTR", VMI_CALL_GetTR },
        { "WriteGDTEntry", VMI_CALL_WriteGDTEntry, (uint32_t)table, 1 },
        { "UpdateKernelStack", VMI_CALL_UpdateKernelStack, KERNEL_DS },
        { "SetCR0", VMI_CALL_SetCR0, read_cr0() },
        { "SetCR2", VMI_CALL_SetCR2, 0 },
        { "SetCR3", VMI_CALL_SetCR3, read_cr3() },
        { "SetCR4", VMI_CALL_SetCR4, read_cr4() },
        { "GetCR0", VMI_CALL_GetCR0 },
        { "GetCR3", VMI_CALL_GetCR3 },
        { "GetCR4", VMI_CALL_GetCR4 },
        { "CLTS", VMI_CALL_CLTS },
        { "WBINVD", VMI_CALL_WBINVD },
        { "RDTSC", VMI_CALL_RDTSC },
        { "EnableInterrupts", VMI_CALL_EnableInterrupts },
        { "GetInterruptMask", VMI_CALL_GetInterruptMask },
        { "SetInterruptMask", VMI_CALL_SetInterruptMask,
          VMI_INTERRUPT_ENABLED },
        { "DisableInterrupts", VMI_CALL_DisableInterrupts },
        { "SetPxE", VMI_CALL_SetPxE, 0, (uint32_t)&entry, VMI_PAGE_PT },
        { "SetPxELong", VMI_CALL_SetPxELong, 0, 0, (uint32_t)&entry_long,
          VMI_PAGE_PT },
        { "UpdatePxE", VMI_CALL_UpdatePxE, (uint32_t)&entry, VMI_PAGE_PT },
        { "AllocatePage", VMI_CALL_AllocatePage, 1, VMI_PAGE_PT },
        { "ReleasePage", VMI_CALL_ReleasePage, 1, VMI_PAGE_PT },
        { "InvalPage", VMI_CALL_InvalPage, PLAY_BASE },
        { "FlushTLB(1)", VMI_CALL_FlushTLB, VMI_FLUSH_TLB },
        { "FlushTLB(3)", VMI_CALL_FlushTLB,
          VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL },
        { "SetIOPLMask", VMI_CALL_SetIOPLMask, 0 },
        { "GetCycleFrequency", VMI_CALL_GetCycleFrequency },
        { "GetCycleCounter(0)", VMI_CALL_GetCycleCounter, VMI_CYCLES_REAL },
        { "GetCycleCounter(1)", VMI_CALL_GetCycleCounter,
          VMI_CYCLES_AVAILABLE },
        { "GetCycleCounter(2)", VMI_CALL_GetCycleCounter, VMI_CYCLES_STOLEN },
        { "SetAlarm", VMI_CALL_SetAlarm, VMI_CYCLES_REAL, 0xffffffff,
          0x7fffffff },
        { "CancelAlarm", VMI_CALL_CancelAlarm, VMI_CYCLES_REAL },
        { "GetWallclockTime", VMI_CALL_GetWallclockTime },
        { "WallclockUpdated", VMI_CALL_WallclockUpdated },
        { "SetLazyMode", VMI_CALL_SetLazyMode, VMI_LAZY_MMU },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const Case *c = &cases[i];

        stop_here();
        for (unsigned n = 0; n < CALLS; n++) {
            vmi_call(c->nr, c->eax, c->edx, c->ecx, c->stack0, c->stack1);
        }
        stop_here();
        printf("# %u of %s\n", CALLS, c->name);
    }
    report(true, "all calls were made", "%u of each", CALLS);
    report_end();
}
