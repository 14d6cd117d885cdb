/*
 * What TR can hold beside that which LTR loads: VMLOAD brings a TSS that is
 * marked as busy, which is what a guest under VMRUN has, or no TSS at all.
 * Nothing of this needs VMI.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "tss.h"

#define EFER_SVME       0x1000
#define VMCB_TR         0x490
#define ALLOWED_PORT    0x80
#define DENIED_PORT     0x81
#define LOW_STACK_TOP   0x7000      /* what a 16-bit TSS can express */

typedef struct VMCBSegment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
} VMCBSegment;

typedef struct TSS16 {
    uint16_t link, sp0, ss0, rest[19];
} TSS16;

static uint8_t vmcb[4096] __attribute__((aligned(4096)));
static struct {
    TSS tss;
    uint8_t ports[32];
} tss32 __attribute__((aligned(512)));
static TSS16 tss16;
static TSS handler_tss;
static uint8_t handler_stack[4096] __attribute__((aligned(16)));

/* The handler of #TS is a task, for TR has no stack that one could use. */
asm(".text\n"
    "task_entry:\n"
    "    pop task_error\n"
    "    clts\n"
    "    push $10\n"
    "    call trap_jump\n"
    "user_int:\n"
    "    int $0x80\n"
    "user_allowed:\n"
    "    in $0x80, %al\n"
    "    int $0x80\n"
    "user_denied:\n"
    "    in $0x81, %al\n"
    "    int $0x80\n"
    ".comm task_error, 4\n");

/* Attributes are bits 40 to 47 of a descriptor: present, system, type. */
static void load_tr(uint16_t attributes, const void *base, uint32_t limit)
{
    VMCBSegment *tr = (VMCBSegment *)(vmcb + VMCB_TR);

    *tr = (VMCBSegment) { TSS_SEL, attributes, limit, (uint32_t)base };
    asm volatile("vmload" : : "a"(vmcb) : "memory");
}

static void test_tss32(uint8_t attributes, const char *name)
{
    int vector;

    load_tr(attributes, &tss32, sizeof(tss32) - 1);
    vector = run_user(user_int, 0);
    report(vector == VECTOR_SYSCALL && trap_frame.esp == (uint32_t)
           user_stack_top, text("users get into the kernel with %s", name),
           "vector %d", vector);
    vector = run_user(user_allowed, 0);
    report(vector == VECTOR_SYSCALL,
           text("users get at a port that is allowed with %s", name),
           "vector %d", vector);
    vector = run_user(user_denied, 0);
    report(vector == VECTOR_GP,
           text("users do not get at another with %s", name),
           "vector %d", vector);
}

static void test_tss16(uint8_t attributes, const char *name)
{
    int vector;

    load_tr(attributes, &tss16, sizeof(tss16) - 1);
    vector = run_user(user_int, 0);
    report(vector == VECTOR_SYSCALL,
           text("users get into the kernel with %s", name),
           "vector %d", vector);
    vector = run_user(user_allowed, 0);
    report(vector == VECTOR_GP, text("users get at no port with %s", name),
           "vector %d", vector);
}

static void test_bad(uint8_t attributes, const char *name)
{
    int vector;

    gdt[TSS2_SEL / 8] = make_desc((uint32_t)&handler_tss,
                                  sizeof(handler_tss) - 1, DESC_TSS);
    handler_tss.eip = (uint32_t)task_entry;
    handler_tss.regs[4] = (uint32_t)(handler_stack + sizeof(handler_stack));
    task_error = 0;
    load_tr(attributes, &tss32, sizeof(tss32) - 1);
    vector = run_user(user_int, 0);
    report(vector == VECTOR_TS && task_error == TSS_SEL,
           text("an interrupt from user mode is #TS with %s in TR", name),
           "vector %d, error 0x%x", vector, task_error);
}

void guest_main(void)
{
    tss32.tss = tss;
    tss32.tss.iomap = offsetof(typeof(tss32), ports);
    memset(tss32.ports, 0xff, sizeof(tss32.ports));
    tss32.ports[ALLOWED_PORT / 8] &= ~(1 << ALLOWED_PORT % 8);
    tss16.sp0 = LOW_STACK_TOP;
    tss16.ss0 = KERNEL_DS;

    handler_tss.eflags = EFLAGS_ONE;
    handler_tss.segs[0] = KERNEL_DS;
    handler_tss.segs[1] = KERNEL_CS;
    handler_tss.segs[2] = handler_tss.segs[3] = KERNEL_DS;
    idt[VECTOR_TS] = (uint64_t)0x8500 << 32 | TSS2_SEL << 16;

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    test_tss32(0x89, "an available TSS");
    test_tss32(0x8b, "a busy TSS");
    test_tss16(0x81, "an available 16-bit TSS");
    test_tss16(0x83, "a busy 16-bit TSS");
    test_bad(0x0b, "a TSS that is not present");
    test_bad(0x82, "an LDT");
    test_bad(0x80, "nothing");
    test_bad(0x99, "a code segment");
    report_end();
}
