/*
 * Suspend to RAM: the kernel that wakes up is a VMI kernel still
 *
 * It sets the real-time clock's alarm, stores the address to wake up at where
 * ACPI wants it, and sleeps.  Waking up resets processors and devices; the
 * firmware goes on with what it finds at that address.
 *
 * Arguments: cpus=N; rounds=N; move: after waking up, the host moves this
 * program to another QEMU, before the first of the other CPUs is started, or,
 * in each second round, before the last one.  All of memory must be in the
 * direct map.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "sleep.h"
#include "smp.h"

/* From the PIIX4's or ICH9's power management base on */
#define PM1_ENABLE      2
#define PM1_CONTROL     4
#define PM1_RTC         0x400
#define PM1_SLEEP_S3    0x2400  /* SLP_EN, SLP_TYP 1 */

/* The real-time clock */
#define RTC_SECONDS     0
#define RTC_ALARM_SECONDS 1
#define RTC_ALARM_MINUTES 3
#define RTC_ALARM_HOURS 5
#define RTC_B           0x0b
#define RTC_C           0x0c
#define RTC_ANY         0xc0
#define RTC_AIE         0x20

#define ICH9            0x29188086
#define ICH9_PMBASE     0x40
#define ICH9_ACPI_CONTROL 0x44

#define FADT_FACS       36
#define FACS_WAKE       12

static uint32_t alarms;

static uint8_t *find_rsdp(void)
{
    for (uint8_t *p = (uint8_t *)0xe0000; p < (uint8_t *)0x100000; p += 16) {
        if (!memcmp(p, "RSD PTR ", 8)) {
            return p;
        }
    }
    return NULL;
}

static uint8_t *find_facs(void)
{
    uint8_t *rsdp = find_rsdp(), *rsdt;
    unsigned n;

    if (!rsdp) {
        return NULL;
    }
    rsdt = (uint8_t *)AT(uint32_t, rsdp + 16);
    n = (AT(uint32_t, rsdt + 4) - 36) / 4;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *table = (uint8_t *)AT(uint32_t, rsdt + 36 + 4 * i);

        if (!memcmp(table, "FACP", 4)) {
            return (uint8_t *)AT(uint32_t, table + FADT_FACS);
        }
    }
    return NULL;
}

static void count_alarm(Frame *frame)
{
    alarms++;
    apic_write(APIC_EOI, 0);
}

static void listen(void)
{
    pic_init();
    apic_init();
    set_handler(LVTT_VECTOR, count_alarm);
    apic_write(APIC_LVTT, LVTT_VECTOR);
}

/* In 1 to 2 seconds; the clock is in BCD */
static void set_wake_up(void)
{
    uint8_t now = cmos_read(RTC_SECONDS);
    unsigned then = ((now >> 4) * 10 + (now & 15) + 2) % 60;

    cmos_write(RTC_ALARM_SECONDS, then / 10 << 4 | then % 10);
    cmos_write(RTC_ALARM_MINUTES, RTC_ANY);
    cmos_write(RTC_ALARM_HOURS, RTC_ANY);
    cmos_read(RTC_C);
    cmos_write(RTC_B, cmos_read(RTC_B) | RTC_AIE);
}

static void sleep(uint8_t *facs)
{
    uint16_t base = pm_timer_port() - 8;

    memcpy((void *)WAKE_ADDRESS, wake_code, wake_end - wake_code);
    AT(uint32_t, facs + FACS_WAKE) = WAKE_ADDRESS;

    outw(base + PM1_ENABLE, PM1_RTC);
    set_wake_up();
    cli();
    sleep_until_woken(base + PM1_CONTROL, PM1_SLEEP_S3);
    if (pci_read(31, 0, 0) == ICH9) {
        /* What SeaBIOS does at boot, and not when it wakes up */
        pci_write(31, 0, ICH9_PMBASE, base | 1, 4);
        pci_write(31, 0, ICH9_ACPI_CONTROL, 0x80, 1);
    }
    cmos_write(RTC_B, cmos_read(RTC_B) & ~RTC_AIE);
}

