/*
 * A kernel to debug: call sites patched as Linux patches them, in a loop
 *
 * The driver finds their addresses in the line "# sites", attaches a debugger
 * and ends the program by setting debug_end.  With "native" there is no VMI,
 * and nothing but calls to another page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "debug.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

uint32_t debug_counter, debug_end, debug_rounds;

/*
 * Interrupt flag calls, a call into the host with a result, one with its last
 * argument on the stack, and one through a pointer.
 */
asm(".globl site_cli, site_sti, site_counter, site_pxe, site_pointer\n"
    "debug_round:\n"
    "        push    %ebx\n"
    "        mov     $0x1234567, %ebx\n"
    "site_sti:\n"
    "        .byte   0xe8; .long 0\n"
    "        nop\n"
    "site_cli:\n"
    "        .byte   0xe8; .long 0\n"
    "        nop\n"
    "        xor     %eax, %eax\n"
    "site_counter:\n"
    "        .byte   0xe8; .long 0\n"
    "        mov     %eax, debug_counter\n"
    "        push    $0\n"
    "        mov     12(%esp), %eax\n"
    "        xor     %edx, %edx\n"
    "        mov     16(%esp), %ecx\n"
    "site_pxe:\n"
    "        .byte   0xe8; .long 0\n"
    "        add     $4, %esp\n"
    "        xor     %eax, %eax\n"
    "site_pointer:\n"
    "        call    *vmi_address + 4 * 67\n"
    "        pop     %ebx\n"
    "        ret\n");

/* In a page of its own, where no other code is run. */
asm("        .balign 4096\n"
    "debug_far:\n"
    "        ret\n"
    "        .balign 4096\n");

static void patch(uint8_t *site, unsigned nr)
{
    vmi_patch_call(site, vmi_address[nr]);
    printf(" %s=0x%x:0x%x", vmi_calls[nr].name, (uint32_t)site,
           vmi_address[nr]);
}

static void patch_sites(void)
{
    patch(site_sti, VMI_CALL_EnableInterrupts);
    patch(site_cli, VMI_CALL_DisableInterrupts);
    patch(site_counter, VMI_CALL_GetCycleCounter);
    patch(site_pxe, VMI_CALL_SetPxELong);
    printf(" pointer=0x%x:0x%x", (uint32_t)site_pointer,
           vmi_address[VMI_CALL_GetCycleCounter]);
}

void guest_main(void)
{
    bool native = guest_has_arg("native");

    pic_init();
    if (!native) {
        vmi_setup();
    }
    printf("# sites");
    if (!native) {
        patch_sites();
    }
    printf(" far=0x%x:0x%x end=0x%x:0x%x\n", (uint32_t)debug_far,
           (uint32_t)&debug_rounds, (uint32_t)&debug_end,
           (uint32_t)&debug_counter);
    while (!READ_ONCE(debug_end)) {
        if (!native) {
            debug_round(PTE_PRESENT, paging_entry(PLAY_BASE));
        }
        debug_far();
        debug_rounds++;
    }
    report(debug_rounds > 0, "the program runs while it is debugged",
           "%u rounds", debug_rounds);
    report_end();
}
