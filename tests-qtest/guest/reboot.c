/*
 * Reboot, and what a reset leaves: this program boots four times
 *
 * A byte of CMOS memory, which survives, counts the boots.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "irq.h"
#include "vmi.h"

#define CMOS_BOOTS  0x51
#define RESET_PORT  0xcf9

static void vmcall(void *unused)
{
    asm volatile(VMCALL(66) : : : "eax", "edx", "memory");
}

static void check_clean(const char *after)
{
    bool found = vmi_find();
    unsigned answered = 0;
    int vector;

    if (!report(found, text("the ROM is found after %s", after), "0x%05x",
                (uint32_t)vmi_rom)) {
        report_end();
    }
    if (vmi_under_kvm()) {
        report_skip(text("VMCALL is #UD after %s", after), VMCALL_IS_KVMS);
    } else {
        vector = trap(vmcall, NULL);
        report(vector == VECTOR_UD, text("VMCALL is #UD after %s", after),
               "vector %d", vector);
    }
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        uint32_t address, edx;

        vmi_get_relocation(nr, &address, &edx);
        answered += address || (edx & 0xff);
    }
    report(!answered, text("no relocation is answered after %s", after), "%u",
           answered);
}

static void check_works(const char *after)
{
    uint64_t first, second;
    uint32_t armed;

    vmi_setup();
    first = vmi_counter(VMI_CYCLES_REAL);
    second = vmi_counter(VMI_CYCLES_REAL);
    report(vmi_frequency() == 1000000000 && second > first,
           text("calls work after %s", after), "%llu Hz, %llu", vmi_frequency(),
           second);
    armed = vmi_cancel_alarm(VMI_CYCLES_REAL) +
            vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report(!armed, text("no alarm is armed after %s", after), "%u", armed);
}

static void leave(uint8_t boots)
{
    uint64_t far = vmi_counter(VMI_CYCLES_REAL) + 3600 * vmi_frequency();

    vmi_set_alarm(VMI_CYCLES_REAL, far, 0);
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, 0, 1000000);
    cmos_write(CMOS_BOOTS, boots + 1);
    report_plan();
    switch (boots) {
    case 0:
        vmi_call(VMI_CALL_Reboot, VMI_REBOOT_SOFT, 0, 0, 0, 0);
        break;
    case 1:
        vmi_call(VMI_CALL_Reboot, VMI_REBOOT_HARD, 0, 0, 0, 0);
        break;
    default:
        outb(RESET_PORT, 2);
        outb(RESET_PORT, 6);
        break;
    }
    for (;;) {
        asm volatile("cli; hlt");
    }
}

void guest_main(void)
{
    static const char *const after[] = {
        "power-on", "Reboot(0)", "Reboot(1)", "a reset with VMI active",
    };
    uint8_t boots = cmos_read(CMOS_BOOTS);

    if (boots >= ARRAY_SIZE(after)) {
        report(false, "the boot counter is sane", "%u", boots);
        report_end();
    }
    check_clean(after[boots]);
    check_works(after[boots]);
    if (boots == ARRAY_SIZE(after) - 1) {
        report_end();
    }
    leave(boots);
}
