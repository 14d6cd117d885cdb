/*
 * The iret program: making a frame, and returning by it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "iret.h"

const IretMethod iret_methods[] = {
    { "call rel32", iret_by_call, true, true },
    { "call *%eax", iret_by_call_eax, true },
    { "call *memory", iret_by_call_memory, true },
    { "call *8(%ebx)", iret_by_call_base, true },
    { "call *(%ebx,%esi,4)", iret_by_call_index, true },
    { "jmp rel32", iret_by_jmp, false, true },
    { "jmp *memory", iret_by_jmp_memory, false },
};
const unsigned iret_method_count = ARRAY_SIZE(iret_methods);

IretTest iret_make(const IretMethod *method, unsigned nr)
{
    IretTest test = {
        .eax = 0xa1a2a3a4, .ebx = 0xb1b2b3b4, .ecx = 0xc1c2c3c4,
        .edx = 0xd1d2d3d4, .esi = 0x51525354, .edi = 0xd5d6d7d8,
        .ebp = 0xb5b6b7b8, .ds_es = KERNEL_DS,
    };

    iret_address = vmi_address[nr];
    if (method->code == iret_by_call_eax) {
        test.eax = iret_address;
    } else if (method->code == iret_by_call_base) {
        test.ebx = (uint32_t)&iret_address - 8;
    } else if (method->code == iret_by_call_index) {
        test.esi = 0x1000;
        test.ebx = (uint32_t)&iret_address - 0x4000;
    }
    return test;
}

static void go(void *test)
{
    iret_go(test);
}

int iret_run(IretTest *test, const IretMethod *method, unsigned nr)
{
    iret_method = method->code;
    if (method->patched) {
        uint8_t *site = method->code;

        vmi_patch_call(site, vmi_address[nr]);
        site[0] = method->call ? 0xe8 : 0xe9;
    }
    memset(&iret_result, 0, sizeof(iret_result));
    memset(&trap_frame, 0, sizeof(trap_frame));
    return trap(go, test);
}
