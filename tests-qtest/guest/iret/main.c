/*
 * IRET: to the kernel, to user mode and to virtual-8086 mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "iret.h"

#define V86_SEGMENT 0x2000      /* free memory below 1 MiB */
#define HLT         0xf4        /* #GP in virtual-8086 mode */

static const IretMethod native = { "the instruction", iret_native };

static void set_frame(IretTest *test, uint32_t eip, uint32_t cs,
                      uint32_t eflags)
{
    test->frame[0] = eip;
    test->frame[1] = cs;
    test->frame[2] = eflags;
    test->words = 3;
}

static void set_user_frame(IretTest *test, void *eip)
{
    set_frame(test, (uint32_t)eip, USER_CS, FRAME_FLAGS);
    test->frame[3] = (uint32_t)user_stack_top;
    test->frame[4] = USER_DS;
    test->words = 5;
}

static void test_kernel(const IretMethod *method)
{
    static const uint32_t flags[] = {
        EFLAGS_ONE, FRAME_FLAGS, EFLAGS_ONE | EFLAGS_IF | EFLAGS_ZF,
        EFLAGS_ONE | EFLAGS_ID,
    };
    const IretResult *r = &iret_result;

    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        IretTest t = iret_make(method, VMI_CALL_IRET);
        int vector;

        set_frame(&t, (uint32_t)iret_landing, KERNEL_CS, flags[i]);
        vector = iret_run(&t, method, VMI_CALL_IRET);
        report(vector == -1, text("IRET to the kernel by %s arrives, EFLAGS "
                                  "%x", method->name, flags[i]),
               "vector %d at 0x%x", vector, trap_frame.eip);
        report(r->eflags == flags[i],
               text("it loads EFLAGS %x, by %s", flags[i], method->name),
               "0x%x", r->eflags);
        report(r->eax == t.eax && r->ebx == t.ebx && r->ecx == t.ecx &&
               r->edx == t.edx && r->esi == t.esi && r->edi == t.edi &&
               r->ebp == t.ebp,
               text("it keeps all registers, by %s, EFLAGS %x", method->name,
                    flags[i]), "EAX 0x%x EDX 0x%x", r->eax, r->edx);
        /* PUSHA stores the ESP before it, which is below EFLAGS. */
        report(r->esp + 4 == iret_frame + 12,
               text("it takes 12 bytes off the stack, by %s, EFLAGS %x",
                    method->name, flags[i]), "%d",
               (int)(r->esp + 4 - iret_frame));
    }
}

static void test_segments(const IretMethod *method)
{
    static const uint32_t selectors[] = { 0, USER_DS };
    bool needs_ds = method->code == iret_by_call_memory ||
                    method->code == iret_by_call_base ||
                    method->code == iret_by_call_index;

    for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
        IretTest t = iret_make(method, VMI_CALL_IRET);
        int vector;

        if (needs_ds && !selectors[i]) {
            continue;
        }
        t.ds_es = selectors[i];
        set_user_frame(&t, iret_user_landing);
        vector = iret_run(&t, method, VMI_CALL_IRET);
        report(vector == VECTOR_SYSCALL && trap_frame.ds == selectors[i] &&
               trap_frame.es == selectors[i],
               text("IRET with DS and ES %02x keeps them, by %s",
                    selectors[i], method->name), "vector %d, DS 0x%x ES 0x%x",
               vector, trap_frame.ds, trap_frame.es);
    }
}