static void check_calls(uint64_t before)
{
    uint64_t slept = vmi_counter(VMI_CYCLES_REAL) - before;
    unsigned changed = 0;

    report(slept > vmi_frequency() / 10 * 9, "its time has gone on meanwhile",
           "%llu ms", slept * 1000 / vmi_frequency());
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        uint32_t address, edx;

        vmi_get_relocation(nr, &address, &edx);
        changed += address != vmi_address[nr];
    }
    report(!changed, "each call is where it was", "%u are not", changed);
    changed = vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);
    report(changed == 1, "the wall clock is another one", "%u", changed);
}

static void check_alarms(void)
{
    uint32_t left = 0;

    alarms = 0;
    listen();
    sti();
    delay_ms(20);
    cli();
    left += vmi_cancel_alarm(VMI_CYCLES_REAL);
    left += vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
    report(!alarms && !left, "no alarm is left over", "%u armed, %u came",
           left, alarms);

    vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT,
                  vmi_counter(VMI_CYCLES_REAL) + vmi_frequency() / 1000, 0);
    while (!READ_ONCE(alarms)) {
        vmi_halt();
        cli();
    }
    report(alarms == 1, "a new alarm comes", "%u", alarms);
}

/* As the firmware may: with no state set, a vector is what counts. */
static void check_native_start(unsigned id)
{
    uint32_t before = ap_started;

    AT(uint32_t, REAL_MODE_PAGE * PAGE_SIZE + 0x800) = 0;
    ap_boot(id, NULL, SEND_OFFSET);
    for (unsigned i = 0; i < 1000 && !real_mode_count(); i++) {
        delay_ms(10);
    }
    report(real_mode_count() == 1 && ap_started == before,
           text("CPU %u starts in real mode until the kernel sets a state", id),
           "%u", real_mode_count());
}

static void check_start(unsigned id)
{
    VMIAPState state = ap_good_state(id);
    uint32_t before = ap_started;

    ap_boot(id, &state, SEND_OFFSET);
    report(ap_wait(before), text("CPU %u starts by its state", id), "%u",
           ap_started);
    if (!vmi_under_kvm()) {
        before = ap_started;
        AT(uint32_t, REAL_MODE_PAGE * PAGE_SIZE + 0x800) = 0;
        ap_boot(id, NULL, SEND_OFFSET);
        report(ap_stays_off(before), text("and CPU %u not without", id), "%u",
               ap_started);
        ap_boot(id, &state, SEND_OFFSET);
        ap_wait(before);
    }
}

/* What tells that the program was moved, waking up has told already. */
static void wait_for_move(unsigned round)
{
    printf("# round %u, awake\n", round);
    while (!vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0)) {
        cpu_pause();
    }
}

static void start_others(unsigned round)
{
    for (unsigned id = 1; id < smp_cpus; id++) {
        if (guest_has_arg("move") && id == (round % 2 ? smp_cpus - 1 : 1)) {
            wait_for_move(round);
        }
        check_native_start(id);
        check_start(id);
    }
}

void guest_main(void)
{
    uint8_t *facs = find_facs();
    unsigned rounds = guest_arg_number("rounds", 2);

    smp_cpus = guest_arg_number("cpus", 1);
    memcpy((void *)(REAL_MODE_PAGE * PAGE_SIZE), real_mode_code,
           real_mode_end - real_mode_code);
    if (!report(facs, "the firmware says where to wake up", "%p", facs)) {
        report_end();
    }
    listen();
    vmi_setup();
    ap_start_all();
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t before = vmi_counter(VMI_CYCLES_REAL);

        vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_LVTT | VMI_ALARM_PERIODIC,
                      before + vmi_frequency() / 10, vmi_frequency() / 1000);
        vmi_set_alarm(VMI_CYCLES_AVAILABLE, before + 10 * vmi_frequency(), 0);
        /* It may have been set already: the host may have stopped us */
        vmi_call(VMI_CALL_WallclockUpdated, 0, 0, 0, 0, 0);
        sleep(facs);
        report(true, "the guest wakes up", "%u", round);
        check_calls(before);
        check_alarms();
        start_others(round);
    }
    report_end();
}
