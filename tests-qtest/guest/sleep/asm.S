/*
 * The sleep program: into ACPI S3, and back from where the firmware jumps to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define VMI_ABI_ASSEMBLY
#include "sleep.h"

        .text

/*
 * void sleep_until_woken(uint16_t port, uint16_t value): a store that sleeps
 *
 * QEMU loads a multiboot kernel again when the machine wakes up, as at any
 * reset.  So all of it is copied to IMAGE_COPY, and back.
 */
#define IMAGE      0x00100000
#define IMAGE_COPY 0x01c00000
        .globl  sleep_until_woken
sleep_until_woken:
        mov     4(%esp), %edx
        mov     8(%esp), %eax
        pusha
        pushf
        sidt    saved_idt
        sgdt    saved_gdt
        mov     %cr3, %ecx
        mov     %ecx, saved_cr3
        mov     %cr4, %ecx
        mov     %ecx, saved_cr4
        mov     %cr0, %ecx
        mov     %ecx, saved_cr0
        mov     %esp, saved_esp
        mov     $IMAGE, %esi
        mov     $IMAGE_COPY, %edi
        mov     $guest_end, %ecx
        sub     %esi, %ecx
        cld
        rep movsb
        outw    %ax, %dx
1:      cli
        hlt
        jmp     1b

/* In 32-bit mode again, without paging; addresses are physical ones */
woken:
        mov     $0x10, %eax
        mov     %eax, %ss
        mov     saved_esp, %esp
        push    $saved_gdt
        call    load_gdt
        add     $4, %esp
        mov     saved_cr4, %eax
        mov     %eax, %cr4
        mov     saved_cr3, %eax
        mov     %eax, %cr3
        mov     saved_cr0, %eax
        mov     %eax, %cr0
        jmp     1f
1:      lidt    saved_idt
        popf
        popa
        ret

/* Copied to a page below 1 MiB, which the firmware jumps to in real mode */
        .code16
        .globl  wake_code, wake_end
wake_code:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   wake_table - wake_code
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $0x08, $WAKE_ADDRESS + 1f - wake_code
        .code32
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     $IMAGE_COPY, %esi
        mov     $IMAGE, %edi
        mov     $guest_end, %ecx
        sub     %edi, %ecx
        rep movsb
        mov     $woken, %eax
        jmp     *%eax
        .balign 8
wake_gdt:
        .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
wake_table:
        .word   wake_table - wake_gdt - 1
        .long   WAKE_ADDRESS + wake_gdt - wake_code
wake_end:

        .bss
        .balign 4
saved_cr0:      .long   0
saved_cr3:      .long   0
saved_cr4:      .long   0
saved_esp:      .long   0
saved_idt:      .word   0
                .long   0
saved_gdt:      .word   0
                .long   0

        .section .note.GNU-stack, "", @progbits
