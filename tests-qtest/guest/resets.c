/*
 * Resets of all kinds, at any moment: each boot is as the first
 *
 * A byte of CMOS memory, which survives, counts the boots.  Each boot prints
 * what it sees of VMI, all of which the driver compares, and then keeps all
 * CPUs busy with calls, alarms armed, until the machine is reset: by the
 * driver when it has read "# waiting", or by the guest itself.
 *
 * Arguments: boots=N, cpus=N, i6300esb: the watchdog is that one, not ib700.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "smp.h"

#define CMOS_BOOTS      0x51
#define ESB_ID          0x25ab8086
#define ESB_BASE        0xfef00000      /* mapped as the APIC's page is */

static const char *const ways[] = {
    "system_reset", "Reboot(0)", "a triple fault", "Reboot(1)", "a watchdog",
};

static uint32_t shots, real_mode_started;

static uint32_t hash(uint32_t sum, uint32_t value)
{
    return (sum ^ value) * 0x01000193 + (sum >> 15);
}

static void vmcall(void *unused)
{
    asm volatile(VMCALL(66) : : : "eax", "edx", "memory");
}

/* Before VMI_Init a STARTUP IPI is the processor's own affair. */
static void see_native_start(void)
{
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_boot(id, NULL, SEND_NATIVE);
    }
    for (unsigned i = 0; i < 1000 && real_mode_count() < smp_cpus - 1; i++) {
        delay_ms(10);
    }
    real_mode_started = real_mode_count();
}

static void handle_shot(Frame *frame)
{
    shots++;
    if (frame->vector == PIC_VECTOR) {
        outb(0x20, 0x20);
    } else {
        apic_write(APIC_EOI, 0);
    }
}

/* No alarm of the last boot comes to one who knows nothing of VMI. */
static void see_quiet(void)
{
    pic_unmask(0);
    sti_nop_cli();
    pit_park();
    pit_settle(PIC_VECTOR);
    set_handler(PIC_VECTOR, handle_shot);
    set_handler(LVTT_VECTOR, handle_shot);
    apic_write(APIC_LVTT, LVTT_VECTOR);
    sti();
    delay_ms(20);
    cli();
    report(!shots, "no alarm comes before VMI_Init", "%u", shots);
}

static void see_before(void)
{
    bool found = vmi_find();
    uint32_t rom = 0, answers = 0;
    int vector;

    for (unsigned i = 0; found && i < VMI_ROM_SIZE; i += 4) {
        rom = hash(rom, AT(uint32_t, vmi_rom + i));
    }
    vector = trap(vmcall, NULL);
    for (unsigned nr = 0; found && nr < VMI_MAX_CALLS; nr++) {
        uint32_t address, edx;

        vmi_get_relocation(nr, &address, &edx);
        answers += address || (edx & 0xff);
    }
    see_native_start();
    printf("# sees ROM 0x%x, content 0x%x, VMCALL vector %d, %u relocations, "
           "%u processors in real mode\n", (uint32_t)vmi_rom, rom, vector,
           answers, real_mode_started);
    printf("# sees CR0 0x%x CR4 0x%x EFLAGS 0x%x LVTT 0x%x APIC base 0x%llx\n",
           read_cr0(), read_cr4(), read_eflags(), apic_read(APIC_LVTT),
           rdmsr(MSR_APIC_BASE));
}

static uint32_t armed;

/* Nothing is armed, and no alarm of the last boot comes. */
static void see_alarms(void)
{
    apic_write(APIC_LVTT, LVTT_VECTOR);
    sti();
    delay_ms(10);
    cli();
    armed += vmi_cancel_alarm(VMI_CYCLES_REAL);
    armed += vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
}

static void see_after(void)
{
    uint32_t answers = 0, off = 0, on = 0;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        answers = hash(hash(answers, vmi_address[nr]), vmi_type[nr]);
    }
    for (unsigned id = 1; id < smp_cpus; id++) {
        VMIAPState state = ap_good_state(id);
        uint32_t before = ap_started;

        ap_boot(id, NULL, SEND_OFFSET);
        delay_ms(2);
        off += READ_ONCE(ap_started) == before;
        ap_boot(id, &state, SEND_OFFSET);
        on += ap_wait(before);
    }
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_run(id, see_alarms);
    }
    see_alarms();
    printf("# sees answers 0x%x, %llu Hz, WallclockUpdated %llu\n", answers,
           vmi_frequency(),
           vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0));
    printf("# sees %u alarms armed, %u come; of %u CPUs %u start by a state, "
           "%u not without\n", armed, shots, smp_cpus, on, off);
    report(on == smp_cpus - 1 && off == on, "processors start by their state",
           "%u, %u", on, off);
    report(!armed && !shots, "no alarm is left over", "%u armed, %u came",
           armed, shots);
}

