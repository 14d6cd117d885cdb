/*
 * VMI guest programs: processor instructions and constants
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_X86_H
#define GUEST_X86_H

#include "libc.h"

#define CR0_PE 0x00000001
#define CR0_MP 0x00000002
#define CR0_TS 0x00000008
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020
#define CR0_WP 0x00010000
#define CR0_AM 0x00040000
#define CR0_PG 0x80000000

#define CR4_TSD 0x04
#define CR4_DE  0x08
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_PGE 0x80

#define EFLAGS_CF   0x00000001
#define EFLAGS_ONE  0x00000002
#define EFLAGS_ZF   0x00000040
#define EFLAGS_SF   0x00000080
#define EFLAGS_STATUS 0x000008d5
#define EFLAGS_IF   0x00000200
#define EFLAGS_DF   0x00000400
#define EFLAGS_IOPL 0x00003000
#define EFLAGS_NT   0x00004000
#define EFLAGS_VM   0x00020000
#define EFLAGS_ID   0x00200000

#define MSR_APIC_BASE       0x1b
#define MSR_MTRR_BASE0      0x200
#define MSR_SYSENTER_CS     0x174
#define MSR_SYSENTER_ESP    0x175
#define MSR_SYSENTER_EIP    0x176
#define MSR_EFER            0xc0000080

enum {
    VECTOR_DE = 0, VECTOR_DB = 1, VECTOR_BP = 3, VECTOR_UD = 6, VECTOR_NM = 7,
    VECTOR_TS = 10, VECTOR_NP = 11, VECTOR_SS = 12, VECTOR_GP = 13,
    VECTOR_PF = 14,
};

static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outsb(uint16_t port, const void *buf, uint32_t size)
{
    asm volatile("rep outsb" : "+S"(buf), "+c"(size) : "d"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

#define DEFINE_CONTROL_REGISTER(reg)                                    \
    static inline uint32_t read_##reg(void)                             \
    {                                                                   \
        uint32_t value;                                                 \
        asm volatile("mov %%" #reg ", %0" : "=r"(value) : : "memory");  \
        return value;                                                   \
    }                                                                   \
    static inline void write_##reg(uint32_t value)                      \
    {                                                                   \
        asm volatile("mov %0, %%" #reg : : "r"(value) : "memory");      \
    }

DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
DEFINE_CONTROL_REGISTER(dr0)
DEFINE_CONTROL_REGISTER(dr1)
DEFINE_CONTROL_REGISTER(dr2)
DEFINE_CONTROL_REGISTER(dr3)
DEFINE_CONTROL_REGISTER(dr6)
DEFINE_CONTROL_REGISTER(dr7)

static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t value;

    asm volatile("rdmsr" : "=A"(value) : "c"(msr));
    return value;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" : : "A"(value), "c"(msr) : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint64_t value;

    asm volatile("rdtsc" : "=A"(value));
    return value;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    asm volatile("cpuid" : "=a"(reg[0]), "=b"(reg[1]), "=c"(reg[2]),
                 "=d"(reg[3]) : "0"(leaf), "2"(subleaf));
}

static inline uint32_t read_eflags(void)
{
    uint32_t value;

    asm volatile("pushf; pop %0" : "=r"(value) : : "memory");
    return value;
}

static inline void write_eflags(uint32_t value)
{
    asm volatile("push %0; popf" : : "r"(value) : "memory", "cc");
}

static inline void invlpg(uint32_t addr)
{
    asm volatile("invlpg (%0)" : : "r"(addr) : "memory");
}

static inline void sti(void)
{
    asm volatile("sti" : : : "memory");
}

static inline void cli(void)
{
    asm volatile("cli" : : : "memory");
}

/* Interrupts on for an instruction, so that a pending one comes in */
static inline void sti_nop_cli(void)
{
    asm volatile("sti; nop; cli" : : : "memory");
}

static inline void sti_hlt_cli(void)
{
    asm volatile("sti; hlt; cli" : : : "memory");
}

static inline void cpu_pause(void)
{
    asm volatile("pause" : : : "memory");
}

static inline void barrier(void)
{
    asm volatile("" : : : "memory");
}

/*
 * Memory at an address: devices, tables that the processor reads, and what
 * else must be accessed here and now, hence volatile.
 */
#define AT(type_t, addr) (*(volatile type_t *)(addr))    /* see above */

/* What the guest's other contexts change behind the compiler's back */
#define READ_ONCE(x) ({ barrier(); __auto_type once_ = (x); barrier(); once_; })

#endif
