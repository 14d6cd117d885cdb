/*
 * Starting processors
 *
 * Arguments: cpus=N; off=smp: the device has the smp calls switched off; log:
 * make each of the mistakes that the host logs, and nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "tests.h"

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
    if (guest_has_arg("log")) {
        test_logged();
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
    test_sharing();
    report_end();
}
