/*
 * The modes program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_MODES_H
#define GUEST_MODES_H

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

/* Calls, or not, that the modes program makes: each number of a byte */
#define NUMBERS 256

/* smm.c: assembly, and what it has seen */
extern uint8_t smm_entry[], smm_entry_end[], smm_ud[], smm_other[];
extern TablePointer smm_gdtr, smm_idtr;
extern uint32_t smm_undefined, smm_relocation[2], smm_init[2], smm_runs;
extern uint32_t smm_rom;

void test_smm(void);

#endif
