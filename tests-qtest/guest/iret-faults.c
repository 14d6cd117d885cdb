/*
 * The iret program: faults in IRET, and SYSEXIT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "iret.h"

#define NO_SELECTOR 0xff8       /* beyond the GDT's limit */

typedef struct FaultCase {
    const char *name;
    uint32_t cs, ss;
    uint8_t vector;
} FaultCase;

static const IretMethod native_iret = { "the instruction", iret_native };
static uint8_t stack_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t stack_page2[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static IretTest user_test(const IretMethod *method, uint32_t cs, uint32_t ss)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);

    t.frame[0] = (uint32_t)iret_user_landing;
    t.frame[1] = cs;
    t.frame[2] = FRAME_FLAGS;
    t.frame[3] = (uint32_t)user_stack_top;
    t.frame[4] = ss;
    t.words = 5;
    return t;
}

/*
 * As Linux needs it: EIP at the call instruction, ESP at the frame, and all
 * registers as before.  A JMP is no place to come back to; there the fault
 * may be anywhere, but ESP must be at the frame, too.
 */
static void report_state(const IretMethod *method, const IretTest *t,
                         const char *what)
{
    const Frame *f = &trap_frame;

    if (method->call && !vmi_under_kvm()) {
        report(f->eip == (uint32_t)method->code,
               text("EIP is the call for %s, by %s", what, method->name),
               "0x%x, call at 0x%x", f->eip, (uint32_t)method->code);
    }
    report(f->esp == iret_frame,
           text("ESP is at the frame for %s, by %s", what, method->name),
           "%d bytes off", (int)(f->esp - iret_frame));
    report(f->eax == t->eax && f->ebx == t->ebx && f->ecx == t->ecx &&
           f->edx == t->edx && f->esi == t->esi && f->edi == t->edi &&
           f->ebp == t->ebp,
           text("registers are as before for %s, by %s", what, method->name),
           "EAX 0x%x EDX 0x%x", f->eax, f->edx);
}

static void test_selectors(const IretMethod *method)
{
    static const FaultCase cases[] = {
        { "a CS beyond the GDT", NO_SELECTOR | 3, USER_DS, VECTOR_GP },
        { "an empty CS", SPARE_SEL | 3, USER_DS, VECTOR_GP },
        { "a CS that is data", USER_DS, USER_DS, VECTOR_GP },
        { "a null CS", 3, USER_DS, VECTOR_GP },
        { "an SS of the kernel", USER_CS, KERNEL_DS, VECTOR_GP },
        { "a null SS", USER_CS, 0, VECTOR_GP },
        { "an SS beyond the GDT", USER_CS, NO_SELECTOR | 3, VECTOR_GP },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const FaultCase *c = &cases[i];
        IretTest t = user_test(&native_iret, c->cs, c->ss);
        uint32_t error;
        int vector, wanted;

        wanted = iret_run(&t, &native_iret, VMI_CALL_IRET);
        error = trap_frame.error;
        t = user_test(method, c->cs, c->ss);
        vector = iret_run(&t, method, VMI_CALL_IRET);
        report(vector == c->vector && vector == wanted &&
               trap_frame.error == error,
               text("IRET to %s faults as the instruction does, by %s",
                    c->name, method->name),
               "vector %d error 0x%x, IRET %d 0x%x", vector, trap_frame.error,
               wanted, error);
        report_state(method, &t, c->name);
    }
}

/* The frame's last two words are in a page that is not there. */
static uint32_t map_split_stack(void)
{
    paging_put(PLAY_BASE, (uint32_t)stack_page | PTE_PRESENT | PTE_WRITE);
    paging_put(PLAY_BASE + PAGE_SIZE,
               (uint32_t)stack_page2 | PTE_PRESENT | PTE_WRITE);
    write_cr3(read_cr3());
    return PLAY_BASE + PAGE_SIZE + 8;
}

static void unmap_upper(void)
{
    paging_put(PLAY_BASE + PAGE_SIZE, 0);
    invlpg(PLAY_BASE + PAGE_SIZE);
}

static unsigned repairs;

static void repair(Frame *frame)
{
    repairs++;
    save_frame(frame);
    map_split_stack();
}