static void test_user(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);
    const Frame *f = &trap_frame;
    uint32_t native_ds;
    int vector;

    set_user_frame(&t, iret_user_landing);
    t.frame[2] |= EFLAGS_IF;
    iret_run(&t, &native, VMI_CALL_IRET);
    native_ds = f->ds;
    vector = iret_run(&t, method, VMI_CALL_IRET);
    report(vector == VECTOR_SYSCALL && f->cs == USER_CS &&
           f->eip == (uint32_t)iret_user_landing + 2,
           text("IRET to user mode by %s arrives", method->name),
           "vector %d, CS 0x%x, EIP 0x%x", vector, f->cs, f->eip);
    report(f->esp == (uint32_t)user_stack_top && f->ss == USER_DS,
           text("it loads the user's stack, by %s", method->name),
           "0x%x:0x%x", f->ss, f->esp);
    report(f->eflags == (FRAME_FLAGS | EFLAGS_IF),
           text("it loads the user's flags, by %s", method->name), "0x%x",
           f->eflags);
    report(f->eax == t.eax && f->ebx == t.ebx && f->ecx == t.ecx &&
           f->edx == t.edx && f->esi == t.esi && f->edi == t.edi &&
           f->ebp == t.ebp,
           text("it keeps all registers for the user, by %s", method->name),
           "EAX 0x%x EDX 0x%x", f->eax, f->edx);
    report(f->ds == native_ds, text("it leaves the user what the instruction "
                                    "would in DS, by %s", method->name),
           "0x%x, IRET 0x%x", f->ds, native_ds);
}

static void test_v86(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);
    const Frame *f = &trap_frame;
    int vector;

    AT(uint8_t, V86_SEGMENT * 16 + 0x120) = HLT;
    set_frame(&t, 0x120, V86_SEGMENT, EFLAGS_ONE | EFLAGS_VM | EFLAGS_IF);
    t.frame[3] = 0xfff0;
    t.frame[4] = 0x2100;
    for (unsigned i = 5; i < 9; i++) {
        t.frame[i] = 0x2000 + 0x111 * i;
    }
    t.words = 9;
    vector = iret_run(&t, method, VMI_CALL_IRET);
    report(vector == VECTOR_GP && (f->eflags & EFLAGS_VM) &&
           f->cs == V86_SEGMENT && f->eip == 0x120,
           text("IRET to virtual-8086 mode by %s arrives", method->name),
           "vector %d, %x:%x, EFLAGS 0x%x", vector, f->cs, f->eip, f->eflags);
    report(f->ss == 0x2100 && f->esp == 0xfff0 && f->v86_es == t.frame[5] &&
           f->v86_ds == t.frame[6] && f->v86_fs == t.frame[7] &&
           f->v86_gs == t.frame[8],
           text("it loads SS ESP ES DS FS GS, by %s", method->name),
           "%x:%x %x %x %x %x", f->ss, f->esp, f->v86_es, f->v86_ds,
           f->v86_fs, f->v86_gs);
    report(f->eax == t.eax && f->ebx == t.ebx && f->ecx == t.ecx &&
           f->edx == t.edx,
           text("it keeps registers for virtual-8086 mode, by %s",
                method->name), "EAX 0x%x", f->eax);
}

/*
 * The instruction loads SP, and leaves the high half of the kernel's ESP to the
 * user.  By call, all of ESP is the user's, as 16-bit programs expect it.
 */
static void test_stack16(const IretMethod *method)
{
    static const uint32_t selectors[] = { SPARE_SEL | 3, SPARE_SEL | 7 };
    static const uint32_t stacks[] = { 0xabcd8000, 0x00001234, 0xfffffffc };
    const Frame *f = &trap_frame;

    gdt[SPARE_SEL / 8] = make_desc((uint32_t)user_stack_top, 0xffff,
                                   DESC_DATA | DESC_DPL3);
    asm volatile("lldt %w0" : : "r"(LDT_SEL));
    for (unsigned i = 0; i < ARRAY_SIZE(stacks) * 2; i++) {
        IretTest t = iret_make(method, VMI_CALL_IRET);
        uint32_t ss = selectors[i % 2], esp = stacks[i / 2];
        int vector;

        set_user_frame(&t, iret_user_landing);
        t.ds_es = USER_DS;
        t.frame[2] |= EFLAGS_IF;
        t.frame[3] = esp;
        t.frame[4] = ss;
        vector = iret_run(&t, method, VMI_CALL_IRET);
        report(vector == VECTOR_SYSCALL && f->ss == ss && f->esp == esp,
               text("IRET to the 16-bit stack %02x:%08x by %s loads all of ESP",
                    ss, esp, method->name), "vector %d, 0x%x:0x%x", vector,
               f->ss, f->esp);
        report(f->cs == USER_CS && f->eip == (uint32_t)iret_user_landing + 2 &&
               f->eflags == t.frame[2] && f->ds == USER_DS && f->es == USER_DS,
               text("and the rest, to %02x:%08x by %s", ss, esp, method->name),
               "%x:%x, EFLAGS 0x%x, DS 0x%x ES 0x%x", f->cs, f->eip, f->eflags,
               f->ds, f->es);
        report(f->eax == t.eax && f->ebx == t.ebx && f->ecx == t.ecx &&
               f->edx == t.edx && f->esi == t.esi && f->edi == t.edi &&
               f->ebp == t.ebp,
               text("and keeps all registers, to %02x:%08x by %s", ss, esp,
                    method->name), "EAX 0x%x EDX 0x%x EDI 0x%x", f->eax, f->edx,
               f->edi);
    }
    asm volatile("lldt %w0" : : "r"(0));
    gdt[SPARE_SEL / 8] = 0;
}

