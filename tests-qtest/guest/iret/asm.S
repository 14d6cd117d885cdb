/*
 * The iret program: ways to get into the ROM's IRET and SYSEXIT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .text

/*
 * void iret_go(struct IretTest *): load everything and go; see iret.h.
 * Returns if the kernel's landing is reached.
 */
        .globl  iret_go
iret_go:
        push    %ebp
        push    %ebx
        push    %esi
        push    %edi
        mov     20(%esp), %edx
        mov     %edx, iret_test
        mov     %esp, iret_esp
        mov     32(%edx), %ecx          /* words of the frame */
        mov     76(%edx), %eax
        test    %eax, %eax              /* another stack for it */
        jz      1f
        mov     %eax, %esp
1:      jecxz   3f
2:      push    36(%edx, %ecx, 4)       /* from the last, at 40 */
        loop    2b
3:      mov     %esp, iret_frame
        mov     28(%edx), %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %ss:0(%edx), %eax
        mov     %ss:4(%edx), %ebx
        mov     %ss:8(%edx), %ecx
        mov     %ss:16(%edx), %esi
        mov     %ss:20(%edx), %edi
        mov     %ss:24(%edx), %ebp
        mov     %ss:12(%edx), %edx
        jmp     *%cs:iret_method

/* The methods.  Those that are patched are written by main.c. */
        .globl  iret_by_call, iret_by_call_eax, iret_by_call_memory
        .globl  iret_by_call_base, iret_by_call_index, iret_by_jmp
        .globl  iret_by_jmp_memory, iret_native, sysexit_native
iret_by_call:
        .byte   0xe8
        .long   0
        ud2
iret_by_call_eax:
        call    *%eax
        ud2
iret_by_call_memory:
        call    *iret_address
        ud2
iret_by_call_base:
        call    *8(%ebx)
        ud2
iret_by_call_index:
        call    *(%ebx, %esi, 4)
        ud2
iret_by_jmp:
        .byte   0xe9
        .long   0
iret_by_jmp_memory:
        jmp     *%cs:iret_address
iret_native:
        iret
sysexit_native:
        sti
        sysexit

/* In the kernel: save everything where iret.h says. */
        ud2
        .globl  iret_landing
iret_landing:
        pushf
        cli
        pusha
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %esp, %esi
        mov     $iret_result, %edi
        mov     $9, %ecx
        cld
        rep movsl
        mov     iret_esp, %esp
        pop     %edi
        pop     %esi
        pop     %ebx
        pop     %ebp
        ret

/* The same, where an indirect call stands before the landing */
        call    *%eax
        .globl  iret_landing_after_call
iret_landing_after_call:
        jmp     iret_landing

/* In user mode: leave by the system call, which shows all registers. */
        ud2
        .globl  iret_user_landing
iret_user_landing:
        int     $0x80
        ud2
        .globl  iret_user_sysenter
iret_user_sysenter:
        sysenter
        ud2

        .globl  iret_sysenter_entry
iret_sysenter_entry:
        push    %ecx
        push    %edx
        pushf
        cli
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        pop     iret_result
        push    $0x100
        call    trap_jump

        .bss
        .balign 4
        .globl  iret_result, iret_address, iret_method, iret_frame, iret_test
iret_result:    .skip   36
iret_address:   .long   0
iret_method:    .long   0
iret_frame:     .long   0
iret_test:      .long   0
iret_esp:       .long   0

        .section .note.GNU-stack, "", @progbits
