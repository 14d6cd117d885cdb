/*
 * The calls program: making a call, and what each one has to leave alone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"

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
