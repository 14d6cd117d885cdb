/*
 * VMI_Init: where it is accepted, and what works before and after
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "init.h"
#include "invoke.h"
#include "paging.h"
#include "vmi.h"

static uint8_t rom_copy[VMI_ROM_SIZE] __attribute__((aligned(PAGE_SIZE)));

asm(".text\n"
    "vmcall_function:\n"
    "   " VMCALL(66) "\n"
    "   ret\n"
    "user_vmcall:\n"
    "   " VMCALL(66) "\n"
    "   int $0x80\n"
    /* Relocation of Halt, by the port */
    "user_out:\n"
    "   mov $0x81, %edi\n"
    "   mov $35, %eax\n"
    "   mov $0x12345678, %edx\n"
    "   out %al, $0xe4\n"
    "   int $0x80\n"
    /* A VMI_Init that would be refused, and so end VMI mode */
    "user_init:\n"
    "   mov $0x80, %edi\n"
    "   mov $0x1000, %eax\n"
    "   mov $77, %edx\n"
    "   out %al, $0xe4\n"
    "   int $0x80\n"
    "user_relocation:\n"
    "   mov $35, %eax\n"
    "   mov user_rom, %ecx\n"
    "   add $136, %ecx\n"
    "   call *%ecx\n"
    "   int $0x80\n"
    ".data\n"
    "user_rom: .long 0\n"
    ".text\n");

static unsigned count_relocations(void)
{
    unsigned count = 0;
    uint32_t address, edx;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        vmi_get_relocation(nr, &address, &edx);
        count += address || (edx & 0xff);
    }
    return count;
}

static uint32_t init_by_port(uint32_t linear, uint32_t revision)
{
    Invoke s = {
        .eax = linear, .edx = revision, .edi = VMI_HOST_INIT, .ds_es = KERNEL_DS
    };

    invoke_port(&s);
    return s.eax;
}

static void report_inactive(const char *when)
{
    unsigned count = count_relocations();
    Invoke s = { .eax = 1, .edx = 2, .edi = VMI_CALL_GetCycleFrequency,
                 .ds_es = KERNEL_DS };
    int vector;

    if (vmi_under_kvm()) {
        report_skip(text("VMCALL is #UD %s", when), VMCALL_IS_KVMS);
    } else {
        vector = trap(vmcall_function, NULL);
        report(vector == VECTOR_UD, text("VMCALL is #UD %s", when),
               "vector %d", vector);
        report(vector == VECTOR_UD &&
               trap_frame.eip == (uint32_t)vmcall_function,
               text("that #UD shows the VMCALL's address, %s", when),
               "EIP 0x%08x, VMCALL at 0x%08x", trap_frame.eip,
               (uint32_t)vmcall_function);
    }
    report(!count, text("every relocation answers type 0, address 0, %s",
                        when), "%u do not", count);
    invoke_port(&s);
    report(s.eax == 1 && s.edx == 2,
           text("a call by port does nothing %s", when), "EAX 0x%x, EDX 0x%x",
           s.eax, s.edx);
}

static void report_active(const char *when)
{
    unsigned count = count_relocations();
    uint64_t frequency;

    report(count > 40, text("relocations are answered %s", when),
           "%u calls", count);
    vmi_relocate_all();
    frequency = vmi_frequency();
    report(frequency == 1000000000, text("a call works %s", when),
           "frequency %llu", frequency);
}

static void test_refused(void)
{
    uint32_t rom = (uint32_t)vmi_rom, result;
    uint8_t *real = vmi_rom;

    report_inactive("before VMI_Init");

    result = init_by_port(rom, VMI_ROM_REVISION + 1);
    report(result == UINT32_MAX, "VMI_Init of another ROM revision answers -1",
           "0x%x", result);
    memcpy(rom_copy, vmi_rom, VMI_ROM_SIZE);
    vmi_rom = rom_copy;
    result = vmi_call_init();
    vmi_rom = real;
    report(result == UINT32_MAX,
           "VMI_Init of a copy of the ROM outside the segment answers -1",
           "0x%x, copy at 0x%08x", result, (uint32_t)rom_copy);
    result = init_by_port(rom + VMI_ROM_ALIGN, VMI_ROM_REVISION);
    report(result == UINT32_MAX,
           "VMI_Init of an address in the segment without a ROM answers -1",
           "0x%x", result);
    result = init_by_port(rom + 4, VMI_ROM_REVISION);
    report(result == UINT32_MAX, "VMI_Init of an odd address answers -1",
           "0x%x", result);
    result = init_by_port(0xffffff00, VMI_ROM_REVISION);
    report(result == UINT32_MAX,
           "VMI_Init of an address that wraps answers -1", "0x%x", result);
    report_inactive("after refused VMI_Inits");
}

