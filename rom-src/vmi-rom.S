/*
 * VMI option ROM
 *
 * Runs in the guest: at the guest's privilege, on its stack, in its address
 * space, from write-protected memory at any multiple of 2 KiB.  So it is
 * position-independent, keeps no state and no absolute address.
 * docs/specs/vmi.rst describes the image; vmi-abi.h has its layout.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define VMI_ABI_ASSEMBLY
#include "vmi-abi.h"

        .text
        .code32

/* Fill with INT3, so that a jump to where nothing is does not go unnoticed. */
.macro at offset
        .org    \offset, 0xcc
.endm

/* The linear address of the image's first byte. */
.macro rom_base reg
        call    .Lhere\@
.Lhere\@:
        pop     \reg
        sub     $(.Lhere\@ - rom), \reg
.endm

        .globl  rom
rom:
/*
 * Header
 */
        .word   VMI_OPTROM_SIGNATURE
        .byte   VMI_ROM_SIZE / 512
        .code16                         /* called once by the firmware */
        xor     %ax, %ax
        lret
        .code32
        at      VMI_HDR_CHECKSUM
        .byte   0                       /* sign-rom.py */
        at      VMI_HDR_SIGNATURE
        .long   VMI_SIGNATURE
        .byte   VMI_API_MINOR
        .byte   VMI_API_MAJOR
        .byte   VMI_MAX_CALLS
        .byte   0
        .long   VMI_DEFAULT_VIRTUAL_TOP
        .word   0
        .word   license - rom
        .word   pcir - rom
        .word   pnp - rom
        .fill   VMI_HDR_INIT - (. - rom), 1, 0
        jmp     vmi_init
        at      VMI_HDR_GET_RELOCATION
        jmp     vmi_get_relocation
        at      VMI_HDR_SIZE

/* PCI data structure: the firmware takes the ROM for the PCI function's. */
        .balign 4
pcir:
        .long   VMI_PCIR_SIGNATURE
        .word   VMI_PCI_VENDOR_ID
        .word   VMI_PCI_DEVICE_ID
        .word   0
        .word   pcir_end - pcir
        .byte   0
        .byte   0, VMI_PCI_CLASS_ID & 0xff, VMI_PCI_CLASS_ID >> 8
        .word   VMI_ROM_SIZE / 512
        .byte   VMI_ROM_VERSION_MINOR
        .byte   VMI_ROM_VERSION_MAJOR
        .byte   0                       /* code type: x86 */
        .byte   0x80                    /* last image */
        .word   0
pcir_end:

/* PnP expansion header: names only, nothing to boot from. */
        .balign 16
pnp:
        .long   VMI_PNP_SIGNATURE
        .byte   0x10                    /* revision 1.0 */
        .byte   (pnp_end - pnp) / 16
        .word   0, 0                    /* no next header; checksum */
        .long   0
        .word   manufacturer - rom
        .word   product - rom
        .byte   0, VMI_PCI_CLASS_ID & 0xff, VMI_PCI_CLASS_ID >> 8
        .byte   0
        .word   0, 0, 0, 0, 0
pnp_end:

license:        .asciz  VMI_LICENSE
manufacturer:   .asciz  VMI_MANUFACTURER
product:        .asciz  VMI_PRODUCT

/*
 * VMI_Init: EAX = 0, or -1.  EAX is left alone where no device listens to
 * the port, hence the test.
 */
        .balign 16
vmi_init:
        push    %edi
        rom_base %eax
        mov     $VMI_ROM_REVISION, %edx
        mov     $VMI_HOST_INIT, %edi
        out     %al, $VMI_PORT
        pop     %edi
        test    %eax, %eax
        jz      1f
        or      $-1, %eax
1:      ret

/*
 * VMI_GetRelocationInfo: EAX = call number; EAX = address, EDX = type.
 * The device answers with an offset in the image and the type.
 */
vmi_get_relocation:
        push    %edi
        xor     %edx, %edx
        mov     $VMI_HOST_RELOCATE, %edi
        out     %al, $VMI_PORT
        pop     %edi
        test    %edx, %edx
        jz      1f
        rom_base %ecx
        add     %ecx, %eax
        ret
