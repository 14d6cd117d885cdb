/*
 * The calls program: the interrupt flag, Halt, the local APIC, IOPL
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"
#include "irq.h"

/* An interrupt that waits for IF, deterministic: this CPU sends it. */
static void make_pending(void)
{
    cli();
    vector_count[IPI_VECTOR] = 0;
    apic_write(APIC_ICR, 0x44000 | IPI_VECTOR);
}

static uint32_t drain(void)
{
    sti_nop_cli();
    return READ_ONCE(vector_count[IPI_VECTOR]);
}

static void report_delivered(unsigned nr, const uint32_t in[5],
                             const char *what)
{
    uint32_t now;
    Invoke s;

    make_pending();
    s = calls_make_quiet(nr, in);
    now = READ_ONCE(vector_count[IPI_VECTOR]);
    report(now == 1 && (s.eflags & EFLAGS_IF),
           text("%s sets IF and a pending interrupt comes, %s", what,
                calls_how()), "%u came, EFLAGS 0x%x", now, s.eflags);
    drain();
}

static void report_held(unsigned nr, const uint32_t in[5], const char *what)
{
    uint32_t now;
    Invoke s;

    make_pending();
    s = calls_make_quiet(nr, in);
    now = READ_ONCE(vector_count[IPI_VECTOR]);
    report(!now && !(s.eflags & EFLAGS_IF),
           text("%s clears IF and a pending interrupt waits, %s", what,
                calls_how()), "%u came, EFLAGS 0x%x", now, s.eflags);
    drain();
}

/* The call, with IF set before it */
static Invoke call_enabled(unsigned nr, uint32_t eax)
{
    Invoke s = {
        .eax = eax, .eflags = EFLAGS_ONE | EFLAGS_IF, .ds_es = KERNEL_DS,
        .by_pointer = calls_by_pointer,
    };

    invoke(&s, vmi_address[nr]);
    return s;
}

static void test_flag(void)
{
    Invoke s;

    calls_make(VMI_CALL_EnableInterrupts, NULL);
    calls_make(VMI_CALL_DisableInterrupts, NULL);
    calls_make(VMI_CALL_GetInterruptMask, NULL);
    calls_make(VMI_CALL_SetInterruptMask, ARGS(VMI_INTERRUPT_ENABLED, 1, 2));
    calls_make(VMI_CALL_SetInterruptMask, ARGS(0, 1, 2));

    report_delivered(VMI_CALL_EnableInterrupts, NULL, "EnableInterrupts");
    report_delivered(VMI_CALL_SetInterruptMask, ARGS(0x200),
                     "SetInterruptMask(200h)");
    report_delivered(VMI_CALL_SetInterruptMask, ARGS(0xffffffff),
                     "SetInterruptMask(FFFFFFFFh)");
    report_held(VMI_CALL_DisableInterrupts, NULL, "DisableInterrupts");
    report_held(VMI_CALL_SetInterruptMask, ARGS(0), "SetInterruptMask(0)");
    report_held(VMI_CALL_SetInterruptMask, ARGS(0xfffffdff),
                "SetInterruptMask(FFFFFDFFh)");

    s = call_enabled(VMI_CALL_DisableInterrupts, 0);
    report(!(s.eflags & EFLAGS_IF), text("DisableInterrupts clears a set IF, "
                                         "%s", calls_how()), "0x%x", s.eflags);
    s = call_enabled(VMI_CALL_SetInterruptMask, 0);
    report(!(s.eflags & EFLAGS_IF), text("SetInterruptMask(0) clears a set "
                                         "IF, %s", calls_how()), "0x%x",
           s.eflags);
    s = call_enabled(VMI_CALL_GetInterruptMask, 0x5a5a5a5a);
    report((s.eax & VMI_INTERRUPT_ENABLED) && (s.eflags & EFLAGS_IF),
           text("GetInterruptMask tells that IF is set, %s", calls_how()),
           "0x%x", s.eax);
    s = calls_make_quiet(VMI_CALL_GetInterruptMask, NULL);
    report(!(s.eax & VMI_INTERRUPT_ENABLED) && !(s.eflags & EFLAGS_IF),
           text("GetInterruptMask tells that IF is clear, %s", calls_how()),
           "0x%x", s.eax);
}

