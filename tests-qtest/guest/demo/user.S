/*
 * VMI demo guest: into user mode by the ROM's IRET and SYSEXIT, and back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define USER_CS 0x1b
#define USER_DS 0x23

/* What demo_leave goes back with; EAX and EDX get the arguments */
        .macro  prepare_to_enter
        push    %ebp
        push    %ebx
        push    %esi
        push    %edi
        mov     20(%esp), %eax
        mov     24(%esp), %edx
        mov     %esp, leave_stack
        mov     $USER_DS, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        .endm

        .text

/* uint32_t demo_enter_iret(uint32_t iret, const char *eip); iret 0: native */
        .globl  demo_enter_iret
demo_enter_iret:
        prepare_to_enter
        push    $USER_DS
        push    $user_stack_top
        push    $0x202
        push    $USER_CS
        push    %edx
        test    %eax, %eax
        jz      1f
        call    *%eax
1:      iret

/* uint32_t demo_enter_sysexit(uint32_t sysexit, const char *eip) */
        .globl  demo_enter_sysexit
demo_enter_sysexit:
        prepare_to_enter
        mov     $user_stack_top, %ecx
        test    %eax, %eax
        jz      1f
        jmp     *%eax
1:      sti
        sysexit

/* void demo_leave(uint32_t result): back to who entered user mode */
        .globl  demo_leave
demo_leave:
        mov     4(%esp), %eax
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     leave_stack, %esp
        pop     %edi
        pop     %esi
        pop     %ebx
        pop     %ebp
        ret

/* In user mode: EAX = CS says where the code has run. */
        .globl  demo_user_int80
demo_user_int80:
        mov     %cs, %eax
        pushf
        pop     %ebx
        int     $0x80
        ud2

        .globl  demo_user_sysenter
demo_user_sysenter:
        mov     %cs, %eax
        pushf
        pop     %ebx
        sysenter
        ud2

        .globl  demo_sysenter_entry
demo_sysenter_entry:
        push    %eax
        call    demo_leave

        .bss
leave_stack:    .long   0

        .section .note.GNU-stack, "", @progbits