/* Segments of the kernel's that the user would find in its registers */
static void test_stack16_segments(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);
    const Frame *f = &trap_frame;

    gdt[SPARE_SEL / 8] = make_desc(0, 0xffff, DESC_DATA | DESC_DPL3);
    set_user_frame(&t, iret_user_landing);
    t.frame[4] = SPARE_SEL | 3;
    iret_run(&t, method, VMI_CALL_IRET);
    report(!(f->ds & ~3) && !(f->es & ~3),
           text("IRET to a 16-bit stack takes the kernel's DS and ES away, by "
                "%s", method->name), "DS 0x%x ES 0x%x", f->ds, f->es);
    gdt[SPARE_SEL / 8] = 0;
}

static uint32_t ipi_eip, ipi_cs, ipi_count;

static void handle_ipi(Frame *frame)
{
    ipi_eip = frame->eip;
    ipi_cs = frame->cs;
    ipi_count++;
    apic_write(APIC_EOI, 0);
}

static void test_pending(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);

    set_handler(IPI_VECTOR, handle_ipi);
    ipi_count = 0;
    apic_write(APIC_ICR, 0x44000 | IPI_VECTOR);
    set_user_frame(&t, iret_user_landing);
    t.frame[2] |= EFLAGS_IF;
    iret_run(&t, method, VMI_CALL_IRET);
    report(ipi_count == 1 && ipi_cs == USER_CS &&
           ipi_eip == (uint32_t)iret_user_landing,
           text("a pending interrupt comes at the user's first instruction, "
                "by %s", method->name), "%u came, at %x:0x%x", ipi_count,
           ipi_cs, ipi_eip);
}

/* What is behind the frame's EIP is the user's affair. */
static void test_after_call(const IretMethod *method)
{
    IretTest t = iret_make(method, VMI_CALL_IRET);
    int vector;

    set_frame(&t, (uint32_t)iret_landing_after_call, KERNEL_CS, EFLAGS_ONE);
    vector = iret_run(&t, method, VMI_CALL_IRET);
    report(vector == -1, text("IRET by %s to the instruction behind an "
                              "indirect call arrives", method->name),
           "vector %d at 0x%x", vector, trap_frame.eip);
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    for (unsigned i = 0; i < iret_method_count; i++) {
        if (vmi_under_kvm() && !iret_methods[i].call) {
            report_skip(text("IRET by %s", iret_methods[i].name),
                        IRET_BY_CALL_ONLY);
            continue;
        }
        test_kernel(&iret_methods[i]);
        test_user(&iret_methods[i]);
        test_segments(&iret_methods[i]);
        test_stack16(&iret_methods[i]);
        test_stack16_segments(&iret_methods[i]);
        test_v86(&iret_methods[i]);
        test_pending(&iret_methods[i]);
        test_after_call(&iret_methods[i]);
    }
    test_faults();
    test_sysexit();
    report_end();
}
