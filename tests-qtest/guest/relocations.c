/*
 * VMI_GetRelocationInfo answers for each number what the table says
 *
 * Arguments: off=GROUP for each call group that the device has switched off,
 * in small letters.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "vmi.h"

#define INT3 0xcc

static bool group_off(const char *group)
{
    char word[16];
    int n = snprintf(word, sizeof(word), "off=%s", group);

    for (int i = 4; i < n; i++) {
        word[i] |= 0x20;
    }
    return guest_has_arg(word);
}

static uint8_t expected_type(unsigned nr)
{
    const CallInfo *info = &vmi_calls[nr];

    return !info->name || group_off(info->group) ? VMI_RELOCATION_NONE :
                                                   vmi_expected_type(nr);
}

static void test_number(unsigned nr)
{
    const char *name = vmi_calls[nr].name ?: "unassigned";
    uint32_t address = vmi_address[nr];
    uint32_t offset = address - (uint32_t)vmi_rom;
    uint8_t type = expected_type(nr);

    if (type == VMI_RELOCATION_NONE) {
        report(vmi_type[nr] == type && !address,
               text("call %u %s is type 0 without an address", nr, name),
               "type %u, 0x%08x", vmi_type[nr], address);
    } else {
        report(vmi_type[nr] == type && offset >= VMI_HDR_SIZE &&
               offset < VMI_ROM_SIZE &&
               VMI_ROM_FIELD(uint8_t, offset) != INT3,
               text("call %u %s is type %u at code in the ROM", nr, name,
                    type), "type %u, offset 0x%04x", vmi_type[nr], offset);
    }
}

/* What Linux relies on, docs/specs/vmi.rst; 2 only where it has a JMP site */
static void test_rules(void)
{
    static const unsigned timer[] = {
        VMI_CALL_GetCycleCounter, VMI_CALL_SetAlarm, VMI_CALL_CancelAlarm,
        VMI_CALL_GetWallclockTime, VMI_CALL_WallclockUpdated,
    };
    unsigned bad = 0, jumps = 0, dropped = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(timer); i++) {
        bad += vmi_type[timer[i]] != VMI_RELOCATION_CALL_REL;
    }
    report(!vmi_type[VMI_CALL_GetCycleFrequency] || !bad,
           "all timer calls are served if GetCycleFrequency is",
           "%u of the five others are not", bad);
    report(!vmi_type[VMI_CALL_SetPxELong] || vmi_type[VMI_CALL_UpdatePxELong],
           "UpdatePxELong is not type 0 where SetPxELong is not", "%u and %u",
           vmi_type[VMI_CALL_UpdatePxELong], vmi_type[VMI_CALL_SetPxELong]);
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        jumps += vmi_type[nr] == VMI_RELOCATION_JUMP_REL &&
                 nr != VMI_CALL_IRET && nr != VMI_CALL_SYSEXIT;
        dropped += vmi_type[nr] == VMI_RELOCATION_NOP;
    }
    report(!jumps, "no call but IRET and SYSEXIT is type 2", "%u", jumps);
    report(!dropped, "no call is type 3", "%u", dropped);
    for (unsigned nr = VMI_CALL_IRET; nr <= VMI_CALL_Halt; nr++) {
        report(vmi_type[nr] == VMI_RELOCATION_CALL_REL,
               text("%s is served whatever is off", vmi_calls[nr].name),
               "type %u", vmi_type[nr]);
    }
}

static void test_beyond(void)
{
    static const uint32_t beyond[] = {
        128, 129, 255, 256, 256 + VMI_CALL_Halt, 0x10000, 0x7fffffff,
        0x80000000 + VMI_CALL_Halt, 0xffffffff,
    };
    uint32_t address, edx;

    for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++) {
        vmi_get_relocation(beyond[i], &address, &edx);
        report(!address && !(edx & 0xff),
               text("number 0x%x is type 0", beyond[i]), "type %u, 0x%08x",
               edx & 0xff, address);
    }
}

static void test_again(void)
{
    static uint32_t first[VMI_MAX_CALLS];
    unsigned differ = 0;

    memcpy(first, vmi_address, sizeof(first));
    vmi_relocate_all();
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        differ += first[nr] != vmi_address[nr];
    }
    report(!differ, "a second query gives the same answers", "%u differ",
           differ);
}

void guest_main(void)
{
    vmi_setup();
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        test_number(nr);
    }
    test_rules();
    test_beyond();
    test_again();
    report_end();
}
