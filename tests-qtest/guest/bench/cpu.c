/*
 * Bench: the interrupt flag, kernel entry and exit, the context switch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "bench.h"
#include "asm.h"
#include "desc.h"

#define UNROLL          16
#define UNROLLED(body)  ".rept 16\n\t" body "\n\t.endr"

#define OPERAND(name, call) \
    [name]"i"(VMI_CALL_ ## call), [name##_at]"m"(vmi_address[VMI_CALL_ ## call])

#define OFF_SITE    BENCH_SITE(off)
#define ON_SITE     BENCH_SITE(on)
#define GET_SITE    BENCH_SITE(get)
#define SET_SITE    BENCH_SITE(set)

/* local_irq_disable(), local_irq_enable() */
static ALWAYS_INLINE void run_off_on(BenchKind kind, const BenchRow *row,
                                     unsigned n)
{
    sti();
    while (n--) {
        switch (kind) {
        case BENCH_NATIVE:
            asm volatile(UNROLLED("cli; sti") : : : "memory");
            break;
        case BENCH_CALL:
            asm volatile(UNROLLED(OFF_SITE ON_SITE)
                         : : OPERAND(off, DisableInterrupts),
                         OPERAND(on, EnableInterrupts) : "cc", "memory");
            break;
        default:
            asm volatile(UNROLLED("call *%[off_at]; call *%[on_at]")
                         : : OPERAND(off, DisableInterrupts),
                         OPERAND(on, EnableInterrupts) : "cc", "memory");
        }
    }
    cli();
}
BENCH_DEFINE(run_off_on)

/* local_irq_save(), local_irq_restore(), with interrupts on before */
static ALWAYS_INLINE void save_restore(BenchKind kind, unsigned n)
{
    while (n--) {
        switch (kind) {
        case BENCH_NATIVE:
            asm volatile(UNROLLED("pushf; pop %%eax; cli; push %%eax; popf")
                         : : : "eax", "cc", "memory");
            break;
        case BENCH_CALL:
            asm volatile(UNROLLED(GET_SITE OFF_SITE SET_SITE)
                         : : OPERAND(get, GetInterruptMask),
                         OPERAND(off, DisableInterrupts),
                         OPERAND(set, SetInterruptMask)
                         : "eax", "cc", "memory");
            break;
        default:
            asm volatile(UNROLLED("call *%[get_at]; call *%[off_at]; "
                                  "call *%[set_at]")
                         : : OPERAND(get, GetInterruptMask),
                         OPERAND(off, DisableInterrupts),
                         OPERAND(set, SetInterruptMask)
                         : "eax", "cc", "memory");
        }
    }
}

static ALWAYS_INLINE void run_save_on(BenchKind kind, const BenchRow *row,
                                      unsigned n)
{
    sti();
    save_restore(kind, n);
    cli();
}
BENCH_DEFINE(run_save_on)

/* The same, nested: they are off already. */
static ALWAYS_INLINE void run_save_off(BenchKind kind, const BenchRow *row,
                                       unsigned n)
{
    save_restore(kind, n);
}
BENCH_DEFINE(run_save_off)

static void gate_to(uint8_t *code)
{
    uint32_t entry = (uint32_t)code;

    idt[VECTOR_SYSCALL] = (uint64_t)((entry & 0xffff0000) | 0xee00) << 32 |
                          KERNEL_CS << 16 | (entry & 0xffff);
}

static void stop_syscalls(const BenchRow *row)
{
    gate_to(vector_entries[VECTOR_SYSCALL]);
}

static void start_iret(const BenchRow *row, BenchKind kind)
{
    static uint8_t *const code[] = {
        bench_iret_native, bench_iret_call, bench_iret_pointer,
    };

    gate_to(code[kind]);
}

static void run_in_user_mode(uint8_t *code, unsigned n)
{
    UserEntry entry = {
        .eip = (uint32_t)code,
        .eflags = EFLAGS_IF | EFLAGS_ONE,
        .eax = n,
    };

    if (trap(enter_user, &entry) != VECTOR_BP) {
        bench_fail("user mode did not end as it should");
    }
}

/* int 0x80 and IRET, from user mode and from the kernel */
static void run_int_user(const BenchRow *row, unsigned n)
{
    run_in_user_mode(bench_user_int80, n);
}

static void run_int_kernel(const BenchRow *row, unsigned n)
{
    bench_kernel_int80(n);
}

