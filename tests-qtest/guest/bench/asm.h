/*
 * The bench program: what asm.S and cpu.c share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_BENCH_ASM_H
#define GUEST_BENCH_ASM_H

#define BENCH_ASM_UNROLL 8          /* system calls in an iteration */

#ifndef VMI_ABI_ASSEMBLY
#include "libc.h"

/* User mode: EAX iterations, ended by INT3 */
extern uint8_t bench_user_int80[], bench_user_sysenter[];
/* The same in the kernel; returns */
void bench_kernel_int80(unsigned n);

/* What they enter: nothing but the return, as each kind does it */
extern uint8_t bench_iret_native[], bench_iret_call[], bench_iret_pointer[];
extern uint8_t bench_sysexit_native[], bench_sysexit_call[];
extern uint8_t bench_sysexit_pointer[];
#endif

#endif
