/*
 * VMI option ROM: IRET; part of vmi-rom.S
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * IRET.  A fault has to have EIP at the guest's call, where the exception
 * table of Linux has it, and a user program can bring one about.  So what the
 * instruction would check is checked ahead, and the exception raised from
 * here, as if at the call.  One check is left to the instruction: that the DPL
 * of a conforming code segment is not above the RPL of its selector.  It can
 * fail only for a selector of ring 1 or 2, which no client uses.
 *
 * Frames for the kernel's own code, and for the selectors of Linux' user mode,
 * are not checked: they never fault.  A frame with NT is, for NT may be set now
 * as well.  It comes from the user, by SYSENTER, which does not clear it; Linux
 * then has it in the frame, too.
 *
 * DS and ES are the user's by now.
 */
#define LINUX_USER_CS 0x73
#define LINUX_USER_DS 0x7b
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define FLAGS_NT_TF 0x4100
#define NT_BYTE_1 0x40                  /* EFLAGS.NT, in its second byte */
#define VM_BYTE_2 0x02                  /* EFLAGS.VM, in its third byte */
#define DESC_PRESENT 0x8000
#define DESC_BIG 0x400000
#define DESC_CODE_OR_DATA 0x1000
#define DESC_CODE 0x0800
#define DESC_CONFORMING 0x0400
#define DESC_WRITABLE 0x0200            /* of data */
#define DESC_DPL_SHIFT 13
#define GATE_MASK 0x9e00                /* present, interrupt or trap gate */
#define GATE_32 0x8e00
#define GATE_TRAP 0x0100
        .struct 0                       /* the stack, once all is pushed */
S_EDX:          .skip 4
S_ECX:          .skip 4
S_EAX:          .skip 4
S_LIVE_FLAGS:   .skip 4
S_RET:          .skip 4
S_EIP:          .skip 4
S_CS:           .skip 4
S_EFLAGS:       .skip 4
S_ESP:          .skip 4
S_SS:           .skip 4
        .text
iret_other:
        testb   $3, S_CS - S_RET(%esp)
        jnz     1f
        add     $4, %esp
        iret
1:      pushf
        push    %eax
        push    %ecx
        push    %edx
        testb   $NT_BYTE_1, S_LIVE_FLAGS + 1(%esp)
        jnz     iret_task
        testb   $VM_BYTE_2, S_EFLAGS + 2(%esp)
        jnz     iret_carry_out

        movzwl  S_CS(%esp), %ecx
        test    $0xfffc, %ecx
        jz      iret_gp_0
        lar     %ecx, %eax              /* fails if DPL < RPL, too */
        jnz     iret_gp
        mov     %eax, %edx
        and     $(DESC_CODE_OR_DATA | DESC_CODE), %edx
        cmp     $(DESC_CODE_OR_DATA | DESC_CODE), %edx
        jne     iret_gp
        test    $DESC_CONFORMING, %eax
        jnz     1f
        mov     %eax, %edx
        shr     $DESC_DPL_SHIFT, %edx
        xor     %ecx, %edx
        test    $3, %dl
        jnz     iret_gp
1:      mov     $VECTOR_NP, %edx
        test    $DESC_PRESENT, %eax
        jz      iret_raise

        movzwl  S_SS(%esp), %ecx
        test    $0xfffc, %ecx
        jz      iret_gp_0
        mov     S_CS(%esp), %edx
        xor     %ecx, %edx
        test    $3, %dl
        jnz     iret_gp
        lar     %ecx, %eax
        jnz     iret_gp
        mov     %eax, %edx
        and     $(DESC_CODE_OR_DATA | DESC_CODE | DESC_WRITABLE), %edx
        cmp     $(DESC_CODE_OR_DATA | DESC_WRITABLE), %edx
        jne     iret_gp
        mov     %eax, %edx
        shr     $DESC_DPL_SHIFT, %edx
        xor     %ecx, %edx
        test    $3, %dl
        jnz     iret_gp
        mov     $VECTOR_SS, %edx
        test    $DESC_PRESENT, %eax
        jz      iret_raise

        movzwl  S_CS(%esp), %ecx
        lsl     %ecx, %eax
        cmp     %eax, S_EIP(%esp)
        jbe     iret_stack
iret_gp_0:
        xor     %ecx, %ecx
iret_gp:
        mov     $VECTOR_GP, %edx
        jmp     iret_raise

/*
 * To a 16-bit stack the instruction loads SP, and the user would see the high
 * half of the kernel's ESP.  The device carries such a return out.  One that
 * does not know of it returns here, with EAX and EDX changed.
 */
iret_stack:
        movzwl  S_SS(%esp), %ecx
        lar     %ecx, %eax
        test    $DESC_BIG, %eax
        jnz     iret_carry_out
        push    %edi
        mov     $VMI_HOST_IRET, %edi
        out     %al, $VMI_PORT
        pop     %edi
        jmp     iret_carry_out

iret_task:                              /* back to a task, if there is one */
        call    tss_base
        cmpw    $0, %ss:(%ecx)
        jne     iret_carry_out
        xor     %ecx, %ecx
        mov     $VECTOR_TS, %edx

/*
 * ECX selector that is at fault, or 0; EDX vector.  The exception's frame is
 * built below the one that IRET was given, where all is that was pushed.  What
 * cannot be done like this, the instruction does.
 */
#define MOVED 12
iret_raise:
        and     $0xfffc, %ecx
        push    %ecx
        sub     $8, %esp
        sidt    (%esp)
        movzwl  (%esp), %eax            /* limit */
        mov     2(%esp), %ecx           /* base */
        add     $8, %esp
        lea     7(, %edx, 8), %edx
        cmp     %eax, %edx
        ja      1f
        lea     -7(%ecx, %edx), %ecx    /* the gate */
        mov     %ss:4(%ecx), %eax
        and     $GATE_MASK, %eax
        cmp     $GATE_32, %eax
        jne     1f
        mov     %cs, %eax
        cmp     %ax, %ss:2(%ecx)
        jne     1f
        mov     4 + S_RET(%esp), %eax
        cmpb    $0xe8, %cs:-5(%eax)       /* call rel32 */
        jne     1f
        pop     %eax                    /* error code */

        push    S_EAX(%esp)
        push    4 + S_ECX(%esp)
        push    8 + S_EDX(%esp)
        mov     %eax, MOVED + S_ECX(%esp)
        mov     MOVED + S_RET(%esp), %eax
        sub     $5, %eax
        mov     %eax, MOVED + S_EAX(%esp)               /* EIP */
        mov     MOVED + S_LIVE_FLAGS(%esp), %eax
        mov     %eax, MOVED + S_RET(%esp)               /* EFLAGS */
        mov     %cs, %edx
        mov     %edx, MOVED + S_LIVE_FLAGS(%esp)        /* CS */
        mov     %ss:4(%ecx), %edx
        and     $~FLAGS_NT_TF, %eax
        test    $GATE_TRAP, %edx
        jnz     2f
        and     $~VMI_INTERRUPT_ENABLED, %eax
2:      mov     %ss:(%ecx), %dx
        mov     %edx, MOVED + S_EDX(%esp)               /* handler */
        push    %eax
        popf
        pop     %edx
        pop     %ecx
        pop     %eax
        ret
1:      pop     %eax
iret_carry_out:
        pop     %edx
        pop     %ecx
        pop     %eax
        add     $8, %esp
        iret
