/*
 * What the host sees: calls, refusals and alarms in numbers that the driver
 * knows, drivers/stats.py
 *
 * The guest prints "# step NAME" and waits for a key, while the driver looks.
 * In between, each step makes what the driver expects and nothing else.
 *
 * Arguments: off: some groups of calls are switched off, so see no more than
 * which are left; busy: become active, then call for ever.  With kvm and off,
 * VMCALL is KVM's before VMI_Init.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "invoke.h"
#include "smp.h"

#define CMOS_BOOTS      0x51
#define ALARMS          20
#define FLOOD           100000
#define UNASSIGNED      100             /* no call has this number */

static uint32_t alarms;

/* Discard what the keyboard has until it is quiet; wait for a key first. */
static void step(const char *name)
{
    printf("# step %s\n", name);
    while (!(inb(0x64) & 1)) {
        cpu_pause();
    }
    while (inb(0x64) & 1) {
        inb(0x60);
    }
}

static void vmcall(void *unused)
{
    asm volatile(VMCALL(66) : : : "eax", "edx", "memory");
}

static void make_undefined(void)
{
    unsigned undefined = 0;

    for (unsigned i = 0; i < 3; i++) {
        undefined += trap(vmcall, NULL) == 6;
    }
    report(undefined == 3, "VMCALL is undefined before VMI_Init", "%u times",
           undefined);
}

static void tell_relocations(void)
{
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        if (vmi_type[nr] != VMI_RELOCATION_NONE) {
            printf("# relocation %u %s type %u\n", nr, vmi_calls[nr].name,
                   vmi_type[nr]);
        }
    }
}

static void make_calls(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        vmi_frequency();
    }
    for (unsigned i = 0; i < 500; i++) {
        Invoke s = { .ds_es = KERNEL_DS };

        /* By a patched call site, in place */
        invoke(&s, vmi_address[VMI_CALL_GetCycleFrequency]);
    }
    for (unsigned i = 0; i < 300; i++) {
        vmi_call(VMI_CALL_SetPxE, 0, (uint32_t)paging_entry(PLAY_BASE),
                 PLAY_BASE | VMI_PAGE_PT | VMI_PAGE_CURRENT_AS, 0, 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        vmi_call(VMI_CALL_SetCR3, read_cr3(), 0, 0, 0, 0);
    }
}

/* Two address spaces in turn; the second one is new the first time. */
static void exchange_spaces(void)
{
    uint32_t first = read_cr3();

    for (unsigned i = 0; i < 10; i++) {
        vmi_call(VMI_CALL_SetCR3, paging_second_space(), 0, 0, 0, 0);
        vmi_call(VMI_CALL_SetCR3, first, 0, 0, 0, 0);
    }
}

/* An entry that was present is cleared: five times, something is lost. */
static void make_ap_calls(void)
{
    for (unsigned i = 0; i < 70; i++) {
        vmi_frequency();
    }
    for (unsigned i = 0; i < 10; i++) {
        vmi_call(VMI_CALL_SetPxE, i % 2 ? 0 : 0x10000 | PTE_PRESENT,
                 (uint32_t)paging_entry(PLAY_BASE),
                 PLAY_BASE | VMI_PAGE_PT | VMI_PAGE_CURRENT_AS, 0, 0);
    }
}

static void make_bad_calls(void)
{
    for (unsigned i = 0; i < 5; i++) {
        Invoke s = { .ds_es = KERNEL_DS };

        invoke_vmcall(&s, UNASSIGNED);
    }
    for (unsigned i = 0; i < 2; i++) {
        Invoke s = {
            .ds_es = KERNEL_DS,
            .edi = i ? UNASSIGNED : VMI_MAX_CALLS + UNASSIGNED,
        };

        invoke_port(&s);
    }
}

/* An argument that makes no sense: no refusal, but an error */
static void make_error(void)
{
    vmi_set_alarm(7, 0, 0);
}

static void handle_alarm(Frame *frame)
{
    alarms++;
    apic_write(APIC_EOI, 0);
}

static void make_alarms(void)
{
    uint64_t past = vmi_counter(VMI_CYCLES_REAL);

    set_handler(LVTT_VECTOR, handle_alarm);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    sti();
    for (unsigned i = 0; i < ALARMS; i++) {
        vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, past, 0);
        while (READ_ONCE(alarms) == i) {
            cpu_pause();
        }
    }
    cli();

    /* One finds LVTT masked, and comes a second or more after it expired. */
    apic_write(APIC_LVTT, APIC_MASKED | LVTT_VECTOR);
    while (vmi_counter(VMI_CYCLES_REAL) < vmi_frequency()) {
        cpu_pause();
    }
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT, 0, 0);
    delay_ms(300);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    sti();
    while (READ_ONCE(alarms) == ALARMS) {
        cpu_pause();
    }
    cli();
    /* One will not come. */
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_LVTT,
                  vmi_counter(VMI_CYCLES_REAL) + 100000 * vmi_frequency(), 0);
}

/* An alarm each cycle, of which the guest takes nothing for a while */
static void make_alarms_untaken(void)
{
    apic_write(APIC_LVTT, LVTT_VECTOR);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT | VMI_ALARM_PERIODIC, 0, 1);
    delay_ms(200);
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    sti_nop_cli();
}

/* With an alarm every millisecond */
static void make_calls_for_ever(void)
{
    vmi_setup();
    set_handler(LVTT_VECTOR, handle_alarm);
    apic_init();
    apic_write(APIC_LVTT, LVTT_VECTOR);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT | VMI_ALARM_PERIODIC, 0,
                  vmi_frequency() / 1000);
    sti();
    for (;;) {
        vmi_frequency();
    }
}

static void make_flood(void)
{
    for (unsigned i = 0; i < FLOOD; i++) {
        asm volatile(VMCALL(100) : : : "eax", "edx", "memory");
    }
}

void guest_main(void)
{
    unsigned boots = cmos_read(CMOS_BOOTS);
    VMIAPState state;
    bool started;

    cmos_write(CMOS_BOOTS, boots + 1);
    pic_init();
    if (boots) {
        step("again");
        report_end();
    }
    if (guest_has_arg("busy")) {
        make_calls_for_ever();
    }
    step("before");
    if (!guest_has_arg("kvm")) {
        make_undefined();
    }
    step("undefined");
    vmi_setup();
    tell_relocations();
    if (guest_has_arg("off")) {
        step("active");
        report_end();
    }
    apic_init();
    smp_cpus = 2;
    state = ap_good_state(1);
    ap_boot(1, &state, SEND_OFFSET);
    started = ap_wait(0);
    report(started, "CPU 1 starts", "%u started", ap_started);
    step("active");
    make_calls();
    step("calls");
    exchange_spaces();
    step("spaces");
    ap_run(1, make_ap_calls);
    step("ap-calls");
    ap_run(1, make_bad_calls);
    step("refused");
    make_error();
    step("error");
    make_alarms();
    step("alarms");
    make_alarms_untaken();
    step("untaken");
    make_flood();
    step("flood");
    report_plan();
    step("reset");
    for (;;) {
        cpu_pause();
    }
}