static void test_halt(void)
{
    uint32_t now;
    Invoke s;

    make_pending();
    s = calls_make(VMI_CALL_Halt, NULL);
    now = READ_ONCE(vector_count[IPI_VECTOR]);
    report(now == 1, text("Halt returns for a pending interrupt, %s",
                          calls_how()), "%u came", now);
    report(s.eflags & EFLAGS_IF, text("Halt returns with interrupts enabled, "
                                      "%s", calls_how()), "0x%x", s.eflags);
}

static void test_iopl(void)
{
    uint32_t now;

    calls_make_quiet(VMI_CALL_SetIOPLMask, ARGS(0x3000));
    /* invoke() restores EFLAGS, so the call is made the other way, too. */
    vmi_call(VMI_CALL_SetIOPLMask, 0x3000, 0, 0, 0, 0);
    now = read_eflags();
    report((now & EFLAGS_IOPL) == EFLAGS_IOPL && !(now & EFLAGS_IF),
           text("SetIOPLMask sets IOPL to 3, %s", calls_how()), "0x%x", now);
    sti();
    vmi_call(VMI_CALL_SetIOPLMask, 0x1000, 0, 0, 0, 0);
    now = read_eflags();
    cli();
    report((now & EFLAGS_IOPL) == 0x1000 && (now & EFLAGS_IF),
           text("SetIOPLMask sets IOPL to 1 and keeps IF, %s", calls_how()),
           "0x%x", now);
    vmi_call(VMI_CALL_SetIOPLMask, 0, 0, 0, 0, 0);
    now = read_eflags();
    report(!(now & EFLAGS_IOPL), text("SetIOPLMask sets IOPL to 0, %s",
                                      calls_how()), "0x%x", now);
    calls_make(VMI_CALL_SetIOPLMask, ARGS(0));
}

static void test_apic(void)
{
    static const uint32_t bases[] = { 0, APIC_BASE };

    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        const char *how = bases[i] ? "linear address" : "offset";
        uint32_t now;
        Invoke s;

        s = calls_make(VMI_CALL_APICRead, ARGS(bases[i] + APIC_VERSION));
        report(s.eax == apic_read(APIC_VERSION),
               text("APICRead by %s reads the version, %s", how, calls_how()),
               "0x%x", s.eax);
        s = calls_make(VMI_CALL_APICRead, ARGS(bases[i] + APIC_ID));
        report(s.eax == apic_read(APIC_ID),
               text("APICRead by %s reads the ID, %s", how, calls_how()),
               "0x%x", s.eax);
        calls_make(VMI_CALL_APICWrite, ARGS(bases[i] + APIC_TPR, 0x50 + i));
        now = apic_read(APIC_TPR);
        report(now == 0x50 + i, text("APICWrite by %s writes a register, %s",
                                     how, calls_how()), "0x%x", now);
        apic_write(APIC_TPR, 0);

        vector_count[IPI_VECTOR] = 0;
        calls_make_quiet(VMI_CALL_APICWrite,
                         ARGS(bases[i] + APIC_ICR, 0x44000 | IPI_VECTOR));
        now = drain();
        report(now == 1, text("APICWrite by %s sends an IPI, %s", how,
                              calls_how()), "%u came", now);
    }
}

void test_irq_calls(void)
{
    if (calls_served(VMI_CALL_EnableInterrupts)) {
        test_flag();
    }
    test_halt();
    if (calls_served(VMI_CALL_SetIOPLMask)) {
        test_iopl();
    }
    if (calls_served(VMI_CALL_APICRead)) {
        test_apic();
    }
}
