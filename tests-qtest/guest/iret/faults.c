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
    uint64_t desc;              /* of SPARE_SEL */
    uint32_t flags;             /* now and in the frame, as Linux has NT */
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
 * may be anywhere, but ESP must be at the frame, too.  Under KVM the ROM
 * reports bad selectors of frames that direct calls bring, as Linux' are.
 */
static void report_state(const IretMethod *method, const IretTest *t,
                         const char *what)
{
    const Frame *f = &trap_frame;

    if (method->call && (method->patched || !vmi_under_kvm())) {
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

static int run_with_flags(IretTest *t, const IretMethod *method,
                          uint32_t flags)
{
    int vector;

    asm volatile("pushf; or %0, (%%esp); popf" : : "r"(flags) : "memory");
    vector = iret_run(t, method, VMI_CALL_IRET);
    asm volatile("pushf; and %0, (%%esp); popf" : : "r"(~flags) : "memory");
    return vector;
}

/*
 * TCG ignores limits, and has #NP for an SS that is not present, so neither
 * is here.  The ROM does what processors do.
 */
static void test_selectors(const IretMethod *method)
{
    const uint32_t user = DESC_32BIT | DESC_DPL3;
    const FaultCase cases[] = {
        { "a CS beyond the GDT", NO_SELECTOR | 3, USER_DS, VECTOR_GP },
        { "an empty CS", SPARE_SEL | 3, USER_DS, VECTOR_GP },
        { "a CS that is data", USER_DS, USER_DS, VECTOR_GP },
        { "a null CS", 3, USER_DS, VECTOR_GP },
        { "an SS of the kernel", USER_CS, KERNEL_DS, VECTOR_GP },
        { "a null SS", USER_CS, 0, VECTOR_GP },
        { "an SS beyond the GDT", USER_CS, NO_SELECTOR | 3, VECTOR_GP },
        { "a CS of the kernel", KERNEL_CS | 3, USER_DS, VECTOR_GP },
        { "a CS with RPL 1", USER_CS ^ 2, USER_DS ^ 2, VECTOR_GP },
        { "a CS that is not present", SPARE_SEL | 3, USER_DS, VECTOR_NP,
          make_desc(0, 0xfffff, user | (DESC_CODE & ~DESC_PRESENT)) },
        { "a CS that is a TSS", SPARE_SEL | 3, USER_DS, VECTOR_GP,
          make_desc(0, 0x67, DESC_TSS | DESC_DPL3) },
        { "an SS that is code", USER_CS, USER_CS, VECTOR_GP },
        { "an SS that is read-only", USER_CS, SPARE_SEL | 3, VECTOR_GP,
          make_desc(0, 0xfffff, user | (DESC_DATA & ~DESC_WRITABLE)) },
        { "a conforming CS of a lower ring, and a null SS", SPARE_SEL | 3, 0,
          VECTOR_GP,
          make_desc(0, 0xfffff, user | DESC_PAGES | DESC_CONFORMING |
                    (DESC_CODE & ~DESC_DPL3)) },
        { "a task that is not there", USER_CS, USER_DS, VECTOR_TS, 0,
          EFLAGS_NT },
        { "a task, and Linux' user mode", LINUX_USER_CS, LINUX_USER_DS,
          VECTOR_TS, 0, EFLAGS_NT },
        { "a null SS beside Linux' CS", LINUX_USER_CS, 0, VECTOR_GP },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const FaultCase *c = &cases[i];
        IretTest t = user_test(&native_iret, c->cs, c->ss);
        uint32_t error;
        int vector, wanted;

        gdt[SPARE_SEL / 8] = c->desc;
        t.frame[2] |= c->flags;
        wanted = run_with_flags(&t, &native_iret, c->flags);
        error = trap_frame.error;
        t = user_test(method, c->cs, c->ss);
        t.frame[2] |= c->flags;
        vector = run_with_flags(&t, method, c->flags);
        report(vector == c->vector && vector == wanted &&
               trap_frame.error == error,
               text("IRET to %s faults as the instruction does, by %s",
                    c->name, method->name),
               "vector %d error 0x%x, IRET %d 0x%x", vector, trap_frame.error,
               wanted, error);
        report(trap_frame.cs == KERNEL_CS &&
               (trap_frame.eflags & EFLAGS_NT) == (c->flags & EFLAGS_NT),
               text("the fault has CS and NT for %s, by %s", c->name,
                    method->name),
               "0x%x, EFLAGS 0x%x", trap_frame.cs, trap_frame.eflags);
        report_state(method, &t, c->name);
    }
    gdt[SPARE_SEL / 8] = 0;
}

/* Selectors that the ROM knows, and others that are right */
static void test_good(const IretMethod *method)
{
    static const struct {
        const char *name;
        uint32_t cs, ss;
    } cases[] = {
        { "Linux' selectors", LINUX_USER_CS, LINUX_USER_DS },
        { "Linux' CS", LINUX_USER_CS, USER_DS },
        { "Linux' SS", USER_CS, LINUX_USER_DS },
        { "selectors in the LDT", USER_CS | 4, USER_DS | 4 },
    };

    asm volatile("lldt %w0" : : "r"(LDT_SEL));
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        IretTest t = user_test(method, cases[i].cs, cases[i].ss);
        int vector;

        t.ds_es = USER_DS;
        vector = iret_run(&t, method, VMI_CALL_IRET);
        report(vector == VECTOR_SYSCALL && trap_frame.cs == cases[i].cs &&
               trap_frame.ss == cases[i].ss && trap_frame.eax == t.eax &&
               trap_frame.ecx == t.ecx && trap_frame.edx == t.edx,
               text("IRET arrives with %s, by %s", cases[i].name,
                    method->name), "vector %d, %x, %x", vector, trap_frame.cs,
               trap_frame.ss);
    }
    asm volatile("lldt %w0" : : "r"(0));
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
    report(vector == VECTOR_PF &&
           read_cr2() - PLAY_BASE - PAGE_SIZE < PAGE_SIZE,
           text("IRET from a stack that is not all there is #PF, by %s",
                method->name), "vector %d, CR2 0x%x", vector, read_cr2());
    if (!vmi_under_kvm()) {
        report_state(method, &t, "a stack that is not all there");
    }

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
        test_good(&iret_methods[i]);
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
