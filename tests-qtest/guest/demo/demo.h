/*
 * VMI demo guest: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_DEMO_H
#define GUEST_DEMO_H

#include "libc.h"

extern bool demo_vmi_on;

/* Whether VMI is on and the ROM has code for this call */
bool demo_serves(unsigned nr);

/* End with this message. */
void demo_fail(const char *what) __attribute__((noreturn));

void demo_title(const char *title);
void demo_irq_on(void);
void demo_irq_off(void);

void demo_user_mode(void);
void demo_page_fault(void);

/* user.S: user mode's code, and ways into it that return when it ends */
extern const char demo_user_int80[], demo_user_sysenter[];
uint32_t demo_enter_iret(uint32_t iret, const char *eip);
uint32_t demo_enter_sysexit(uint32_t sysexit, const char *eip);
extern const char demo_sysenter_entry[];
void demo_leave(uint32_t result) __attribute__((noreturn));

#endif
