/*
 * Ten million calls, most of them wrong; drivers/flood.py watches QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "irq.h"
#include "vmi.h"

#define REFUSED     8000000
#define ALARMS      1000000
#define STATES      400000
#define APIC        400000
#define PORT        200000

static void flood_refused(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        asm volatile(VMCALL(200) : : : "eax", "edx", "memory");
    }
}

/* In the past, now, far ahead, of counters that there are and are not */
static void flood_alarms(unsigned count)
{
    uint64_t expiry = 0;

    for (unsigned i = 0; i < count; i++) {
        expiry = expiry * 6364136223846793005ull + 1442695040888963407ull;
        vmi_set_alarm(VMI_ALARM_LVTT | (i & 1 ? VMI_ALARM_PERIODIC : 0) |
                      i % 3, expiry >> (i & 63), i & 4 ? 1 : expiry);
    }
}

static void flood_states(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        vmi_call(VMI_CALL_SetInitialAPState, i * 4093, i & 1 ? i : 0, 0, 0, 0);
    }
}

static void flood_apic(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        vmi_call(VMI_CALL_APICRead, i * 16, 0, 0, 0, 0);
    }
}

static void flood_port(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t eax = i;

        asm volatile("outb %%al, %1" : "+a"(eax)
                     : "i"(VMI_PORT), "D"(i & 0x7f) : "edx", "memory");
    }
}

static const struct {
    const char *name;
    void (*run)(unsigned count);
    unsigned count;
} floods[] = {
    { "refused calls", flood_refused, REFUSED },
    { "alarms", flood_alarms, ALARMS },
    { "states of processors", flood_states, STATES },
    { "reads of the local APIC", flood_apic, APIC },
    { "writes to the port", flood_port, PORT },
};

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    apic_write(APIC_LVTT, LVTT_VECTOR);
    printf("# flood begins\n");
    for (unsigned i = 0; i < ARRAY_SIZE(floods); i++) {
        floods[i].run(floods[i].count);
        report(vmi_frequency() == 1000000000,
               text("calls still work after %u %s", floods[i].count,
                    floods[i].name), "%llu Hz", vmi_frequency());
    }
    printf("# flood ends\n");
    sti_nop_cli();
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report_end();
}
