/*
 * The smp program: time and alarms on application processors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "tests.h"

/* Fewer for many CPUs, which wait in a loop and share the host's few */
#define ROUNDS (400 / smp_cpus)

static uint64_t ap_real, ap_available, ap_stolen;
static uint32_t ap_apic_id, ap_apic_id_native;
static uint32_t alarms[MAX_CPUS], ipis[MAX_CPUS];
static uint64_t fired_at[MAX_CPUS], expiry[MAX_CPUS];
static uint32_t cancelled, early;

static void read_counters(void)
{
    uint64_t before = ap_available;

    ap_real = vmi_counter(VMI_CYCLES_REAL);
    ap_stolen = vmi_counter(VMI_CYCLES_STOLEN);
    ap_available = vmi_counter(VMI_CYCLES_AVAILABLE);
    early += ap_available < before;
}

static void read_apic(void)
{
    ap_apic_id_native = apic_read(APIC_ID);
    /* Type 0 under KVM: the guest reads by itself */
    ap_apic_id = vmi_type[VMI_CALL_APICRead] == VMI_RELOCATION_NONE ?
                 ap_apic_id_native :
                 vmi_call(VMI_CALL_APICRead, APIC_ID, 0, 0, 0, 0);
}

void test_ap_time(void)
{
    for (unsigned id = 1; id < smp_cpus; id++) {
        uint32_t back = 0, sum = 0;

        ap_available = early = 0;
        for (unsigned i = 0; i < ROUNDS; i++) {
            uint64_t before = vmi_counter(VMI_CYCLES_REAL), after;

            ap_run(id, read_counters);
            after = vmi_counter(VMI_CYCLES_REAL);
            back += ap_real < before || ap_real > after;
            sum += ap_stolen + ap_available > after;
        }
        report(!back, text("the real counter of CPU %u is CPU 0's", id),
               "%u of %u readings out of order", back, ROUNDS);
        report(!sum && !early,
               text("available and stolen time of CPU %u are no more than "
                    "real", id), "%u of %u, %u went back", sum, ROUNDS, early);
        ap_run(id, read_apic);
        report(ap_apic_id >> 24 == id && ap_apic_id == ap_apic_id_native,
               text("APICRead on CPU %u reads its own APIC", id), "0x%x",
               ap_apic_id);
    }
}

static void handle_alarm(Frame *frame)
{
    unsigned id = this_cpu();

    fired_at[id] = vmi_counter(VMI_CYCLES_REAL);
    alarms[id]++;
    if (frame->vector == PIC_VECTOR) {
        outb(0x20, 0x20);
    } else {
        apic_write(APIC_EOI, 0);
    }
}

static void handle_ipi(Frame *frame)
{
    ipis[this_cpu()]++;
    apic_write(APIC_EOI, 0);
}

static void wait_for(uint32_t *count)
{
    uint64_t end = vmi_counter(VMI_CYCLES_REAL) + 30 * vmi_frequency();

    sti();
    while (!READ_ONCE(*count) && vmi_counter(VMI_CYCLES_REAL) < end) {
        cpu_pause();
    }
    cli();
}

/* Arm before LVTT is unmasked, and let the alarm expire in between. */
static void arm_and_expire(void)
{
    unsigned id = this_cpu();

    apic_write(APIC_LVTT, APIC_MASKED | LVTT_VECTOR);
    expiry[id] = vmi_counter(VMI_CYCLES_REAL) + vmi_frequency() / 20000;
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL, expiry[id], 0);
    delay_ms(10);
}

static void unmask(void)
{
    apic_write(APIC_LVTT, LVTT_VECTOR);
}

static void one_shot(void)
{
    arm_and_expire();
    unmask();
    wait_for(&alarms[this_cpu()]);
}

static void unmask_and_wait(void)
{
    unmask();
    sti();
    delay_ms(150);
    cli();
}