/* Map the ROM's pages, and one more page, at PLAY_BASE. */
static uint32_t map_rom(uint32_t rom, uint32_t last)
{
    uint32_t pages = VMI_ROM_SIZE / PAGE_SIZE + 1;

    for (uint32_t i = 0; i < pages; i++) {
        uint32_t frame = (rom & -PAGE_SIZE) + i * PAGE_SIZE;

        if (i >= pages - 2) {
            frame = last ? last : frame;
        }
        paging_put(PLAY_BASE + i * PAGE_SIZE, frame | PTE_PRESENT | PTE_WRITE |
                   PTE_USER);
        invlpg(PLAY_BASE + i * PAGE_SIZE);
    }
    return PLAY_BASE + rom % PAGE_SIZE;
}

static void test_mode(PagingMode mode)
{
    const char *name = paging_name(mode);
    uint32_t result, phys, linear;

    vmi_use_direct_map(false);
    phys = (uint32_t)vmi_rom;
    paging_set(mode);
    vmi_use_direct_map(mode != PAGING_OFF);
    result = vmi_call_init();
    report(!result, text("VMI_Init answers 0 with paging %s", name),
           "0x%x, ROM at 0x%08x", result, (uint32_t)vmi_rom);
    report_active(text("with paging %s", name));
    report(!memcmp(vmi_rom, (void *)(mode == PAGING_OFF ? phys :
                                     phys | DIRECT_MAP), VMI_ROM_SIZE) &&
           vmi_address[VMI_CALL_Halt] - (uint32_t)vmi_rom < VMI_ROM_SIZE,
           text("entries are where the ROM runs with paging %s", name),
           "Halt at 0x%08x", vmi_address[VMI_CALL_Halt]);
    if (mode == PAGING_OFF) {
        return;
    }

    linear = map_rom(phys, 0);
    result = init_by_port(linear, VMI_ROM_REVISION);
    report(!result, text("VMI_Init answers 0 for the ROM mapped elsewhere, "
                         "paging %s", name), "0x%x, at 0x%08x", result,
           linear);
    linear = map_rom(phys, (uint32_t)rom_copy);
    result = init_by_port(linear, VMI_ROM_REVISION);
    report(result == UINT32_MAX,
           text("VMI_Init answers -1 for a ROM mapped in part, paging %s",
                name), "0x%x", result);
    result = init_by_port(PLAY_BASE + 64 * PAGE_SIZE, VMI_ROM_REVISION);
    report(result == UINT32_MAX,
           text("VMI_Init answers -1 for an address not mapped, paging %s",
                name), "0x%x", result);
    report(!vmi_call_init(), text("VMI_Init works again after that, paging %s",
                                  name), "yes");
}

static void test_again(void)
{
    uint32_t result;

    vmi_relocate_all();
    vmi_set_alarm(VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + 1000ull * 1000000000, 0);
    result = vmi_call_init();
    report(!result, "a second VMI_Init answers 0", "0x%x", result);
    report_active("after a second VMI_Init");
    result = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(!result, "a second VMI_Init cancels the alarms", "armed: %u",
           result);
}

static void test_user(void)
{
    int vector;

    user_rom = (uint32_t)vmi_rom;
    if (vmi_under_kvm()) {
        report_skip("VMCALL in user mode is #UD", VMCALL_IS_KVMS);
    } else {
        vector = run_user((void *)user_vmcall, 0);
        report(vector == VECTOR_UD && trap_frame.eip == (uint32_t)user_vmcall,
               "VMCALL in user mode is #UD", "vector %d at 0x%08x", vector,
               trap_frame.eip);
    }
    vector = run_user((void *)user_out, 0);
    report(vector == VECTOR_GP, "the port in user mode is #GP without IOPL",
           "vector %d", vector);
    vector = run_user((void *)user_out, EFLAGS_IOPL);
    report(vector == VECTOR_SYSCALL && trap_frame.eax == 35 &&
           trap_frame.edx == 0x12345678,
           "the port in user mode with IOPL 3 changes no register",
           "vector %d, EAX 0x%x, EDX 0x%x", vector, trap_frame.eax,
           trap_frame.edx);
    vector = run_user((void *)user_relocation, EFLAGS_IOPL);
    report(vector == VECTOR_SYSCALL && !trap_frame.eax &&
           !(trap_frame.edx & 0xff),
           "GetRelocationInfo in user mode answers type 0",
           "vector %d, EAX 0x%x, EDX 0x%x", vector, trap_frame.eax,
           trap_frame.edx);
    vector = run_user((void *)user_init, EFLAGS_IOPL);
    report(vector == VECTOR_SYSCALL && trap_frame.eax == 0x1000,
           "VMI_Init by port in user mode does nothing", "vector %d, EAX 0x%x",
           vector, trap_frame.eax);
    report_active("after what user mode tried");
}

void guest_main(void)
{
    if (!vmi_find()) {
        report(false, "a VMI ROM is in the segment", "none found");
        report_end();
    }
    test_refused();
    test_mode(PAGING_OFF);
    test_mode(PAGING_32);
    test_user();
    test_mode(PAGING_PAE);
    test_user();
    test_again();
    report_end();
}
