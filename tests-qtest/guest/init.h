/*
 * The init program: its pieces of assembly
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include "libc.h"

/* Host call 66, GetCycleFrequency, which needs no arguments */
void vmcall_function(void *unused);

/* User mode's attempts, ended by int 0x80 */
extern uint8_t user_vmcall[], user_out[], user_init[], user_relocation[];
extern uint32_t user_rom;

#endif
