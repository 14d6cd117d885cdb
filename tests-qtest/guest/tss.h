/*
 * The tss program: what its assembly has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_TSS_H
#define GUEST_TSS_H

#include "libc.h"

extern uint32_t task_error;     /* of the last #TS */

void task_entry(void);
void user_int(void);
void user_allowed(void);
void user_denied(void);

#endif
