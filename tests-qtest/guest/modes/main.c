/*
 * Every number, by VMCALL and by the port, when and where no call is allowed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "modes.h"

#define V86_SEGMENT 0x2000
#define IN_DX       0x5a5a5a5a      /* EDX that nothing must change */

/* A TSS that lets users write to the port */
static struct {
    TSS tss;
    uint8_t bitmap[VMI_PORT / 8 + 2];
} open_tss;

typedef struct Mode {
    const char *name;
    void (*enter)(void *unused);
    uint32_t eflags;
    int port_vector;            /* with which the code behind OUT ends */
    bool open_tss;              /* with the port in its I/O bitmap */
    uint16_t cs, ss;
} Mode;

/* Segments of the rings that nobody uses */
#define RING1_CS    (0x60 | 1)
#define RING1_SS    (0x68 | 1)
#define RING2_CS    (0x70 | 2)
#define RING2_SS    (0x78 | 2)

/* VMCALL and its number, or OUT, then how it ends */
static uint8_t code[16] __attribute__((aligned(16)));
static const Mode *mode;
static uint32_t in_eax, in_edi;

static void enter_outer_ring(void *unused)
{
    asm volatile("push %[ss]\n\t"
                 "push %[esp]\n\t"
                 "push %[eflags]\n\t"
                 "push %[cs]\n\t"
                 "push %[eip]\n\t"
                 "mov %[ss], %%ds\n\t"
                 "mov %[ss], %%es\n\t"
                 "iret"
                 : : [ss]"S"((uint32_t)mode->ss), [cs]"b"((uint32_t)mode->cs),
                 [esp]"i"(user_stack_top), [eflags]"c"(mode->eflags),
                 [eip]"i"(code), "a"(in_eax), "d"(IN_DX), "D"(in_edi)
                 : "memory");
}

static void enter_v86_mode(void *unused)
{
    memcpy((void *)(V86_SEGMENT * 16), code, sizeof(code));
    asm volatile("push $0; push $0; push $0; push $0\n\t"
                 "push %[segment]\n\t"
                 "push $0xff00\n\t"
                 "push %[eflags]\n\t"
                 "push %[segment]\n\t"
                 "push $0\n\t"
                 "iret"
                 : : [segment]"S"(V86_SEGMENT),
                 [eflags]"c"(mode->eflags | EFLAGS_VM), "a"(in_eax),
                 "d"(IN_DX), "D"(in_edi) : "memory");
}

static void enter_code16(void *unused)
{
    static struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } target = { 0, CODE16_SEL };

    gdt[CODE16_SEL / 8] = make_desc((uint32_t)code, 0xf, DESC_CODE);
    asm volatile("lcall *%0" : : "m"(target), "a"(in_eax), "d"(IN_DX),
                 "D"(in_edi) : "memory");
}

static const Mode modes[] = {
    { "user mode with IOPL 3", enter_outer_ring, EFLAGS_IOPL, VECTOR_BP, false,
      USER_CS, USER_DS },
    { "user mode with the port in its I/O bitmap", enter_outer_ring, 0,
      VECTOR_BP, true, USER_CS, USER_DS },
    { "user mode without the right to it", enter_outer_ring, 0, VECTOR_GP,
      false, USER_CS, USER_DS },
    { "ring 1", enter_outer_ring, EFLAGS_IOPL, VECTOR_BP, false, RING1_CS,
      RING1_SS },
    { "ring 2", enter_outer_ring, EFLAGS_IOPL, VECTOR_BP, false, RING2_CS,
      RING2_SS },
    { "virtual-8086 mode with the port in its I/O bitmap", enter_v86_mode,
      EFLAGS_IOPL, VECTOR_BP, true },
    { "virtual-8086 mode without the right to it", enter_v86_mode, EFLAGS_IOPL,
      VECTOR_GP },
    { "16-bit code", enter_code16, 0, VECTOR_BP },
};

static void make_rings(void)
{
    const uint32_t flat = DESC_32BIT | DESC_PAGES;

    for (unsigned ring = 1; ring <= 2; ring++) {
        unsigned cs = (ring == 1 ? RING1_CS : RING2_CS) / 8;

        gdt[cs] = make_desc(0, 0xfffff, flat | DESC_CODE | ring << 13);
        gdt[cs + 1] = make_desc(0, 0xfffff, flat | DESC_DATA | ring << 13);
    }
}

