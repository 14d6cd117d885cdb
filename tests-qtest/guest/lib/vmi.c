/*
 * VMI guest programs: the guest's side of VMI
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "paging.h"
#include "vmi.h"

#define TYPE_NONE   VMI_RELOCATION_NONE
#define TYPE_NATIVE VMI_RELOCATION_CALL_REL
#define TYPE_HOST   VMI_RELOCATION_CALL_REL
#define TYPE_NOP    VMI_RELOCATION_CALL_REL
#define TYPE_SHARED VMI_RELOCATION_CALL_REL

#define IN_HOST_NONE    false
#define IN_HOST_NATIVE  false
#define IN_HOST_HOST    true
#define IN_HOST_NOP     false
#define IN_HOST_SHARED  true    /* by the port, if the data will not do */

const CallInfo vmi_calls[VMI_MAX_CALLS] = {
#define VMI_CALL(nr, call, grp, words, on_stack, tcg, kvm, place, func) \
    [nr] = {                                                     \
        .name = #call,                                           \
        .group = #grp,                                           \
        .args = words,                                           \
        .stack = on_stack,                                       \
        .type = { TYPE_ ## tcg, TYPE_ ## kvm },                  \
        .host = { IN_HOST_ ## tcg, IN_HOST_ ## kvm },            \
    },
#include "vmi-calls.h.inc"
};

uint8_t *vmi_rom;
uint32_t vmi_address[VMI_MAX_CALLS];
uint8_t vmi_type[VMI_MAX_CALLS];

bool vmi_under_kvm(void)
{
    return guest_has_arg("kvm");
}

uint8_t vmi_expected_type(unsigned nr)
{
    return vmi_calls[nr].type[vmi_under_kvm()];
}

bool vmi_host_serves(unsigned nr)
{
    return vmi_calls[nr].host[vmi_under_kvm()];
}

bool vmi_find(void)
{
    for (uint32_t addr = VMI_ROM_SEARCH_START; addr < VMI_ROM_SEARCH_END;
         addr += VMI_ROM_ALIGN) {
        vmi_rom = (uint8_t *)addr;
        if (VMI_ROM_FIELD(uint16_t, VMI_HDR_OPTROM_SIGNATURE) ==
            VMI_OPTROM_SIGNATURE &&
            VMI_ROM_FIELD(uint32_t, VMI_HDR_SIGNATURE) == VMI_SIGNATURE &&
            VMI_ROM_FIELD(uint8_t, VMI_HDR_API_MAJOR) == VMI_API_MAJOR) {
            return true;
        }
    }
    vmi_rom = NULL;
    return false;
}

void vmi_use_direct_map(bool yes)
{
    uint32_t addr = (uint32_t)vmi_rom & ~DIRECT_MAP;

    vmi_rom = (uint8_t *)(yes ? addr | DIRECT_MAP : addr);
}

uint32_t vmi_call_init(void)
{
    return vmi_do_call((uint32_t)vmi_rom + VMI_HDR_INIT, 0, 0, 0, 0, 0);
}

void vmi_get_relocation(uint32_t nr, uint32_t *address, uint32_t *edx)
{
    uint64_t answer = vmi_do_call((uint32_t)vmi_rom + VMI_HDR_GET_RELOCATION,
                                  nr, 0, 0, 0, 0);

    *address = answer;
    *edx = answer >> 32;
}

void vmi_relocate_all(void)
{
    uint32_t edx;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        vmi_get_relocation(nr, &vmi_address[nr], &edx);
        vmi_type[nr] = edx;
    }
}

void vmi_setup(void)
{
    PagingMode mode = guest_has_arg("pae") ? PAGING_PAE :
                      guest_has_arg("paging32") ? PAGING_32 : PAGING_OFF;
    uint32_t result;

    if (!vmi_find()) {
        report(false, "a VMI ROM is in the segment", "none found");
        report_end();
    }
    paging_set(mode);
    vmi_use_direct_map(mode != PAGING_OFF);
    result = vmi_call_init();
    if (!report(!result, text("VMI_Init succeeds, paging %s",
                              paging_name(mode)), "0x%x", result)) {
        report_end();
    }
    vmi_relocate_all();
}

uint64_t vmi_call(unsigned nr, uint32_t eax, uint32_t edx, uint32_t ecx,
                  uint32_t stack0, uint32_t stack1)
{
    if (vmi_type[nr] == VMI_RELOCATION_NONE) {
        report(false, text("call %u %s can be called", nr,
                           vmi_calls[nr].name ?: "unassigned"), "type 0");
        report_end();
    }
    return vmi_do_call(vmi_address[nr], eax, edx, ecx, stack0, stack1);
}

void vmi_patch_call(uint8_t *site, uint32_t target)
{
    uint32_t rel = target - (uint32_t)site - 5;

    site[0] = 0xe8;
    memcpy(site + 1, &rel, sizeof(rel));
    barrier();
}
