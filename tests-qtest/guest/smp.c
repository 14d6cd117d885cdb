/*
 * Starting processors
 *
 * Arguments: cpus=N; off=smp: the device has the smp calls switched off.
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

    apic_init();
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

static uint32_t real_mode_count(void)
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

static void check_state(unsigned id, const VMIAPState *s)
{
    const APSeen *a = &ap_seen;

    report(a->eax == s->eax && a->ebx == s->ebx && a->ecx == s->ecx &&
           a->edx == s->edx && a->esi == s->esi && a->edi == s->edi &&
           a->ebp == s->ebp && a->esp == s->esp,
           text("CPU %u starts with the registers given", id),
           "EAX 0x%x EDI 0x%x ESP 0x%x", a->eax, a->edi, a->esp);
    report(a->eflags == (s->eflags | EFLAGS_ONE),
           text("CPU %u starts with the EFLAGS given, and bit 1", id), "0x%x",
           a->eflags);
    report(a->cs == s->cs && a->ss == s->ss && a->ds == s->ds &&
           a->es == s->es && a->fs == s->fs && a->gs == s->gs &&
           a->ldtr == s->ldtr,
           text("CPU %u starts with the segments given", id),
           "CS %x SS %x DS %x ES %x FS %x GS %x LDTR %x", a->cs, a->ss, a->ds,
           a->es, a->fs, a->gs, a->ldtr);
    report((a->cr0 & ~CR0_ET) == s->cr0 && a->cr2 == s->cr2 &&
           a->cr3 == s->cr3 && a->cr4 == s->cr4,
           text("CPU %u starts with the control registers given", id),
           "0x%x 0x%x 0x%x 0x%x", a->cr0, a->cr2, a->cr3, a->cr4);
    report(a->gdtr.base == s->gdtr_base && a->gdtr.limit == s->gdtr_limit &&
           a->idtr.base == s->idtr_base && a->idtr.limit == s->idtr_limit,
           text("CPU %u starts with the descriptor tables given", id),
           "0x%x 0x%x, 0x%x 0x%x", a->gdtr.base, a->gdtr.limit, a->idtr.base,
           a->idtr.limit);
}

static void test_start(unsigned id)
{
    static const char *const names[] = {
        "APICWrite by offset", "APICWrite by linear address", "a store",
    };
    SendBy by = (id - 1) % 3;
    VMIAPState state = ap_good_state(id), copy = state;
    uint32_t before = ap_started;
    bool ok;

    ap_send(id, ICR_INIT, by);
    ap_set_state(&state, id);
    /* The structure is the caller's again. */
    memset(&state, 0xff, sizeof(state));
    ap_send(id, ICR_STARTUP | REAL_MODE_PAGE, by);
    ap_send(id, ICR_STARTUP | REAL_MODE_PAGE, by);
    ok = ap_wait(before);
    if (!report(ok, text("CPU %u starts by IPIs sent with %s", id,
                                      names[by]), "%u started", ap_started)) {
        report_end();
    }
    check_state(id, &copy);
    ap_send(id, ICR_STARTUP | REAL_MODE_PAGE, by);
    ok = ap_stays_off(before + 1);
    report(ok,
           text("CPU %u ignores further STARTUP IPIs", id), "%u started",
           ap_started);
}

/* All three ways, on one CPU that is stopped by INIT each time */
static void test_restart(void)
{
    for (SendBy by = SEND_OFFSET; by <= SEND_NATIVE; by++) {
        VMIAPState state = ap_good_state(1);
        uint32_t before = ap_started;
        bool on;

        state.eax = 0x11110000 + by;
        state.eflags = EFLAGS_CF | EFLAGS_SF;
        ap_boot(1, &state, by);
        on = ap_wait(before);
        report(on && ap_seen.eax == state.eax,
               text("a running CPU starts afresh after INIT, way %u", by),
               "%u started, EAX 0x%x", ap_started - before, ap_seen.eax);
        report(ap_seen.eflags == (state.eflags | EFLAGS_ONE),
               text("its EFLAGS are those of the new state, way %u", by),
               "0x%x", ap_seen.eflags);
    }
}

static void test_real_mode(void)
{
    uint32_t count;

    for (unsigned id = 1; id < smp_cpus; id++) {
        ap_boot(id, NULL, SEND_NATIVE);
    }
    for (unsigned i = 0; i < 1000 && real_mode_count() < smp_cpus - 1; i++) {
        delay_ms(10);
    }
    count = real_mode_count();
    report(count >= smp_cpus - 1, "with smp=off processors start in real "
           "mode at the vector", "%u of %u", count, smp_cpus - 1);
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    smp_cpus = guest_arg_number("cpus", 2);
    memcpy((void *)(REAL_MODE_PAGE * PAGE_SIZE), real_mode_code,
           real_mode_end - real_mode_code);
    AT(uint32_t, REAL_MODE_PAGE * PAGE_SIZE + 0x800) = 0;
    if (guest_has_arg("off=smp")) {
        test_real_mode();
        report_end();
    }
    test_bad_states();
    for (unsigned id = 1; id < smp_cpus; id++) {
        test_start(id);
    }
    test_restart();
    test_ap_time();
    if (vmi_under_kvm()) {
        report_skip("alarms of other CPUs", "nested, all CPUs share one");
    } else {
        test_ap_alarms();
    }
    report_end();
}
