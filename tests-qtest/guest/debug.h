/*
 * The debug program: call sites, to be patched, and the code around them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_DEBUG_H
#define GUEST_DEBUG_H

#include "libc.h"

extern uint8_t site_cli[], site_sti[], site_counter[], site_pxe[],
               site_pointer[];
void debug_round(uint32_t entry, void *pxe);
void debug_far(void);

#endif
