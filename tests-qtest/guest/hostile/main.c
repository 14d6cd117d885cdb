/*
 * Garbage: every call and every argument has a defined result, and the
 * machine survives
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hostile.h"

static const uint32_t garbage[] = {
    0, 1, 2, 0x7f, 0xff, 0x1000, 0xfee00000, 0x80000000, 0xd8000000,
    0xfffffff0, 0xffffffff,
};

/*
 * Reboot and Shutdown would end the test, and Halt has nothing to wait for;
 * IRET has a test of its own.  With garbage, the page table calls store or
 * fault where they are told, as the instructions do, and SetCR3 takes the
 * program's memory away.
 */
static bool ends_test(unsigned nr)
{
    return nr == VMI_CALL_Reboot || nr == VMI_CALL_Shutdown ||
           nr == VMI_CALL_Halt ||
           nr == VMI_CALL_IRET || nr == VMI_CALL_SetCR3 ||
           (nr >= VMI_CALL_SetPxE && nr <= VMI_CALL_UpdatePxELong);
}

static bool host_serves(unsigned nr)
{
    return nr < VMI_MAX_CALLS && vmi_host_serves(nr);
}

static Invoke garbage_registers(uint32_t value)
{
    return (Invoke) {
        .eax = value, .ebx = value, .ecx = value, .edx = value, .esi = value,
        .edi = value, .ebp = value, .eflags = EFLAGS_ONE, .ds_es = KERNEL_DS,
    };
}

static void test_unserved(void)
{
    unsigned vmcall_bad = 0, port_bad = 0, last = 0;

    for (unsigned nr = 0; nr < 256; nr++) {
        for (unsigned i = 0; i < ARRAY_SIZE(garbage); i++) {
            Invoke s = garbage_registers(garbage[i]);

            if (host_serves(nr)) {
                continue;
            }
            if (!vmi_under_kvm()) {
                invoke_vmcall(&s, nr);
                if (s.eax != UINT32_MAX || s.edx != UINT32_MAX ||
                    s.ecx != garbage[i] || s.ebx != garbage[i]) {
                    vmcall_bad++;
                    last = nr;
                }
            }
            if (nr == VMI_HOST_INIT || nr == VMI_HOST_RELOCATE) {
                continue;
            }
            s = garbage_registers(garbage[i]);
            s.edi = nr;
            invoke_port(&s);
            if (s.eax != UINT32_MAX || s.edx != UINT32_MAX) {
                port_bad++;
                last = nr;
            }
        }
    }
    if (vmi_under_kvm()) {
        report_skip("VMCALL answers -1 for each number that the host does not "
                    "serve", VMCALL_IS_KVMS);
    } else {
        report(!vmcall_bad, "VMCALL answers -1 for each number that the host "
               "does not serve", "%u do not, as %u", vmcall_bad, last);
    }
    report(!port_bad, "the port answers -1 for each number that the host does "
           "not serve", "%u do not, as %u", port_bad, last);
    for (unsigned i = 0; i < ARRAY_SIZE(garbage); i++) {
        Invoke s = garbage_registers(0);

        s.edi = garbage[i] | 0x100;
        invoke_port(&s);
        port_bad += s.eax != UINT32_MAX;
    }
    report(!port_bad, "the port answers -1 for numbers above 255", "%u do not",
           port_bad);
    report_alive("numbers that are not served");
}

/* Interrupts are off, and the alarms are cancelled. */
static void test_served(void)
{
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        if (!host_serves(nr) || ends_test(nr)) {
            continue;
        }
        for (unsigned i = 0; i < ARRAY_SIZE(garbage); i++) {
            Invoke s = garbage_registers(garbage[i]);

            if (nr == VMI_CALL_APICWrite && (garbage[i] & 0xff0) == 0x300) {
                continue;               /* an INIT for all */
            }
            if (!vmi_under_kvm()) {
                invoke_vmcall(&s, nr);
            }
            s = garbage_registers(garbage[i]);
            s.edi = nr;
            invoke_port(&s);
        }
        vmi_cancel_alarm(VMI_CYCLES_REAL);
        vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
        report_alive(text("%s with garbage", vmi_calls[nr].name));
    }
}

static void test_alarms(void)
{
    static const uint64_t times[] = {
        0, 1, 2, 1000, 0x7fffffffffffffffull, 0x8000000000000000ull,
        0xfffffffffffffffeull, 0xffffffffffffffffull,
    };
    static const uint32_t flags[] = {
        0, 1, 0x100, 0x101, 0x10000, 0x10101, 0xffffff00, 0xffffff01,
        0xffffffff, 0x80000000, 0x000fff00,
    };
    uint32_t armed;

    apic_write(APIC_LVTT, APIC_MASKED);
    for (unsigned f = 0; f < ARRAY_SIZE(flags); f++) {
        for (unsigned e = 0; e < ARRAY_SIZE(times); e++) {
            for (unsigned p = 0; p < ARRAY_SIZE(times); p++) {
                vmi_set_alarm(flags[f], times[e], times[p]);
            }
        }
        delay_ms(1);
    }
    report_alive("absurd alarms");
    vmi_set_alarm(VMI_CYCLES_REAL, UINT64_MAX, UINT64_MAX);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL);
    report(armed == 1, "an alarm at the end of time is armed", "%u", armed);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_PERIODIC, 0, UINT64_MAX);
    delay_ms(20);
    report_alive("a period that overflows");
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
}

