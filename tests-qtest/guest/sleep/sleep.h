/*
 * The sleep program: shared by C and assembly
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_SLEEP_H
#define GUEST_SLEEP_H

/* Where the firmware jumps to, below 1 MiB */
#define WAKE_ADDRESS 0x30000

#ifndef VMI_ABI_ASSEMBLY
#include "libc.h"

extern uint8_t wake_code[], wake_end[];
void sleep_until_woken(uint16_t port, uint16_t value);
#endif

#endif
