/*
 * VMI guest programs: call the ROM with all registers chosen and seen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_INVOKE_H
#define GUEST_INVOKE_H

#include "libc.h"

/* start.S knows the offsets. */
typedef struct Invoke {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp;
    uint32_t esp;               /* out */
    uint32_t eflags;
    uint32_t unused;
    uint32_t ds_es;             /* selector in DS and ES during the call */
    uint32_t esp_before;        /* out: what ESP must be */
    uint32_t by_pointer;        /* else by a patched call site */
    uint32_t stack[2];          /* arguments */
} Invoke;

/* Registers come back in @s. */
void invoke(Invoke *s, uint32_t target);

/* VMCALL with any number, as the ROM has it but from the program's code */
void invoke_vmcall(Invoke *s, uint8_t nr);

/* A write to the VMI port, with EDI as in @s */
void invoke_port(Invoke *s);

void invoke_asm(Invoke *s);
extern uint8_t invoke_site[];
extern uint8_t invoke_indirect[];
extern uint32_t invoke_target;

#endif