static void test_absent_stack(const IretMethod *method)
{
    IretTest t = user_test(method, USER_CS, USER_DS);
    int vector;

    /* The frame is written ahead, by physical address. */
    t.stack = map_split_stack() - 20;
    memcpy(&stack_page[PAGE_SIZE - 12], t.frame, 12);
    memcpy(stack_page2, &t.frame[3], 8);
    t.words = 0;
    unmap_upper();
    vector = iret_run(&t, method, VMI_CALL_IRET);
    report(vector == VECTOR_PF && read_cr2() == PLAY_BASE + PAGE_SIZE,
           text("IRET from a stack that is not all there is #PF, by %s",
                method->name), "vector %d, CR2 0x%x", vector, read_cr2());
    report_state(method, &t, "a stack that is not all there");

    /* A handler that repairs it returns to the call, which then works. */
    unmap_upper();
    repairs = 0;
    set_handler(VECTOR_PF, repair);
    vector = iret_run(&t, method, VMI_CALL_IRET);
    set_handler(VECTOR_PF, NULL);
    report(vector == VECTOR_SYSCALL && repairs == 1 &&
           trap_frame.eip == (uint32_t)iret_user_landing + 2,
           text("IRET goes on after such a fault is repaired, by %s",
                method->name), "vector %d, %u repairs", vector, repairs);
}

void test_faults(void)
{
    for (unsigned i = 0; i < iret_method_count; i++) {
        if (vmi_under_kvm() && !iret_methods[i].call) {
            continue;
        }
        test_selectors(&iret_methods[i]);
        if (paging_mode() != PAGING_OFF) {
            test_absent_stack(&iret_methods[i]);
        }
    }
}

static uint32_t came_cs, came_eip, came;

static void handle_came(Frame *frame)
{
    came_cs = frame->cs;
    came_eip = frame->eip;
    came++;
    apic_write(APIC_EOI, 0);
}

static void test_sysexit_by(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_SYSEXIT);
    const Frame *f = &trap_frame;
    int vector;

    t.edx = (uint32_t)iret_user_landing;
    t.ecx = (uint32_t)user_stack_top - 64;
    set_handler(IPI_VECTOR, handle_came);
    came = 0;
    apic_write(APIC_ICR, 0x44000 | IPI_VECTOR);
    vector = iret_run(&t, method, VMI_CALL_SYSEXIT);
    report(vector == VECTOR_SYSCALL && f->cs == USER_CS &&
           f->eip == (uint32_t)iret_user_landing + 2,
           text("SYSEXIT by %s arrives in user mode", method->name),
           "vector %d, CS 0x%x, EIP 0x%x", vector, f->cs, f->eip);
    report(f->esp == t.ecx && f->ss == USER_DS,
           text("it loads ESP and SS, by %s", method->name), "0x%x:0x%x",
           f->ss, f->esp);
    report(f->eflags & EFLAGS_IF,
           text("it enables interrupts, by %s", method->name), "0x%x",
           f->eflags);
    report(came == 1 && came_cs == USER_CS &&
           came_eip == (uint32_t)iret_user_landing,
           text("a pending interrupt comes in user mode, not before, by %s",
                method->name), "%u came, at %x:0x%x", came, came_cs, came_eip);
    report(f->eax == t.eax && f->ebx == t.ebx && f->ecx == t.ecx &&
           f->edx == t.edx && f->esi == t.esi && f->edi == t.edi &&
           f->ebp == t.ebp,
           text("SYSEXIT keeps all registers, by %s", method->name),
           "EAX 0x%x EBX 0x%x", f->eax, f->ebx);

    t.edx = (uint32_t)iret_user_sysenter;
    vector = iret_run(&t, method, VMI_CALL_SYSEXIT);
    report(vector == 0x100, text("SYSENTER comes back after SYSEXIT by %s",
                                 method->name), "vector 0x%x", vector);
}

void test_sysexit(void)
{
    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (uint32_t)entry_stack_top);
    wrmsr(MSR_SYSENTER_EIP, (uint32_t)iret_sysenter_entry);
    for (unsigned i = 0; i < iret_method_count; i++) {
        test_sysexit_by(&iret_methods[i]);
    }
}
