/*
 * The fuzz program: bytes of an input, and what they choose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_INPUT_H
#define GUEST_INPUT_H

#include "libc.h"

void input_init(void);          /* once, with paging as it will be */
void input_start(const uint8_t *bytes, uint32_t size);
uint32_t input_left(void);
void input_repeat(void);        /* from its start again; once */

extern uint8_t input_landing[];         /* a system call */
extern uint8_t input_asleep[];          /* a CPU that does nothing */

/* 0 when there are no more */
uint8_t input_byte(void);
uint32_t input_word(void);

/* A value that a call might take; drivers/fuzz.py writes some */
uint32_t input_arg(void);
uint32_t input_target(void);            /* where IRET goes */
uint8_t input_call(void);       /* a call number, mostly one that is served */
uint16_t input_selector(void);
uint32_t input_first_space(void);       /* CR3 */

#endif
