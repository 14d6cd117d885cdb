/*
 * The demo guest: what its parts share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "demo.h"
#include "vmi.h"

bool demo_vmi_on;

bool demo_serves(unsigned nr)
{
    return demo_vmi_on && (vmi_type[nr] == VMI_RELOCATION_CALL_REL ||
                           vmi_type[nr] == VMI_RELOCATION_JUMP_REL);
}

void demo_fail(const char *what)
{
    console_colour(VGA_RED | VGA_BRIGHT);
    printf("VMI demo guest: FAILED: %s\n", what);
    guest_exit(false);
}

void demo_title(const char *title)
{
    console_colour(VGA_CYAN | VGA_BRIGHT);
    printf("%s\n", title);
    console_colour(VGA_GREY);
}

void demo_irq_on(void)
{
    if (demo_serves(VMI_CALL_EnableInterrupts)) {
        vmi_call(VMI_CALL_EnableInterrupts, 0, 0, 0, 0, 0);
    } else {
        sti();
    }
}

void demo_irq_off(void)
{
    if (demo_serves(VMI_CALL_DisableInterrupts)) {
        vmi_call(VMI_CALL_DisableInterrupts, 0, 0, 0, 0, 0);
    } else {
        cli();
    }
}