static void load_tss(uint16_t selector)
{
    gdt[selector / 8] &= ~((uint64_t)0x200 << 32);      /* not busy */
    asm volatile("ltr %w0" : : "r"(selector));
}

static void test_vmcall(void)
{
    unsigned bad = 0, last = 0;
    int vector = -1;

    if (vmi_under_kvm()) {
        return;                         /* it is a hypercall of KVM's own */
    }
    for (unsigned nr = 0; nr < NUMBERS; nr++) {
        memcpy(code, (uint8_t[]) { 0x0f, 0x01, 0xc1, nr, 0xcc }, 5);
        in_eax = in_edi = nr;
        vector = trap(mode->enter, NULL);
        if (vector != VECTOR_UD || trap_frame.eax != in_eax ||
            trap_frame.edx != IN_DX) {
            bad++;
            last = nr;
        }
    }
    report(!bad, text("VMCALL with each number in %s is #UD", mode->name),
           "%u are not, as %u; vector %d", bad, last, vector);
}

static void test_port(void)
{
    unsigned bad = 0, last = 0;
    int vector = -1;

    memcpy(code, (uint8_t[]) { 0xe6, VMI_PORT, 0xcc }, 3);
    for (unsigned nr = 0; nr < NUMBERS; nr++) {
        in_edi = nr;
        /* What would be right for VMI_Init, and for all others something */
        in_eax = (uint32_t)vmi_rom;
        vector = trap(mode->enter, NULL);
        if (vector != mode->port_vector || trap_frame.eax != in_eax ||
            trap_frame.edx != IN_DX || trap_frame.edi != nr) {
            bad++;
            last = nr;
        }
    }
    report(!bad, text("the port with each number in %s does nothing",
                      mode->name), "%u do, as %u; vector %d, EAX 0x%x", bad,
           last, vector, trap_frame.eax);
}

static Invoke state;

static void invoke_code(void *unused)
{
    invoke(&state, (uint32_t)code);
}

static void test_before_init(void)
{
    unsigned bad_vmcalls = 0, bad_ports = 0;
    int vector = -1;

    if (!vmi_find()) {
        return;                         /* vmi_setup() will tell */
    }
    for (unsigned nr = 0; nr < NUMBERS; nr++) {
        bool relocate = nr == VMI_HOST_RELOCATE;

        memcpy(code, (uint8_t[]) { 0x0f, 0x01, 0xc1, nr, 0xc3 }, 5);
        state = (Invoke) { .eflags = EFLAGS_ONE, .ds_es = KERNEL_DS };
        vector = vmi_under_kvm() ? VECTOR_UD : trap(invoke_code, NULL);
        bad_vmcalls += vector != VECTOR_UD;
        if (nr == VMI_HOST_INIT) {
            continue;
        }
        memcpy(code, (uint8_t[]) { 0xe6, VMI_PORT, 0xc3 }, 3);
        state.edi = nr;
        state.eax = VMI_CALL_SetCR3;
        state.edx = IN_DX;
        vector = trap(invoke_code, NULL);
        bad_ports += vector >= 0 ||
                     state.eax != (relocate ? 0 : VMI_CALL_SetCR3) ||
                     state.edx != (relocate ? 0 : IN_DX);
    }
    if (vmi_under_kvm()) {
        report_skip("VMCALL where it does not belong", VMCALL_IS_KVMS);
    } else {
        report(!bad_vmcalls, "VMCALL with each number before VMI_Init is #UD",
               "%u are not", bad_vmcalls);
    }
    report(!bad_ports, "the port with each number before VMI_Init does "
           "nothing, or answers type 0", "%u do, vector %d", bad_ports, vector);
}

void guest_main(void)
{
    test_before_init();
    vmi_setup();
    pic_init();
    make_rings();
    open_tss.tss = tss;
    open_tss.tss.iomap = offsetof(typeof(open_tss), bitmap);
    open_tss.bitmap[sizeof(open_tss.bitmap) - 1] = 0xff;
    gdt[TSS2_SEL / 8] = make_desc((uint32_t)&open_tss, sizeof(open_tss) - 1,
                                  DESC_TSS);
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        mode = &modes[i];
        load_tss(mode->open_tss ? TSS2_SEL : TSS_SEL);
        test_vmcall();
        test_port();
        report(vmi_frequency() == 1000000000,
               text("calls still work after %s", mode->name), "%llu Hz",
               vmi_frequency());
    }
    load_tss(TSS_SEL);
    test_smm();
    report_end();
}
