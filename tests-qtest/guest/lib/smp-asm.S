/*
 * Where application processors start
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .text
        .globl  ap_entry
ap_entry:
        mov     %eax, %ss:ap_seen
        mov     %ebx, %ss:ap_seen + 4
        mov     %ecx, %ss:ap_seen + 8
        mov     %edx, %ss:ap_seen + 12
        mov     %esi, %ss:ap_seen + 16
        mov     %edi, %ss:ap_seen + 20
        mov     %ebp, %ss:ap_seen + 24
        mov     %esp, %ss:ap_seen + 28
        pushf
        pop     %ss:ap_seen + 32
        cld
        mov     %cs, %eax
        mov     %eax, %ss:ap_seen + 36
        mov     %ss, %eax
        mov     %eax, %ss:ap_seen + 40
        mov     %ds, %eax
        mov     %eax, %ss:ap_seen + 44
        mov     %es, %eax
        mov     %eax, %ss:ap_seen + 48
        mov     %fs, %eax
        mov     %eax, %ss:ap_seen + 52
        mov     %gs, %eax
        mov     %eax, %ss:ap_seen + 56
        sldt    %eax
        mov     %eax, %ss:ap_seen + 60
        mov     %cr0, %eax
        mov     %eax, %ss:ap_seen + 64
        mov     %cr2, %eax
        mov     %eax, %ss:ap_seen + 68
        mov     %cr3, %eax
        mov     %eax, %ss:ap_seen + 72
        mov     %cr4, %eax
        mov     %eax, %ss:ap_seen + 76
        sgdt    %ss:ap_seen + 80
        sidt    %ss:ap_seen + 86
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        call    ap_main
1:      cli
        hlt
        jmp     1b

/* Copied to page 20h: counts at 20800h that it was started */
        .code16
        .globl  real_mode_code, real_mode_end
real_mode_code:
        mov     %cs, %ax
        mov     %ax, %ds
        lock incl 0x800
1:      cli
        hlt
        jmp     1b
real_mode_end:

        .section .note.GNU-stack, "", @progbits
