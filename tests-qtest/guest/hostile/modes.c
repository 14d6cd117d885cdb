/*
 * The hostile program: calls where they do not belong
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hostile.h"

#define V86_SEGMENT 0x2000

static uint8_t code16[] __attribute__((aligned(16))) = {
    0x0f, 0x01, 0xc1, VMI_CALL_GetCycleFrequency,   /* VMCALL */
    0x66, 0xcb,                                     /* retf, 32-bit */
};

static void call_code16(void *unused)
{
    static struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } target = { 0, CODE16_SEL };

    asm volatile("lcall *%0" : : "m"(target) : "eax", "edx", "memory");
}

static void enter_v86(void *unused)
{
    uint8_t *code = (uint8_t *)(V86_SEGMENT * 16);

    memcpy(code, code16, 4);
    code[4] = 0xf4;
    asm volatile("push $0; push $0; push $0; push $0\n\t"
                 "push %0\n\t"
                 "push $0xff00\n\t"
                 "push %1\n\t"
                 "push %0\n\t"
                 "push $0\n\t"
                 "iret"
                 : : "r"(V86_SEGMENT), "r"(EFLAGS_ONE | EFLAGS_VM |
                                           EFLAGS_IOPL) : "memory");
}

static const uint8_t user_code[] = {
    0xe6, VMI_PORT,                                 /* out %al, $VMI_PORT */
    0x0f, 0x0b,                                     /* ud2 */
};

/* With IOPL 3, so that the access itself is allowed. */
static void call_from_user(void *unused)
{
    asm volatile("push %0\n\t"
                 "push %%esp\n\t"
                 "push %1\n\t"
                 "push %2\n\t"
                 "push %3\n\t"
                 "mov $0x12345678, %%edx\n\t"
                 "iret"
                 : : "r"(USER_DS), "r"(EFLAGS_ONE | EFLAGS_IOPL), "i"(USER_CS),
                     "r"(user_code), "D"(VMI_CALL_GetCycleFrequency),
                     "a"(0x87654321) : "edx", "memory");
}

void test_user(void)
{
    int vector = trap(call_from_user, NULL);

    report(vector == VECTOR_UD && trap_frame.cs == USER_CS &&
           trap_frame.eax == 0x87654321 && trap_frame.edx == 0x12345678,
           "the port does nothing for user code", "vector %d, EAX 0x%x, EDX "
           "0x%x", vector, trap_frame.eax, trap_frame.edx);
}

static uint8_t prefixed[8];

static void call_prefixed(void *unused)
{
    Invoke s = { .ds_es = KERNEL_DS };

    invoke(&s, (uint32_t)prefixed);
}

void test_modes(void)
{
    static const uint8_t prefixes[] = { 0x66, 0xf0, 0xf2, 0xf3 };
    int vector;

    gdt[CODE16_SEL / 8] = make_desc((uint32_t)code16, 0xfff, DESC_CODE);
    vector = trap(call_code16, NULL);
    report(vector == VECTOR_UD && trap_frame.cs == CODE16_SEL &&
           !trap_frame.eip, "VMCALL in 16-bit code is #UD",
           "vector %d at %x:%x", vector, trap_frame.cs, trap_frame.eip);

    vector = trap(enter_v86, NULL);
    report(vector == VECTOR_UD && (trap_frame.eflags & EFLAGS_VM) &&
           !trap_frame.eip, "VMCALL in virtual-8086 mode is #UD",
           "vector %d at %x:%x", vector, trap_frame.cs, trap_frame.eip);

    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
        prefixed[0] = prefixes[i];
        memcpy(prefixed + 1, code16, 4);
        prefixed[5] = 0xc3;
        vector = trap(call_prefixed, NULL);
        report(vector == VECTOR_UD && trap_frame.eip == (uint32_t)prefixed,
               text("VMCALL with a prefix %02x is #UD", prefixes[i]),
               "vector %d at 0x%x", vector, trap_frame.eip);
    }
    report_alive("VMCALL in other modes");
    test_long_mode();
}
