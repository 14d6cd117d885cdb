/*
 * The hostile program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

/* Whether a call still works; each test ends with it. */
void report_alive(const char *after);

/* long.c: how often VMCALL was #UD, EAX after the port; its assembly */
extern uint32_t long_vmcall64, long_vmcall_compat;
extern uint32_t long_port64, long_port_compat;
extern uint8_t long_ud[], long_other[];
void long_go(void);

void test_arguments(void);
void test_user(void);
void test_modes(void);
void test_long_mode(void);

#endif
