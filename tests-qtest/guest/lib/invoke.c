/*
 * VMI guest programs: call the ROM with all registers chosen and seen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "invoke.h"
#include "vmi.h"

void invoke(Invoke *s, uint32_t target)
{
    if (s->by_pointer) {
        invoke_target = target;
    } else {
        vmi_patch_call(invoke_site, target);
    }
    invoke_asm(s);
}

void invoke_vmcall(Invoke *s, uint8_t nr)
{
    static uint8_t code[] = { 0x0f, 0x01, 0xc1, 0, 0xc3 };

    code[3] = nr;
    barrier();
    invoke(s, (uint32_t)code);
}

void invoke_port(Invoke *s)
{
    static uint8_t code[] = { 0xe6, VMI_PORT, 0xc3 };

    invoke(s, (uint32_t)code);
}