1:      xor     %eax, %eax
        ret

/*
 * Native code that does not fit in a slot
 */

/* ECX = where the task register's descriptor says that the TSS is; SS only */
tss_base:
        push    %ebx
        sub     $8, %esp
        sgdt    (%esp)
        mov     2(%esp), %ebx
        add     $8, %esp
        str     %ecx
        and     $0xfff8, %ecx
        add     %ecx, %ebx
        mov     %ss:2(%ebx), %ecx       /* base 23:0 */
        and     $0x00ffffff, %ecx
        mov     %ss:4(%ebx), %ebx       /* base 31:24 */
        and     $0xff000000, %ebx
        or      %ebx, %ecx
        pop     %ebx
        ret

/*
 * UpdateKernelStack.  Linux passes a selector and has written the TSS
 * itself; the specification passes the address of the TSS.  Store only if
 * EAX is where the TSS is.
 */
update_kernel_stack:
        cmp     $0x10000, %eax
        jb      1f
        call    tss_base
        cmp     %ecx, %eax
        jne     1f
        mov     %edx, 4(%eax)           /* esp0 */
1:      ret

#include "vmi-rom-iret.S"

/* SetDR, GetDR: one of eight instructions, 4 bytes each with its RET. */
set_dr:
        rom_base %ecx
        and     $7, %eax
        lea     (set_dr_table - rom)(%ecx, %eax, 4), %ecx
        jmp     *%ecx
get_dr:
        rom_base %ecx
        and     $7, %eax
        lea     (get_dr_table - rom)(%ecx, %eax, 4), %ecx
        jmp     *%ecx

        .balign 4
set_dr_table:
        .irpc   n, 01234567
        mov     %edx, %db\n
        ret
        .endr
get_dr_table:
        .irpc   n, 01234567
        mov     %db\n, %eax
        ret
        .endr

/*
 * FlushTLB with global entries: a change of CR4.PGE flushes all there is.
 * Interrupts are off in between, or a handler would see PGE clear.
 */
flush_global:
        pushf
        cli
        mov     %cr4, %ecx
        mov     %ecx, %edx
        and     $~0x80, %edx
        cmp     %ecx, %edx
        je      1f
        mov     %edx, %cr4
        mov     %ecx, %cr4
        popf
        ret
1:      mov     %cr3, %edx              /* nothing is global without PGE */
        mov     %edx, %cr3
        popf
        ret

/*
 * GetCycleCounter and RDTSC where the device shares what turns the TSC into
 * cycles.  Available time is real time there, and nothing is stolen: the
 * code cannot know the processor that it runs on.  Without usable data the
 * device answers.
 *
 * Cycles are ticks on most hosts, which is the short way; what it cannot do
 * falls through to the long one.
 */
#define SHARED(field) (VMI_ROM_SHARED + VMI_SHARED_ ## field)
read_real:
        push    %ebx
        rom_base %ecx
        mov     SHARED(SEQUENCE)(%ecx), %ebx
        testb   $VMI_SHARED_TICKS, SHARED(FLAGS)(%ecx)
        jz      .Lscaled
        lfence                          /* hosts of KVM have it */
        rdtsc
        sub     SHARED(TSC)(%ecx), %eax
        sbb     SHARED(TSC) + 4(%ecx), %edx
        jb      .Lscaled                      /* this processor's is behind */
        add     SHARED(CYCLES)(%ecx), %eax
        adc     SHARED(CYCLES) + 4(%ecx), %edx
        cmp     SHARED(SEQUENCE)(%ecx), %ebx
        jne     .Lscaled
        test    $1, %bl
        jnz     .Lscaled
        pop     %ebx
        ret
.Lscaled:
        push    %esi
        push    %edi
        push    %ebp
        mov     %ecx, %ebp
.Lagain:
        mov     SHARED(SEQUENCE)(%ebp), %esi
        test    $1, %esi
        jnz     .Lbusy
        testb   $VMI_SHARED_USABLE, SHARED(FLAGS)(%ebp)
        jz      .Lask_host
        lfence
        rdtsc
        sub     SHARED(TSC)(%ebp), %eax
        sbb     SHARED(TSC) + 4(%ebp), %edx
        jae     .Lscale
        xor     %eax, %eax              /* this processor's is behind */
        xor     %edx, %edx