static void arm(void)
{
    uint64_t now = vmi_counter(VMI_CYCLES_REAL);

    apic_write(APIC_LVTT, LVTT_VECTOR);
    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_PERIODIC | VMI_ALARM_LVTT, now,
                  vmi_frequency() / 2000);
    vmi_set_alarm(VMI_CYCLES_AVAILABLE | VMI_ALARM_PERIODIC, 0,
                  vmi_frequency() / 1000);
    sti();
}

/* What a kernel does all the time, on each CPU; until the reset */
static void work(void)
{
    uint32_t first = read_cr3(), flags = PLAY_BASE | VMI_PAGE_PT |
                                         VMI_PAGE_CURRENT_AS;
    uint32_t entry = PTE_PRESENT | PTE_WRITE | 0x10000;

    arm();
    for (;;) {
        vmi_call(VMI_CALL_SetPxE, entry,
                 (uint32_t)paging_entry(PLAY_BASE), flags, 0, 0);
        vmi_call(VMI_CALL_SetLazyMode, VMI_LAZY_MMU, 0, 0, 0, 0);
        vmi_call(VMI_CALL_SetCR3, paging_second_space(), 0, 0, 0, 0);
        vmi_call(VMI_CALL_SetCR3, first, 0, 0, 0, 0);
        vmi_call(VMI_CALL_GetCycleCounter, VMI_CYCLES_AVAILABLE, 0, 0, 0, 0);
    }
}

static void triple_fault(void)
{
    static const TablePointer none;

    asm volatile("lidt %0; int3" : : "m"(none));
}

static void watchdog(void)
{
    unsigned dev;

    if (!guest_has_arg("i6300esb")) {
        outb(0x443, 0x0f);              /* after 0 seconds */
        return;
    }
    for (dev = 0; dev < 32 && pci_read(dev, 0, 0) != ESB_ID; dev++) {
        continue;
    }
    pci_write(dev, 0, 0x10, ESB_BASE, 4);
    pci_write(dev, 0, 4, 2, 2);
    for (unsigned timer = 0; timer < 2; timer++) {
        AT(uint8_t, ESB_BASE + 0xc) = 0x80;     /* unlock */
        AT(uint8_t, ESB_BASE + 0xc) = 0x86;
        AT(uint32_t, ESB_BASE + 4 * timer) = 1;
    }
    pci_write(dev, 0, 0x60, 4, 2);      /* reset, at 1 MHz */
    pci_write(dev, 0, 0x68, 2, 1);      /* enable */
}

static void leave(unsigned way)
{
    unsigned ms = vmi_counter(VMI_CYCLES_REAL) / 4096 % 16;
    VMIAPState state = ap_good_state(smp_cpus - 1);

    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_start_run(id, work);
    }
    if (smp_cpus > 1 && ms % 2) {
        /* Half started */
        ap_send(smp_cpus - 1, ICR_INIT, SEND_OFFSET);
        ap_set_state(&state, smp_cpus - 1);
    }
    report_plan();
    printf("# %s %s\n", way ? "next by" : "waiting for", ways[way]);
    arm();
    delay_ms(ms);
    switch (way) {
    case 1:
        vmi_call(VMI_CALL_Reboot, VMI_REBOOT_SOFT, 0, 0, 0, 0);
        break;
    case 2:
        triple_fault();
        break;
    case 3:
        vmi_call(VMI_CALL_Reboot, VMI_REBOOT_HARD, 0, 0, 0, 0);
        break;
    case 4:
        watchdog();
        break;
    }
    work();
}

void guest_main(void)
{
    unsigned boots = cmos_read(CMOS_BOOTS);

    smp_cpus = guest_arg_number("cpus", 1);
    memcpy((void *)(REAL_MODE_PAGE * PAGE_SIZE), real_mode_code,
           real_mode_end - real_mode_code);
    AT(uint32_t, REAL_MODE_PAGE * PAGE_SIZE + 0x800) = 0;
    pic_init();
    see_before();
    apic_init();
    see_quiet();
    vmi_setup();
    see_after();
    if (boots + 1 == guest_arg_number("boots", 1)) {
        report_end();
    }
    cmos_write(CMOS_BOOTS, boots + 1);
    leave(boots % ARRAY_SIZE(ways));
}
