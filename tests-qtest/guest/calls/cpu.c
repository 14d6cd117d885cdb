/*
 * The calls program: processor registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "calls.h"

static void test_cpuid(void)
{
    static const uint32_t leaves[][2] = {
        { 0, 0 }, { 1, 0 }, { 2, 0 }, { 4, 0 }, { 4, 1 }, { 4, 2 },
        { 0x40000000, 0 }, { 0x80000000, 0 }, { 0x80000001, 0 },
        { 0x80000002, 0 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
        uint32_t native[4];
        Invoke s;

        cpuid(leaves[i][0], leaves[i][1], native);
        s = calls_make(VMI_CALL_CPUID, ARGS(leaves[i][0], 0, leaves[i][1]));
        report(s.eax == native[0] && s.ebx == native[1] &&
               s.ecx == native[2] && s.edx == native[3],
               text("CPUID leaf 0x%x.%u is the processor's, %s", leaves[i][0],
                    leaves[i][1], calls_how()), "0x%x 0x%x 0x%x 0x%x", s.eax,
               s.ebx, s.ecx, s.edx);
    }
}

static void test_msr(void)
{
    uint64_t old = rdmsr(MSR_SYSENTER_EIP);
    uint32_t now;
    Invoke s;

    calls_make(VMI_CALL_WRMSR, ARGS(0x12345678, 0, MSR_SYSENTER_EIP));
    now = rdmsr(MSR_SYSENTER_EIP);
    report(now == 0x12345678, text("WRMSR writes an MSR, %s", calls_how()),
           "0x%x", now);
    wrmsr(MSR_SYSENTER_EIP, 0x87654321);
    s = calls_make(VMI_CALL_RDMSR, ARGS(0, 0, MSR_SYSENTER_EIP));
    report(s.eax == 0x87654321 && !s.edx,
           text("RDMSR reads an MSR, %s", calls_how()), "0x%x:%x", s.edx,
           s.eax);
    wrmsr(MSR_SYSENTER_EIP, old);

    /* Both halves: an MTRR has them. */
    wrmsr(MSR_MTRR_BASE0, 0x0000000512345000ull);
    s = calls_make(VMI_CALL_RDMSR, ARGS(0, 0, MSR_MTRR_BASE0));
    report(s.edx == 5 && s.eax == 0x12345000,
           text("RDMSR reads the high half, %s", calls_how()), "0x%x:%x",
           s.edx, s.eax);
    wrmsr(MSR_MTRR_BASE0, 0);
}

static void test_control(void)
{
    uint32_t old = read_cr0(), now;
    Invoke s;

    calls_make(VMI_CALL_SetCR0, ARGS(old | CR0_TS | CR0_AM));
    now = read_cr0();
    report(now == (old | CR0_TS | CR0_AM), text("SetCR0 sets CR0, %s",
                                                calls_how()), "0x%x", now);
    s = calls_make(VMI_CALL_GetCR0, NULL);
    report(s.eax == now, text("GetCR0 reads CR0, %s", calls_how()), "0x%x",
           s.eax);
    calls_make(VMI_CALL_CLTS, NULL);
    now = read_cr0();
    report(now == (old | CR0_AM), text("CLTS clears CR0.TS alone, %s",
                                       calls_how()), "0x%x", now);
    write_cr0(old);

    calls_make(VMI_CALL_SetCR2, ARGS(0x13572468));
    now = read_cr2();
    report(now == 0x13572468, text("SetCR2 sets CR2, %s", calls_how()), "0x%x",
           now);
    write_cr2(0x24681357);
    s = calls_make(VMI_CALL_GetCR2, NULL);
    report(s.eax == 0x24681357, text("GetCR2 reads CR2, %s", calls_how()),
           "0x%x", s.eax);

    s = calls_make(VMI_CALL_GetCR3, NULL);
    report(s.eax == read_cr3(), text("GetCR3 reads CR3, %s", calls_how()),
           "0x%x", s.eax);

    old = read_cr4();
    calls_make(VMI_CALL_SetCR4, ARGS(old ^ CR4_DE));
    now = read_cr4();
    report(now == (old ^ CR4_DE), text("SetCR4 sets CR4, %s", calls_how()),
           "0x%x", now);
    s = calls_make(VMI_CALL_GetCR4, NULL);
    report(s.eax == now, text("GetCR4 reads CR4, %s", calls_how()), "0x%x",
           s.eax);
    write_cr4(old);
}

static uint32_t native_dr(unsigned nr)
{
    switch (nr) {
    case 0:
        return read_dr0();
    case 1:
        return read_dr1();
    case 2:
        return read_dr2();
    case 3:
        return read_dr3();
    case 6:
        return read_dr6();
    default:
        return read_dr7();
    }
}

static void test_debug(void)
{
    /* Breakpoints stay disabled. */
    static const uint32_t values[8] = {
        0xd0000000, 0xd1000001, 0xd2000002, 0xd3000003, 0, 0, 0xffff0ff1,
        0x00000700,
    };
    static const uint32_t reset[8] = { [6] = 0xffff0ff0, [7] = 0x400 };

    for (unsigned nr = 0; nr < 8; nr++) {
        uint32_t now;
        Invoke s;

        if (nr == 4 || nr == 5) {
            continue;
        }
        calls_make(VMI_CALL_SetDR, ARGS(nr, values[nr]));
        now = native_dr(nr);
        report(now == values[nr], text("SetDR sets DR%u, %s", nr,
                                       calls_how()), "0x%x", now);
        s = calls_make(VMI_CALL_GetDR, ARGS(nr));
        report(s.eax == now, text("GetDR reads DR%u, %s", nr, calls_how()),
               "0x%x", s.eax);
        calls_make_quiet(VMI_CALL_SetDR, ARGS(nr, reset[nr]));
    }
}

static void native_rdpmc(void *unused)
{
    uint32_t eax, edx;

    asm volatile("rdpmc" : "=a"(eax), "=d"(edx) : "c"(0));
}

static void vmi_rdpmc(void *unused)
{
    calls_make_quiet(VMI_CALL_RDPMC, ARGS(0, 0, 0));
}

static void test_rdpmc(void)
{
    int native = trap(native_rdpmc, NULL);
    int vector = trap(vmi_rdpmc, NULL);

    report(vector == native, text("RDPMC does as the instruction does, %s",
                                  calls_how()), "vector %d, instruction %d",
           vector, native);
}

void test_cpu_calls(void)
{
    if (!calls_served(VMI_CALL_CPUID)) {
        report_skip("cpu calls", "switched off");
        return;
    }
    test_cpuid();
    test_msr();
    test_control();
    test_debug();
    test_rdpmc();
    calls_make(VMI_CALL_WBINVD, NULL);
}
