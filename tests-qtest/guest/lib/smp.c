/*
 * Starting application processors, and giving them something to do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "smp.h"

#define STACK_SIZE 8192

unsigned smp_cpus;
APSeen ap_seen;
uint32_t ap_started;

static uint8_t stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));
static void (*ap_work[MAX_CPUS])(void);

unsigned this_cpu(void)
{
    return apic_read(APIC_ID) >> 24;
}

/* An AP waits here for something to do, interrupts off. */
void ap_main(void)
{
    unsigned id = this_cpu();

    apic_enable();
    ap_started++;
    for (;;) {
        void (*fn)(void) = READ_ONCE(ap_work[id]);

        if (fn) {
            fn();
            barrier();
            ap_work[id] = NULL;
        }
        cpu_pause();
    }
}

void ap_start_run(unsigned id, void (*fn)(void))
{
    barrier();
    ap_work[id] = fn;
    barrier();
}

void ap_finish_run(unsigned id)
{
    while (READ_ONCE(ap_work[id])) {
        cpu_pause();
    }
}

void ap_run(unsigned id, void (*fn)(void))
{
    ap_start_run(id, fn);
    ap_finish_run(id);
}

VMIAPState ap_good_state(unsigned id)
{
    return (VMIAPState) {
        .cr0 = 0x80050023,              /* as Linux has it, without ET */
        .cr2 = 0x12340000 + id,
        .cr3 = read_cr3(),
        .cr4 = read_cr4(),
        .eip = (uint32_t)ap_entry,
        .eflags = 0,
        .eax = 0xa0000000 + id, .ebx = 0xb0000000 + id,
        .ecx = 0xc0000000 + id, .edx = 0xd0000000 + id,
        .esp = (uint32_t)stacks[id] + STACK_SIZE,
        .ebp = 0xe0000000 + id, .esi = 0x50000000 + id,
        .edi = 0x60000000 + id,
        .cs = KERNEL_CS, .ss = KERNEL_DS, .ds = USER_DS, .es = USER_DS,
        .fs = FS_SEL, .gs = 0, .ldtr = 0,
        .gdtr_limit = sizeof(gdt) - 1, .gdtr_base = (uint32_t)gdt,
        .idtr_limit = sizeof(idt) - 1, .idtr_base = (uint32_t)idt,
    };
}

void ap_set_state(const void *state, unsigned id)
{
    vmi_call(VMI_CALL_SetInitialAPState, (uint32_t)state, id, 0, 0, 0);
}

static void send_write(uint32_t reg, uint32_t value, SendBy by)
{
    if (by == SEND_NATIVE ||
        vmi_type[VMI_CALL_APICWrite] == VMI_RELOCATION_NONE) {
        apic_write(reg, value);
    } else {
        vmi_call(VMI_CALL_APICWrite, by == SEND_LINEAR ? APIC_BASE + reg : reg,
                 value, 0, 0, 0);
    }
}

void ap_send(unsigned id, uint32_t command, SendBy by)
{
    send_write(APIC_ICR2, id << 24, by);
    send_write(APIC_ICR, command, by);
}

void ap_boot(unsigned id, const void *state, SendBy by)
{
    ap_send(id, ICR_INIT, by);
    if (state) {
        ap_set_state(state, id);
    }
    ap_send(id, ICR_STARTUP | REAL_MODE_PAGE, by);
    ap_send(id, ICR_STARTUP | REAL_MODE_PAGE, by);
}

bool ap_wait(uint32_t before)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + 30 * vmi_frequency();

    while (READ_ONCE(ap_started) == before &&
           vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    return READ_ONCE(ap_started) == before + 1;
}

uint32_t real_mode_count(void)
{
    return AT(uint32_t, REAL_MODE_PAGE * PAGE_SIZE + 0x800);
}

bool ap_stays_off(uint32_t before)
{
    delay_ms(15);
    /* KVM starts a CPU in real mode if it has no state. */
    return READ_ONCE(ap_started) == before &&
           (vmi_under_kvm() || !real_mode_count());
}

void ap_start_all(void)
{
    for (unsigned id = 1; id < smp_cpus; id++) {
        VMIAPState state = ap_good_state(id);
        uint32_t before = ap_started;

        ap_boot(id, &state, SEND_OFFSET);
        if (!ap_wait(before)) {
            report(false, text("CPU %u starts", id), "no");
            report_end();
        }
    }
}
