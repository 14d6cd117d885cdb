/*
 * The calls program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "vmi.h"

/* How calls are made now: "by call" from a patched site, or "by pointer" */
extern bool calls_by_pointer;
const char *calls_how(void);

/* Skips what the device has switched off. */
bool calls_served(unsigned nr);

/*
 * Make a call with known values in all registers, and report whether it
 * kept what the table says.  @in: EAX, EDX, ECX, stack; may be NULL.
 */
Invoke calls_make(unsigned nr, const uint32_t in[5]);

/* The same without reports, for calls made often */
Invoke calls_make_quiet(unsigned nr, const uint32_t in[5]);
#define ARGS(...) ((const uint32_t [5]) { __VA_ARGS__ })

void test_cpu_calls(void);
void test_table_calls(void);
void test_irq_calls(void);
void test_mmu_calls(void);
void test_other_calls(void);

#endif
