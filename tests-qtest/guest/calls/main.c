/*
 * Every call does its work, and keeps the registers that it must keep
 *
 * Each is made from a patched call site and by function pointer, with paging
 * as the command line has it: nothing, paging32 or pae.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"
#include "irq.h"

#define EBX_VALUE 0xb0b1b2b3
#define ESI_VALUE 0x51525354
#define EDI_VALUE 0xd1d2d3d4
#define EBP_VALUE 0xbabbbcbd
#define EAX_VALUE 0xa0a1a2a3
#define ECX_VALUE 0xc0c1c2c3
#define EDX_VALUE 0xe0e1e2e3

bool calls_by_pointer;

const char *calls_how(void)
{
    return calls_by_pointer ? "by pointer" : "by call";
}

bool calls_served(unsigned nr)
{
    return vmi_type[nr] != VMI_RELOCATION_NONE;
}

static Invoke prepare(const uint32_t in[5])
{
    Invoke s = {
        .eax = EAX_VALUE, .ecx = ECX_VALUE, .edx = EDX_VALUE,
        .ebx = EBX_VALUE, .esi = ESI_VALUE, .edi = EDI_VALUE,
        .ebp = EBP_VALUE, .eflags = EFLAGS_ONE,
        .ds_es = KERNEL_DS, .by_pointer = calls_by_pointer,
        .stack = { 0x55aa55aa, 0xaa55aa55 },
    };

    if (in) {
        s.eax = in[0];
        s.edx = in[1];
        s.ecx = in[2];
        s.stack[0] = in[3];
        s.stack[1] = in[4];
    }
    return s;
}

/* "Flags" rows: all but the result is kept, and DS and ES are the user's. */
static bool strict(unsigned nr)
{
    return nr >= VMI_CALL_EnableInterrupts && nr <= VMI_CALL_SetInterruptMask;
}

static void report_kept(unsigned nr, const Invoke *in, const Invoke *out)
{
    const char *name = vmi_calls[nr].name;
    bool ebx = out->ebx == in->ebx || nr == VMI_CALL_CPUID;

    report(ebx && out->esi == in->esi && out->edi == in->edi &&
           out->ebp == in->ebp && out->esp == out->esp_before,
           text("%s keeps EBX ESI EDI EBP ESP, %s, DS %02x", name,
                calls_how(), in->ds_es),
           "0x%x 0x%x 0x%x 0x%x, ESP %d", out->ebx, out->esi, out->edi,
           out->ebp, (int)(out->esp - out->esp_before));
    report(!(out->eflags & (EFLAGS_DF | EFLAGS_NT)),
           text("%s leaves DF and NT clear, %s, DS %02x", name, calls_how(),
                in->ds_es), "0x%x", out->eflags);
    if (strict(nr)) {
        bool eax = out->eax == in->eax || nr == VMI_CALL_GetInterruptMask;

        report(eax && out->ecx == in->ecx && out->edx == in->edx,
               text("%s keeps EAX ECX EDX but for results, %s, DS %02x", name,
                    calls_how(), in->ds_es),
               "0x%x 0x%x 0x%x", out->eax, out->ecx, out->edx);
    } else if (nr != VMI_CALL_Halt) {
        report((out->eflags & EFLAGS_IF) == (in->eflags & EFLAGS_IF),
               text("%s keeps IF %s, %s", name,
                    in->eflags & EFLAGS_IF ? "set" : "clear", calls_how()),
               "0x%x", out->eflags);
    }
}

Invoke calls_make(unsigned nr, const uint32_t in[5])
{
    static const uint32_t selectors[] = { 0, USER_DS, KERNEL_DS };
    Invoke s = prepare(in), out;

    if (strict(nr)) {
        for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
            s.ds_es = selectors[i];
            out = s;
            invoke(&out, vmi_address[nr]);
            report_kept(nr, &s, &out);
        }
        return out;
    }
    /* No call but those about interrupts changes IF. */
    s.eflags |= calls_by_pointer && nr != VMI_CALL_Halt ? EFLAGS_IF : 0;
    out = s;
    invoke(&out, vmi_address[nr]);
    report_kept(nr, &s, &out);
    return out;
}

