/*
 * The hostile program: VMCALL and the port in long mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hostile.h"

#define CPUID_LM    (1u << 29)
#define EFER_LME    0x100
#define CODE64_SEL  SPARE_SEL

static uint64_t pml4[512] __attribute__((aligned(PAGE_SIZE)));
static uint64_t long_pdpt[512] __attribute__((aligned(PAGE_SIZE)));
static uint64_t idt64[2 * (VECTOR_PF + 1)] __attribute__((aligned(16)));

/*
 * With paging off: switch long mode on, VMCALL and GetRelocationInfo by the
 * port in compatibility mode and in 64-bit mode, switch it off.  The handler
 * skips VMCALL and its number.
 */
#define RELOCATE_66 "mov $66, %eax; mov $0x81, %edi; out %al, $0xe4\n"


asm(".text\n"
    "long_go:\n"
    "   push %ebx\n"
    "   push %esi\n"
    "   push %edi\n"
    "   push %ebp\n"
    "   mov %cr0, %eax\n"
    "   or $0x80000000, %eax\n"
    "   mov %eax, %cr0\n"
    "   xor %ebx, %ebx\n"
    "   " VMCALL(66) "\n"
    "   mov %ebx, long_vmcall_compat\n"
    "   " RELOCATE_66
    "   mov %eax, long_port_compat\n"
    "   xor %ebx, %ebx\n"
    "   ljmp $0x40, $1f\n"
    ".code64\n"
    "1: " VMCALL(66) "\n"
    "   " RELOCATE_66
    "   mov %eax, %esi\n"
    "   ljmp *2f(%rip)\n"
    ".balign 8\n"
    "2: .long 3f, 0x08\n"
    ".code32\n"
    "3: mov %ebx, long_vmcall64\n"
    "   mov %esi, long_port64\n"
    "   mov %cr0, %eax\n"
    "   and $0x7fffffff, %eax\n"
    "   mov %eax, %cr0\n"
    "   pop %ebp\n"
    "   pop %edi\n"
    "   pop %esi\n"
    "   pop %ebx\n"
    "   ret\n"
    ".code64\n"
    "long_ud:\n"
    "   inc %ebx\n"
    "   addq $4, (%rsp)\n"
    "   iretq\n"
    "long_other:\n"
    "   mov $0xf4, %dx\n"
    "   mov $1, %al\n"
    "   out %al, %dx\n"
    "   jmp long_other\n"
    ".code32\n"
    ".bss\n"
    ".balign 4\n"
    "long_vmcall64: .skip 4\n"
    "long_vmcall_compat: .skip 4\n"
    "long_port64: .skip 4\n"
    "long_port_compat: .skip 4\n"
    ".text\n");

static void set_gate64(unsigned vector, uint32_t entry)
{
    idt64[2 * vector] = (uint64_t)((entry & 0xffff0000) | 0x8e00) << 32 |
                        CODE64_SEL << 16 | (entry & 0xffff);
}

void test_long_mode(void)
{
    TablePointer idtr64 = { sizeof(idt64) - 1, (uint32_t)idt64 };
    uint32_t reg[4];

    cpuid(0x80000001, 0, reg);
    if (!(reg[3] & CPUID_LM)) {
        report_skip("VMCALL in long mode is #UD", "no long mode");
        return;
    }
    if (paging_mode() != PAGING_OFF) {
        report_skip("VMCALL in long mode is #UD", "paging is on");
        return;
    }

    gdt[CODE64_SEL / 8] = make_desc(0, 0xfffff, DESC_CODE | 0x00200000);
    for (unsigned i = 0; i <= VECTOR_PF; i++) {
        set_gate64(i, (uint32_t)(i == VECTOR_UD ? long_ud : long_other));
    }
    /* Below the PML4 it is as in PAE, except for the PDPT's rights. */
    paging_set(PAGING_PAE);
    for (uint32_t gib = 0; gib < 4; gib++) {
        *paging_pdpt_entry(gib << 30) |= PTE_WRITE;
    }
    memcpy(long_pdpt, paging_pdpt_entry(0), 32);
    pml4[0] = (uint32_t)long_pdpt | PTE_PRESENT | PTE_WRITE;

    write_cr0(read_cr0() & ~CR0_PG);
    write_cr3((uint32_t)pml4);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_LME);
    asm volatile("lidt %0" : : "m"(idtr64));
    long_go();
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_LME);
    paging_set(PAGING_OFF);
    desc_load();
    report(long_vmcall_compat == 1, "VMCALL in compatibility mode is #UD",
           "%u times", long_vmcall_compat);
    report(long_vmcall64 == 1, "VMCALL in 64-bit mode is #UD", "%u times",
           long_vmcall64);
    report(long_port_compat == 66, "the port in compatibility mode changes no "
           "register", "EAX 0x%x", long_port_compat);
    report(long_port64 == 66, "the port in 64-bit mode changes no register",
           "EAX 0x%x", long_port64);
    report_alive("calls in long mode");
}