.Lscale:
        movsbl  SHARED(SHIFT)(%ebp), %ecx
        test    %ecx, %ecx
        js      .Lshift_right
        shld    %cl, %eax, %edx
        shl     %cl, %eax
        jmp     .Lmultiply
.Lshift_right:
        neg     %ecx
        shrd    %cl, %edx, %eax
        shr     %cl, %edx
.Lmultiply:
        mov     %edx, %edi
        mull    SHARED(MULTIPLIER)(%ebp)
        mov     %edx, %ebx
        mov     %edi, %eax
        mull    SHARED(MULTIPLIER)(%ebp)
        add     %ebx, %eax
        adc     $0, %edx
        add     SHARED(CYCLES)(%ebp), %eax
        adc     SHARED(CYCLES) + 4(%ebp), %edx
        cmp     SHARED(SEQUENCE)(%ebp), %esi
        jne     .Lagain
        pop     %ebp
        pop     %edi
        pop     %esi
        pop     %ebx
        ret
.Lbusy:
        pause
        jmp     .Lagain
.Lask_host:
        pop     %ebp
        mov     $VMI_CYCLES_REAL, %eax
        mov     $VMI_CALL_GetCycleCounter, %edi
        out     %al, $VMI_PORT
        pop     %edi
        pop     %esi
        pop     %ebx
        ret

        at      VMI_ROM_AP_ENTRY_A
        at      VMI_ROM_AP_ENTRY_A + VMI_ROM_AP_ENTRY_SIZE
        at      VMI_ROM_AP_ENTRY_B
        at      VMI_ROM_AP_ENTRY_B + VMI_ROM_AP_ENTRY_SIZE

/*
 * Native slots.  Arguments: EAX, EDX, ECX, 4(%esp).
 */
.macro slot call
        at      (VMI_ROM_NATIVE_SLOTS + VMI_CALL_\call * VMI_ROM_SLOT_SIZE)
.endm

        slot    CPUID
        cpuid
        ret

        slot    WRMSR
        wrmsr
        ret

        slot    RDMSR
        rdmsr
        ret

        slot    SetGDT
        lgdt    (%eax)
        ret

        slot    SetLDT
        lldt    %ax
        ret

        slot    SetIDT
        lidt    (%eax)
        ret

        slot    SetTR
        ltr     %ax
        ret

        slot    GetGDT
        sgdt    (%eax)
        ret

        slot    GetLDT
        sldt    %eax
        ret

        slot    GetIDT
        sidt    (%eax)
        ret

        slot    GetTR
        str     %eax
        ret

        .irp    call, WriteGDTEntry, WriteLDTEntry, WriteIDTEntry
        slot    \call
        mov     %ecx, (%eax, %edx, 8)
        mov     4(%esp), %ecx
        mov     %ecx, 4(%eax, %edx, 8)
        ret
        .endr

        slot    UpdateKernelStack
        jmp     update_kernel_stack

        slot    SetCR0
        mov     %eax, %cr0
        ret

        slot    SetCR2
        mov     %eax, %cr2
        ret

        slot    SetCR3
        mov     %eax, %cr3
        ret

        slot    SetCR4
        mov     %eax, %cr4
        ret

        slot    GetCR0
        mov     %cr0, %eax
        ret

        slot    GetCR2
        mov     %cr2, %eax
        ret

        slot    GetCR3
        mov     %cr3, %eax
        ret

        slot    GetCR4
        mov     %cr4, %eax
        ret

        slot    WBINVD
        wbinvd
        ret

        slot    SetDR
        jmp     set_dr

        slot    GetDR
        jmp     get_dr

        slot    RDPMC
        rdpmc
        ret

        slot    RDTSC
        jmp     read_real

        slot    CLTS
        clts
        ret

