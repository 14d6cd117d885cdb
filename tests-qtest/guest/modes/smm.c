/*
 * The modes program: system management mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "modes.h"

#define SMRAM_CONTROL   0x72        /* of the i440FX */
#define SMRAM_OPEN      0x4a
#define SMRAM_CLOSED    0x0a
#define SMM_ENTRY       0xa8000     /* where the firmware has put it */
#define APM_PORT        0xb2        /* a write makes an SMI */

static uint64_t smm_idt[32] __attribute__((aligned(16)));
static uint8_t __attribute__((used, aligned(16))) smm_stack[1024];

/*
 * Entered in 16-bit code with paging off.  Go to 32-bit code at CPL 0, where
 * VMI calls would be allowed except for the mode, try them, and resume.
 */
asm(".text\n"
    ".code16\n"
    "smm_entry:\n"
    "   lgdtl %cs:0x8000 + smm_gdtr - smm_entry\n"
    "   lidtl %cs:0x8000 + smm_idtr - smm_entry\n"
    "   mov %cr0, %eax\n"
    "   or $1, %eax\n"
    "   mov %eax, %cr0\n"
    "   ljmpl $0x08, $1f\n"
    "smm_gdtr: .skip 6\n"
    "smm_idtr: .skip 6\n"
    "smm_entry_end:\n"
    ".code32\n"
    "1: mov $0x10, %eax\n"
    "   mov %eax, %ds\n"
    "   mov %eax, %es\n"
    "   mov %eax, %ss\n"
    "   mov $smm_stack + 1024, %esp\n"
    "   xor %ebx, %ebx\n"
    "   " VMCALL(66) "\n"
    "   mov %ebx, smm_undefined\n"
    "   mov $66, %eax\n"
    "   mov $0x12345678, %edx\n"
    "   mov $0x81, %edi\n"
    "   out %al, $0xe4\n"
    "   mov %eax, smm_relocation\n"
    "   mov %edx, smm_relocation + 4\n"
    "   mov smm_rom, %eax\n"
    "   mov $7, %edx\n"
    "   mov $0x80, %edi\n"
    "   out %al, $0xe4\n"
    "   mov %eax, smm_init\n"
    "   mov %edx, smm_init + 4\n"
    "   incl smm_runs\n"
    "   rsm\n"
    "smm_ud:\n"
    "   inc %ebx\n"
    "   addl $4, (%esp)\n"
    "   iret\n"
    "smm_other:\n"
    "   mov $1, %al\n"
    "   mov $0xf4, %dx\n"
    "   out %al, %dx\n"
    "   jmp smm_other\n"
    ".bss\n"
    ".balign 4\n"
    "smm_undefined: .skip 4\n"
    "smm_relocation: .skip 8\n"
    "smm_init: .skip 8\n"
    "smm_runs: .skip 4\n"
    "smm_rom: .skip 4\n"
    ".text\n");

static void set_gate(unsigned vector, uint32_t entry)
{
    smm_idt[vector] = (uint64_t)((entry & 0xffff0000) | 0x8e00) << 32 |
                      KERNEL_CS << 16 | (entry & 0xffff);
}

static bool copy_entry(void)
{
    size_t size = smm_entry_end - smm_entry;
    bool ok;

    smm_gdtr = (TablePointer) { sizeof(gdt) - 1, (uint32_t)gdt };
    smm_idtr = (TablePointer) { sizeof(smm_idt) - 1, (uint32_t)smm_idt };
    pci_write(0, 0, SMRAM_CONTROL, SMRAM_OPEN, 1);
    memcpy((void *)SMM_ENTRY, smm_entry, size);
    ok = !memcmp((void *)SMM_ENTRY, smm_entry, size);
    pci_write(0, 0, SMRAM_CONTROL, SMRAM_CLOSED, 1);
    return ok;
}

void test_smm(void)
{
    const char *const skipped = "calls in system management mode are refused";

    for (unsigned vector = 0; vector < ARRAY_SIZE(smm_idt); vector++) {
        set_gate(vector, (uint32_t)(vector == VECTOR_UD ? smm_ud : smm_other));
    }
    smm_rom = (uint32_t)vmi_rom & ~DIRECT_MAP;
    if (!copy_entry()) {
        report_skip(skipped, "SMRAM cannot be opened here");
        return;
    }
    outb(APM_PORT, 0x77);
    delay_ms(10);
    if (!report(smm_runs == 1, "the processor enters system management mode",
                "%u times", smm_runs)) {
        return;
    }
    if (!vmi_under_kvm()) {
        report(smm_undefined == 1, "VMCALL in system management mode is #UD",
               "%u times", smm_undefined);
    }
    report(smm_relocation[0] == 66 && smm_relocation[1] == 0x12345678,
           "the port in system management mode changes no register",
           "EAX 0x%x, EDX 0x%x", smm_relocation[0], smm_relocation[1]);
    report(smm_init[0] == smm_rom && smm_init[1] == 7,
           "VMI_Init in system management mode does nothing",
           "EAX 0x%x, EDX 0x%x", smm_init[0], smm_init[1]);
    report(vmi_frequency() == 1000000000,
           "calls still work after system management mode", "%llu Hz",
           vmi_frequency());
}
