/*
 * VMI guest programs: entry, exception entry, and what C cannot say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0

        .section .multiboot, "ax"
        .balign 4
        .long   MULTIBOOT_MAGIC
        .long   MULTIBOOT_FLAGS
        .long   -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .text
        .globl  start
start:
        cli
        cld
        mov     $boot_stack_top, %esp
        push    $2
        popf
        push    %ebx                    /* multiboot information */
        call    guest_start
1:      cli
        hlt
        jmp     1b

/*
 * Load the GDT at 4(%esp) and flat kernel segments.  See desc.h.
 */
        .globl  load_gdt
load_gdt:
        mov     4(%esp), %eax
        lgdt    (%eax)
        ljmp    $0x08, $1f
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        ret

/*
 * One entry a vector, 16 bytes apart.  Each pushes an error code, if the
 * processor does not, and its number.
 */
        .balign 16
        .globl  vector_entries
vector_entries:
        vector = 0
        .rept   256
        .balign 16
        .if     !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
        push    $0
        .endif
        push    $vector
        jmp     vector_common
        vector = vector + 1
        .endr

vector_common:
        pusha
        push    %ds
        push    %es
        push    %fs
        push    %gs
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        cld
        push    %esp
        call    handle_vector
        add     $4, %esp
        pop     %gs
        pop     %fs
        pop     %es
        pop     %ds
        popa
        add     $8, %esp
        iret

/*
 * int trap(void (*fn)(void *), void *arg): call fn(arg) and return -1, or
 * the vector if it ends with an exception.
 */
        .globl  trap
trap:
        push    %ebx
        push    %esi
        push    %edi
        push    %ebp
        pushf
        push    trap_stack
        mov     28(%esp), %eax
        mov     32(%esp), %edx
        mov     %esp, trap_stack
        push    %edx
        call    *%eax
        mov     $-1, %eax
trap_end:
        mov     trap_stack, %esp
        pop     trap_stack
        popf
        pop     %ebp
        pop     %edi
        pop     %esi
        pop     %ebx
        ret

/* void trap_jump(int vector): end the innermost trap() with it. */
        .globl  trap_jump
trap_jump:
        mov     4(%esp), %eax
        mov     $0x10, %edx
        mov     %edx, %ds
        mov     %edx, %es
        xor     %edx, %edx
        mov     %edx, %fs
        mov     %edx, %gs
        jmp     trap_end

/*
 * uint64_t vmi_do_call(addr, eax, edx, ecx, stack0, stack1): call the ROM.
 */
        .globl  vmi_do_call
vmi_do_call:
        push    %ebp
        mov     %esp, %ebp
        mov     12(%ebp), %eax
        mov     16(%ebp), %edx
        mov     20(%ebp), %ecx
        push    28(%ebp)
        push    24(%ebp)
        call    *8(%ebp)
        leave
        ret

/*
 * void invoke_asm(struct invoke *): see invoke.h, which has the offsets.
 * All registers are the callee's, so they go by the stack, which is all that
 * can be used while DS and ES are not flat.
 */
        .globl  invoke_asm
invoke_asm:
        push    %ebp
        push    %ebx
        push    %esi
        push    %edi
        pushf
        mov     24(%esp), %eax
        mov     %eax, invoke_state
        mov     %esp, invoke_esp
        push    56(%eax)                /* arguments on the stack */
        push    52(%eax)
        mov     %esp, 44(%eax)          /* what ESP must be afterwards */
        push    0(%eax)
        push    8(%eax)
        push    12(%eax)
        push    4(%eax)
        push    $0
        push    24(%eax)
        push    16(%eax)
        push    20(%eax)
        push    32(%eax)
        cmpl    $0, 48(%eax)
        mov     40(%eax), %edx
        mov     %edx, %ds
        mov     %edx, %es
        je      1f
        popf
        popa
        .globl  invoke_indirect
invoke_indirect:
        call    *%cs:invoke_target
        jmp     2f
1:      popf
        popa
        .globl  invoke_site
invoke_site:
        .byte   0xe8                    /* call rel32, written at run time */
        .globl  invoke_site_target
invoke_site_target:
        .long   0
2:      pushf
        cli
        pusha
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     invoke_state, %eax
        pop     20(%eax)                /* EDI ESI EBP ESP EBX EDX ECX EAX */
        pop     16(%eax)
        pop     24(%eax)
        pop     28(%eax)
        pop     4(%eax)
        pop     12(%eax)
        pop     8(%eax)
        pop     0(%eax)
        pop     32(%eax)
        addl    $4, 28(%eax)            /* as it was before PUSHF */
        mov     invoke_esp, %esp
        popf
        pop     %edi
        pop     %esi
        pop     %ebx
        pop     %ebp
        ret

        .bss
        .balign 16
        .skip   16384
        .globl  boot_stack_top
boot_stack_top:
        .skip   8192
        .globl  entry_stack_top         /* from user mode: TSS.esp0 */
entry_stack_top:
        .skip   8192
        .globl  user_stack_top
user_stack_top:
        .globl  trap_stack
trap_stack:     .long   0
        .globl  invoke_target
invoke_target:  .long   0
invoke_state:   .long   0
invoke_esp:     .long   0

        .section .note.GNU-stack, "", @progbits
