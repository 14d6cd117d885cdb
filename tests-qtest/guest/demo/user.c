/*
 * VMI demo guest: user mode, and a page fault
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "demo.h"
#include "desc.h"
#include "paging.h"
#include "vmi.h"

#define FAULT_ADDRESS   (PLAY_BASE + 5 * PAGE_SIZE)
#define FAULT_VALUE     0x564d4921

static uint8_t fault_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned faults;

static uint32_t stub(unsigned nr)
{
    return demo_serves(nr) ? vmi_address[nr] : 0;
}

static void handle_syscall(Frame *frame)
{
    if (!(frame->cs & 3) || !(frame->eflags & EFLAGS_IF)) {
        demo_fail("the system call did not come from user mode");
    }
    demo_leave(frame->eax);
}

static void check_user(const char *in, const char *out, uint32_t cs)
{
    if (cs != USER_CS) {
        demo_fail(text("no user mode by %s: CS 0x%x", in, cs));
    }
    printf("entered user mode by %s, left by %s: CS was 0x%x\n", in, out, cs);
}

void demo_user_mode(void)
{
    uint32_t iret = stub(VMI_CALL_IRET), sysexit = stub(VMI_CALL_SYSEXIT);

    demo_title("-- User mode, a page fault, sleep");
    set_handler(VECTOR_SYSCALL, handle_syscall);
    check_user(iret ? "VMI IRET" : "IRET", "int 0x80",
               demo_enter_iret(iret, demo_user_int80));
    demo_irq_off();

    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (uint32_t)entry_stack_top);
    wrmsr(MSR_SYSENTER_EIP, (uint32_t)demo_sysenter_entry);
    check_user(sysexit ? "VMI SYSEXIT" : "SYSEXIT", "SYSENTER",
               demo_enter_sysexit(sysexit, demo_user_sysenter));
    demo_irq_off();
}

static void handle_page_fault(Frame *frame)
{
    uint32_t addr = read_cr2();
    uint32_t entry = (uint32_t)fault_page | PTE_PRESENT | PTE_WRITE |
                     PTE_USER;

    if ((addr & -PAGE_SIZE) != FAULT_ADDRESS || faults++) {
        demo_fail(text("page fault at 0x%08x, EIP 0x%08x", addr, frame->eip));
    }
    if (demo_serves(VMI_CALL_SetPxE)) {
        vmi_call(VMI_CALL_SetPxE, entry, (uint32_t)paging_entry(addr),
                 FAULT_ADDRESS | VMI_PAGE_PT | VMI_PAGE_CURRENT_AS, 0, 0);
    } else {
        paging_put(addr, entry);
    }
}

void demo_page_fault(void)
{
    set_handler(VECTOR_PF, handle_page_fault);
    AT(uint32_t, FAULT_ADDRESS) = FAULT_VALUE;
    if (faults != 1 || AT(uint32_t, fault_page) != FAULT_VALUE) {
        demo_fail("the page was not mapped");
    }
    set_handler(VECTOR_PF, NULL);
    printf("touched 0x%08x: 1 page fault, served by %s\n", FAULT_ADDRESS,
           demo_serves(VMI_CALL_SetPxE) ? "SetPxE" : "a store");
}