static void test_apic(void)
{
    unsigned count = 0;

    for (uint32_t reg = 0; reg < 0x1000; reg += 4) {
        vmi_call(VMI_CALL_APICRead, reg ^ 0xabcde000, 0, 0, 0, 0);
        count++;
    }
    for (uint32_t reg = 0x400; reg < 0x1000; reg += 0x10) {
        vmi_call(VMI_CALL_APICWrite, reg, 0xffffffff, 0, 0, 0);
    }
    for (unsigned i = 1; i < 16; i++) {
        vmi_call(VMI_CALL_APICRead, APIC_VERSION + i, 0, 0, 0, 0);
    }
    apic_write(APIC_ICR2, 0);
    report(apic_read(APIC_VERSION) != 0, "the local APIC is there after absurd "
           "registers", "%u reads", count);
    report_alive("absurd APIC registers");
}

static void test_ap_state(void)
{
    static const uint32_t ids[] = { 0, 1, 2, 255, 0x7fffffff, 0xffffffff };
    const uint32_t pointers[] = {
        0, (uint32_t)vmi_rom, 0xb8000, 0xfee00000, 0xfec00000, 0xd8000000,
        0xfffffff0, 0xffffffa8, 0xffffffff, (uint32_t)paging_entry(0),
    };

    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        for (unsigned p = 0; p < ARRAY_SIZE(pointers); p++) {
            vmi_call(VMI_CALL_SetInitialAPState, pointers[p], ids[i], 0, 0, 0);
        }
    }
    report_alive("processor states at absurd addresses");
}

static uint32_t init_by_port(uint32_t linear)
{
    Invoke s = garbage_registers(0);

    s.eax = linear;
    s.edx = VMI_ROM_REVISION;
    s.edi = VMI_HOST_INIT;
    invoke_port(&s);
    return s.eax;
}

static void test_init(void)
{
    static const uint32_t addresses[] = {
        0, 0x7ff, 0xc0000 - VMI_ROM_SIZE, 0xbf800, 0xdf800, 0xe0000,
        0xfee00000, 0xd8000000, 0xfffff800, 0xffffc000, 0xffffffff,
    };
    unsigned accepted = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        accepted += init_by_port(addresses[i]) != UINT32_MAX;
    }
    report(!accepted, "VMI_Init refuses absurd addresses", "%u accepted",
           accepted);
    report(!vmi_call_init(), "VMI_Init works after that", "yes");
    report_alive("absurd VMI_Inits");
}

/* The test hostile-logged looks for this one in QEMU's log. */
static void test_logged(void)
{
    delay_ms(1100);
    vmi_call(VMI_CALL_CancelAlarm, 77, 0, 0, 0, 0);
}

/* IRET by VMCALL from somewhere: what it takes for its return address */
static uint32_t iret_word;

static void iret_garbage(void *unused)
{
    asm volatile("push %0\n\t"
                 "push %0\n\t"
                 "push %0\n\t"
                 "push %0\n\t"
                 VMCALL(33)
                 : : "r"(iret_word) : "memory");
}

static void iret_by_port(void *unused)
{
    Invoke s = garbage_registers(0x3c);

    s.edi = VMI_CALL_IRET;
    invoke_port(&s);
    iret_word = s.eax;
}

static void test_iret(void)
{
    int vector;

    for (unsigned i = 0; i < ARRAY_SIZE(garbage) && !vmi_under_kvm(); i++) {
        iret_word = garbage[i];
        vector = trap(iret_garbage, NULL);
        report(vector >= 0, text("IRET with a stack full of 0x%x faults",
                                 iret_word), "vector %d", vector);
    }
    report_alive("IRET with garbage");
    iret_word = 0;
    vector = trap(iret_by_port, NULL);
    report(vector == -1 && iret_word == UINT32_MAX,
           "IRET cannot be called by the port", "vector %d, EAX 0x%x",
           vector, iret_word);
    report_alive("IRET by the port");
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    test_unserved();
    test_served();
    apic_init();
    test_alarms();
    if (vmi_type[VMI_CALL_APICRead] != VMI_RELOCATION_NONE) {
        test_apic();
    }
    test_ap_state();
    test_init();
    test_arguments();
    test_user();
    if (vmi_under_kvm()) {
        report_skip("VMCALL where it does not belong", VMCALL_IS_KVMS);
    } else {
        test_modes();
    }
    test_iret();
    test_logged();
    report_end();
}