static void run_sysenter(const BenchRow *row, unsigned n)
{
    run_in_user_mode(bench_user_sysenter, n);
}

static void start_sysenter(const BenchRow *row, BenchKind kind)
{
    static uint8_t *const code[] = {
        bench_sysexit_native, bench_sysexit_call, bench_sysexit_pointer,
    };

    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (uint32_t)entry_stack_top);
    wrmsr(MSR_SYSENTER_EIP, (uint32_t)code[kind]);
}

static bool no_sysenter(void)
{
    uint32_t reg[4];

    cpuid(1, 0, reg);
    return !(reg[3] & 1 << 11);
}

/* What else a context switch does: the kernel's stack, a TLS descriptor */
static ALWAYS_INLINE void run_stack(BenchKind kind, const BenchRow *row,
                                    unsigned n)
{
    while (n--) {
        AT(uint32_t, &tss.esp0) = (uint32_t)entry_stack_top;
        if (kind != BENCH_NATIVE) {
            bench_call(kind, VMI_CALL_UpdateKernelStack, KERNEL_DS,
                       (uint32_t)entry_stack_top, 0);
        }
    }
}
BENCH_DEFINE(run_stack)

static ALWAYS_INLINE void run_descriptor(BenchKind kind, const BenchRow *row,
                                         unsigned n)
{
    const uint32_t low = 0x0000ffff, high = 0x00cff300;

    while (n--) {
        uint32_t eax = (uint32_t)gdt, edx = SPARE_SEL / 8, ecx = low;

        switch (kind) {
        case BENCH_NATIVE:
            AT(uint32_t, &gdt[SPARE_SEL / 8]) = low;
            AT(uint32_t, (uint32_t *)&gdt[SPARE_SEL / 8] + 1) = high;
            break;
        case BENCH_CALL:
            asm volatile("push %[high]\n\t"
                         BENCH_SITE(nr)
                         "add $4, %%esp"
                         : "+a"(eax), "+d"(edx), "+c"(ecx)
                         : [high]"i"(high), [nr]"i"(VMI_CALL_WriteGDTEntry)
                         : "cc", "memory");
            break;
        default:
            asm volatile("push %[high]\n\t"
                         "call *%[address]\n\t"
                         "add $4, %%esp"
                         : "+a"(eax), "+d"(edx), "+c"(ecx)
                         : [high]"i"(high),
                         [address]"m"(vmi_address[VMI_CALL_WriteGDTEntry])
                         : "cc", "memory");
        }
    }
}
BENCH_DEFINE(run_descriptor)

const BenchRow bench_cpu_rows[] = {
    {
        .name = "irq-off-on",
        .calls = { VMI_CALL_DisableInterrupts, VMI_CALL_EnableInterrupts },
        .ops = UNROLL, BENCH_RUN(run_off_on),
    }, {
        .name = "irq-save-restore",
        .calls = { VMI_CALL_GetInterruptMask, VMI_CALL_DisableInterrupts,
                   VMI_CALL_SetInterruptMask },
        .ops = UNROLL, BENCH_RUN(run_save_on),
    }, {
        .name = "irq-save-restore-nested",
        .calls = { VMI_CALL_GetInterruptMask, VMI_CALL_DisableInterrupts,
                   VMI_CALL_SetInterruptMask },
        .ops = UNROLL, BENCH_RUN(run_save_off),
    }, {
        .name = "int80-iret-user", .calls = { VMI_CALL_IRET },
        .ops = BENCH_ASM_UNROLL, .start = start_iret, .stop = stop_syscalls,
        .run = { run_int_user, run_int_user, run_int_user },
    }, {
        .name = "int80-iret-kernel", .calls = { VMI_CALL_IRET },
        .ops = BENCH_ASM_UNROLL, .start = start_iret, .stop = stop_syscalls,
        .run = { run_int_kernel, run_int_kernel, run_int_kernel },
    }, {
        .name = "sysenter-sysexit", .calls = { VMI_CALL_SYSEXIT },
        .ops = BENCH_ASM_UNROLL, .absent = no_sysenter,
        .start = start_sysenter,
        .run = { run_sysenter, run_sysenter, run_sysenter },
    }, {
        .name = "kernel-stack", .calls = { VMI_CALL_UpdateKernelStack },
        .ops = 1, BENCH_RUN(run_stack),
    }, {
        .name = "gdt-entry", .calls = { VMI_CALL_WriteGDTEntry },
        .ops = 1, BENCH_RUN(run_descriptor),
    },
    { .name = NULL },
};