/* Nothing but flags changes here, and only the stack is touched (CS/SS). */
        slot    EnableInterrupts
        sti
        ret

        slot    DisableInterrupts
        cli
        ret

        slot    GetInterruptMask
        pushf
        pop     %eax
        and     $VMI_INTERRUPT_ENABLED, %eax
        ret

        slot    SetInterruptMask
        test    $(VMI_INTERRUPT_ENABLED >> 8), %ah
        jz      1f
        sti
        ret
1:      cli
        ret

        slot    IRET
        testb   $NT_BYTE_1, S_EFLAGS - S_RET + 1(%esp)
        jnz     1f
        cmpw    $LINUX_USER_CS, S_CS - S_RET(%esp)
        jne     1f
        cmpw    $LINUX_USER_DS, S_SS - S_RET(%esp)
        jne     1f
        add     $4, %esp
        iret
1:      jmp     iret_other

/* The instruction after STI is not interrupted: one step. */
        slot    SYSEXIT
        sti
        sysexit

        slot    Halt
        sti
        hlt
        ret

        slot    SetPxE
        mov     %eax, (%edx)
        ret

/* One 64-bit store: another processor never sees half an entry. */
        slot    SetPxELong
        push    %ebx
        push    %esi
        mov     %ecx, %esi
        mov     %eax, %ebx
        mov     %edx, %ecx
        mov     (%esi), %eax
        mov     4(%esi), %edx
1:      lock cmpxchg8b (%esi)
        jnz     1b
        pop     %esi
        pop     %ebx
        ret

        slot    UpdatePxE
        ret

        slot    UpdatePxELong
        ret

        slot    MachineToPhysical
        ret

        slot    PhysicalToMachine
        ret

        slot    AllocatePage
        ret

        slot    ReleasePage
        ret

        slot    InvalPage
        invlpg  (%eax)
        ret

        slot    FlushTLB
        test    $VMI_FLUSH_GLOBAL, %al
        jnz     flush_global
        test    $VMI_FLUSH_TLB, %al
        jz      1f
        mov     %cr3, %eax
        mov     %eax, %cr3
1:      ret

        slot    SetLinearMapping
        ret

/* IF is as it was: POPF restores what PUSHF saw. */
        slot    SetIOPLMask
        and     $0x3000, %eax
        pushf
        andl    $~0x3000, (%esp)
        or      %eax, (%esp)
        popf
        ret

        slot    IODelay
        ret

        slot    GetCycleCounter
        cmp     $VMI_CYCLES_AVAILABLE, %eax
        jbe     read_real
        xor     %eax, %eax
        xor     %edx, %edx
        ret

        slot    SetLazyMode
        ret

/*
 * Host call slots: the two stack arguments go to EBX and ESI.
 */
.macro host_call stack, saved, call:vararg
        .if     \stack > 0
        push    %ebx
        mov     (\saved + 8)(%esp), %ebx
        .endif
        .if     \stack > 1
        push    %esi
        mov     (\saved + 16)(%esp), %esi
        .endif
        \call
        .if     \stack > 1
        pop     %esi
        .endif
        .if     \stack > 0
        pop     %ebx
        .endif
.endm

.macro do_vmcall nr
        vmcall
        .byte   \nr
.endm

.macro vmcall_slot nr, stack
        at      (VMI_ROM_VMCALL_SLOTS + \nr * VMI_ROM_SLOT_SIZE)
        host_call \stack, 0, do_vmcall \nr
        ret
.endm

.macro port_slot nr, stack
        at      (VMI_ROM_PORT_SLOTS + \nr * VMI_ROM_SLOT_SIZE)
        push    %edi
        mov     $\nr, %edi
        host_call \stack, 4, out %al, $VMI_PORT
        pop     %edi
        ret
.endm

#define VMI_CALL(nr, name, group, args, stack, tcg, kvm, place, handler) \
        vmcall_slot nr, stack ;
#include "vmi-calls.h.inc"

#define VMI_CALL(nr, name, group, args, stack, tcg, kvm, place, handler) \
        port_slot nr, stack ;
#include "vmi-calls.h.inc"

        .org    VMI_ROM_SHARED, 0xcc
        .fill   VMI_ROM_SHARED_SIZE, 1, 0
        .org    VMI_ROM_SIZE, 0xcc