static void halt_often(void)
{
    unsigned id = this_cpu();

    for (unsigned i = 0; i < 50; i++) {
        alarms[id] = 0;
        vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_AVAILABLE,
                      vmi_counter(VMI_CYCLES_AVAILABLE) +
                      vmi_frequency() / 10000, 0);
        while (!READ_ONCE(alarms[id])) {
            vmi_halt();
            cli();
        }
    }
}

static void arm_far(void)
{
    vmi_set_alarm(VMI_ALARM_LVTT | VMI_CYCLES_REAL,
                  vmi_counter(VMI_CYCLES_REAL) + 1000 * vmi_frequency(), 0);
}

static void cancel(void)
{
    cancelled = vmi_cancel_alarm(VMI_CYCLES_REAL);
}

static void arm_irq0(void)
{
    vmi_set_alarm(VMI_CYCLES_REAL, 0, 0);
}

static void send_ipi(void)
{
    ap_send(0, IPI_VECTOR, SEND_OFFSET);
}

static void test_one(unsigned id)
{
    VMIAPState state = ap_good_state(id);
    uint32_t mine, others = 0, before = ap_started;

    memset(alarms, 0, sizeof(alarms));
    ap_run(id, one_shot);
    for (unsigned i = 0; i < smp_cpus; i++) {
        others += i == id ? 0 : alarms[i];
    }
    report(alarms[id] == 1 && !others,
           text("an alarm of CPU %u fires on it, and nowhere else", id),
           "%u, others %u", alarms[id], others);
    report(fired_at[id] >= expiry[id],
           text("an alarm of CPU %u is not early", id), "%llu, expiry %llu",
           fired_at[id], expiry[id]);

    memset(alarms, 0, sizeof(alarms));
    ap_run(id, arm_and_expire);
    ap_boot(id, &state, SEND_NATIVE);
    if (!ap_wait(before)) {
        report(false, text("CPU %u starts again", id), "no");
        report_end();
    }
    ap_run(id, cancel);
    ap_run(id, unmask_and_wait);
    report(!cancelled && !alarms[id],
           text("INIT drops an alarm of CPU %u that expired under the mask",
                id), "CancelAlarm: %u, %u interrupts", cancelled, alarms[id]);

    ap_run(id, arm_far);
    mine = vmi_cancel_alarm(VMI_CYCLES_REAL);
    ap_run(id, cancel);
    report(!mine && cancelled == 1,
           text("CancelAlarm on CPU 0 leaves the alarm of CPU %u alone", id),
           "CPU 0: %u, CPU %u: %u", mine, id, cancelled);

    ap_run(id, halt_often);
    report(true, text("an alarm always wakes CPU %u from Halt", id),
           "50 of 50");

    memset(alarms, 0, sizeof(alarms));
    ap_run(id, arm_irq0);
    wait_for(&alarms[0]);
    report(alarms[0] == 1 && !alarms[id],
           text("an alarm of CPU %u for IRQ 0 goes the way of IRQ 0", id),
           "CPU 0: %u, CPU %u: %u", alarms[0], id, alarms[id]);

    memset(ipis, 0, sizeof(ipis));
    ap_run(id, send_ipi);
    wait_for(&ipis[0]);
    report(ipis[0] == 1, text("CPU %u sends an IPI by APICWrite", id), "%u",
           ipis[0]);
}

void test_ap_alarms(void)
{
    uint32_t sum = 0;

    pic_unmask(0);
    sti_nop_cli();
    pit_park();
    pit_settle(PIC_VECTOR);
    set_handler(LVTT_VECTOR, handle_alarm);
    set_handler(PIC_VECTOR, handle_alarm);
    set_handler(IPI_VECTOR, handle_ipi);
    for (unsigned id = 1; id < smp_cpus; id++) {
        test_one(id);
    }

    /* All at once */
    memset(alarms, 0, sizeof(alarms));
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_start_run(id, one_shot);
    }
    one_shot();
    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_finish_run(id);
    }
    for (unsigned id = 0; id < smp_cpus; id++) {
        sum += alarms[id] == 1 && fired_at[id] >= expiry[id];
    }
    report(sum == smp_cpus, "alarms of all CPUs fire, one on each", "%u of %u",
           sum, smp_cpus);
}