Invoke calls_make_quiet(unsigned nr, const uint32_t in[5])
{
    Invoke s = prepare(in);

    invoke(&s, vmi_address[nr]);
    return s;
}

static void test_time_calls(void)
{
    Invoke a, b, c;
    uint32_t cancelled;

    if (!calls_served(VMI_CALL_GetCycleFrequency)) {
        report_skip("timer calls", "switched off");
        return;
    }
    a = calls_make(VMI_CALL_GetCycleFrequency, NULL);
    b = calls_make(VMI_CALL_GetCycleFrequency, NULL);
    report(a.eax == b.eax && a.edx == b.edx && (a.eax || a.edx),
           text("GetCycleFrequency is constant, %s", calls_how()),
           "0x%x:%x", a.edx, a.eax);
    for (unsigned i = 0; i < 3; i++) {
        calls_make(VMI_CALL_GetCycleCounter, ARGS(i));
    }
    calls_make(VMI_CALL_GetWallclockTime, NULL);
    calls_make(VMI_CALL_WallclockUpdated, NULL);

    /* Arguments on the stack: expiry and period, a long time from now */
    a = calls_make(VMI_CALL_GetCycleCounter, ARGS(0));
    calls_make(VMI_CALL_SetAlarm, ARGS(VMI_CYCLES_REAL, a.eax,
                                       a.edx + 0x1000, 1, 0));
    c = calls_make(VMI_CALL_CancelAlarm, ARGS(VMI_CYCLES_REAL));
    cancelled = c.eax;
    c = calls_make(VMI_CALL_CancelAlarm, ARGS(VMI_CYCLES_REAL));
    report(cancelled == 1 && !c.eax,
           text("CancelAlarm answers 1, then 0, %s", calls_how()),
           "%u, %u", cancelled, c.eax);
}

static void test_tsc_call(void)
{
    uint64_t outer, inner, tsc, a, b, c, d;
    Invoke s;

    s = calls_make(VMI_CALL_RDTSC, NULL);
    tsc = (uint64_t)s.edx << 32 | s.eax;
    s = calls_make(VMI_CALL_RDTSC, NULL);
    report(((uint64_t)s.edx << 32 | s.eax) >= tsc,
           text("RDTSC does not go back, %s", calls_how()), "0x%x:%08x",
           s.edx, s.eax);
    if (!calls_served(VMI_CALL_GetCycleCounter)) {
        return;
    }
    /* The time between two readings, from without and from within */
    a = vmi_counter(VMI_CYCLES_REAL);
    tsc = vmi_call(VMI_CALL_RDTSC, 0, 0, 0, 0, 0);
    b = vmi_counter(VMI_CYCLES_REAL);
    delay_ms(20);
    c = vmi_counter(VMI_CYCLES_REAL);
    tsc = vmi_call(VMI_CALL_RDTSC, 0, 0, 0, 0, 0) - tsc;
    d = vmi_counter(VMI_CYCLES_REAL);
    outer = d - a;
    inner = c - b;
    /* Rounding of another clock may cost a cycle or two. */
    report(tsc + 2 >= inner && tsc <= outer + 2,
           text("RDTSC runs at GetCycleFrequency, %s", calls_how()),
           "%llu ticks in %llu to %llu cycles", tsc, inner, outer);
}

void test_other_calls(void)
{
    test_time_calls();
    if (calls_served(VMI_CALL_RDTSC)) {
        test_tsc_call();
    }
    for (unsigned i = 0; i < 3; i++) {
        calls_make(VMI_CALL_SetLazyMode, ARGS(i));
    }
    calls_make(VMI_CALL_IODelay, NULL);
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    for (unsigned i = 0; i < 2; i++) {
        calls_by_pointer = i;
        test_cpu_calls();
        test_table_calls();
        test_irq_calls();
        test_mmu_calls();
        test_other_calls();
    }
    report_end();
}
