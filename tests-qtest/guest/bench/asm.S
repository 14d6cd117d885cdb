/*
 * Bench: kernel entry and exit
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define VMI_ABI_ASSEMBLY
#include "vmi-abi.h"
#include "asm.h"

/* As BENCH_SITE() in bench.h */
.macro vmi_site call
771:    ud2
        nop
        nop
        nop
        .pushsection vmi_sites, "a"
        .long   771b, VMI_CALL_\call
        .popsection
.endm

.macro vmi_pointer call
        call    *vmi_address + 4 * VMI_CALL_\call
.endm

        .text
        .globl  bench_user_int80
bench_user_int80:
        .rept   BENCH_ASM_UNROLL
        int     $0x80
        .endr
        dec     %eax
        jnz     bench_user_int80
        int3

        .globl  bench_kernel_int80
bench_kernel_int80:
        mov     4(%esp), %eax
1:      .rept   BENCH_ASM_UNROLL
        int     $0x80
        .endr
        dec     %eax
        jnz     1b
        ret

        .globl  bench_user_sysenter
bench_user_sysenter:
        .rept   BENCH_ASM_UNROLL
        mov     %esp, %ecx
        mov     $1f, %edx
        sysenter
1:
        .endr
        dec     %eax
        jnz     bench_user_sysenter
        int3

        .globl  bench_iret_native, bench_iret_call, bench_iret_pointer
bench_iret_native:
        iret
bench_iret_call:
        vmi_site IRET
bench_iret_pointer:
        vmi_pointer IRET

        .globl  bench_sysexit_native, bench_sysexit_call
        .globl  bench_sysexit_pointer
bench_sysexit_native:
        sti
        sysexit
bench_sysexit_call:
        vmi_site SYSEXIT
bench_sysexit_pointer:
        vmi_pointer SYSEXIT

        .section .note.GNU-stack, "", @progbits
