/*
 * VMware Virtual Machine Interface (VMI), API 3.0
 *
 * The guest ABI and the interface between the option ROM and the device,
 * written once: the device model, the option ROM (assembly), the qtests and
 * the guest programs all include this file.  docs/specs/vmi.rst explains it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VMI_ABI_H
#define HW_VMI_ABI_H

/*
 * PCI identity.  The guest does not look at it, but users and management
 * tools do: "Memory controller: VMware Inc Virtual Machine Interface".
 */
#define VMI_PCI_VENDOR_ID           0x15ad
#define VMI_PCI_DEVICE_ID           0x0801
#define VMI_PCI_CLASS_ID            0x0580
#define VMI_PCI_REVISION            0x01

/* Where a guest looks for the ROM, in steps of VMI_ROM_ALIGN bytes. */
#define VMI_ROM_SEARCH_START        0xc0000
#define VMI_ROM_SEARCH_END          0xe0000
#define VMI_ROM_ALIGN               0x800

/* ROM header: offsets in bytes, all fields little-endian. */
#define VMI_HDR_OPTROM_SIGNATURE    0       /* u16, VMI_OPTROM_SIGNATURE */
#define VMI_HDR_ROM_BLOCKS          2       /* u8, length in 512-byte blocks */
#define VMI_HDR_REAL_MODE_ENTRY     3       /* 4 bytes of 16-bit code */
#define VMI_HDR_CHECKSUM            7       /* u8, makes the byte sum 0 */
#define VMI_HDR_SIGNATURE           8       /* u32, VMI_SIGNATURE */
#define VMI_HDR_API_MINOR           12      /* u8 */
#define VMI_HDR_API_MAJOR           13      /* u8 */
#define VMI_HDR_JUMP_SLOTS          14      /* u8, call numbers answered */
#define VMI_HDR_VIRTUAL_TOP         16      /* u32, linear address */
#define VMI_HDR_LICENSE_OFFSET      22      /* u16, to a C string */
#define VMI_HDR_PCIR_OFFSET         24      /* u16 */
#define VMI_HDR_PNP_OFFSET          26      /* u16 */
#define VMI_HDR_INIT                128     /* VMI_Init entry, 8 bytes */
#define VMI_HDR_GET_RELOCATION      136     /* VMI_GetRelocationInfo, 8 bytes */
#define VMI_HDR_SIZE                144

#define VMI_OPTROM_SIGNATURE        0xaa55
#define VMI_SIGNATURE               0x696d5663      /* "cVmi" */
#define VMI_PCIR_SIGNATURE          0x52494350      /* "PCIR" */
#define VMI_PNP_SIGNATURE           0x506e5024      /* "$PnP" */
#define VMI_API_MAJOR               3
#define VMI_API_MINOR               0
#define VMI_ROM_VERSION_MAJOR       1
#define VMI_ROM_VERSION_MINOR       0
#define VMI_MAX_CALLS               128     /* call numbers a guest may ask */
#define VMI_DEFAULT_VIRTUAL_TOP     0xfc000000

/* Offsets in the PCI data structure and the PnP expansion header. */
#define VMI_PCIR_VENDOR             4       /* u16 */
#define VMI_PCIR_DEVICE             6       /* u16 */
#define VMI_PCIR_ROM_MINOR          0x12    /* u8 */
#define VMI_PCIR_ROM_MAJOR          0x13    /* u8 */
#define VMI_PNP_CHECKSUM            9       /* u8, makes the byte sum 0 */
#define VMI_PNP_MANUFACTURER        14      /* u16, offset of a C string */
#define VMI_PNP_PRODUCT             16      /* u16, offset of a C string */

#define VMI_LICENSE                 "GPL v2"
#define VMI_MANUFACTURER            "VMware, Inc."
#define VMI_PRODUCT                 "Hypervisor OPROM"

/* Relocation types: EDX of VMI_GetRelocationInfo, low byte. */
#define VMI_RELOCATION_NONE         0
#define VMI_RELOCATION_CALL_REL     1
#define VMI_RELOCATION_JUMP_REL     2
#define VMI_RELOCATION_NOP          3

/* Page flags of calls 38 to 41 (SetPxE...) and 44, 45 (Allocate/ReleasePage) */
#define VMI_PAGE_PT                 0x01
#define VMI_PAGE_PD                 0x02
#define VMI_PAGE_PDP                0x04
#define VMI_PAGE_PML4               0x08
#define VMI_PAGE_PAE                0x10    /* Allocate/ReleasePage */
#define VMI_PAGE_CLONE              0x20
#define VMI_PAGE_ZEROED             0x40
#define VMI_PAGE_CURRENT_AS         0x10    /* SetPxE, UpdatePxE */
#define VMI_PAGE_DEFER              0x20

/* FlushTLB */
#define VMI_FLUSH_TLB               0x01
#define VMI_FLUSH_GLOBAL            0x02

/* SetLazyMode */
#define VMI_LAZY_NONE               0
#define VMI_LAZY_MMU                1
#define VMI_LAZY_CPU                2

/* GetInterruptMask and SetInterruptMask: EFLAGS.IF */
#define VMI_INTERRUPT_ENABLED       0x200

/* Reboot */
#define VMI_REBOOT_SOFT             0
#define VMI_REBOOT_HARD             1

/* GetCycleCounter; SetAlarm and CancelAlarm in bits 0 to 7 of the flags */
#define VMI_CYCLES_REAL             0
#define VMI_CYCLES_AVAILABLE        1
#define VMI_CYCLES_STOLEN           2

/* SetAlarm and CancelAlarm flags */
#define VMI_ALARM_COUNTER_MASK      0x000000ff
#define VMI_ALARM_PERIODIC          0x00000100
#define VMI_ALARM_LVTT              0x00010000      /* else IRQ 0 */

/*
 * Limits of the cycle frequency, in Hz.  Linux computes (Hz / 1000 << 22)
 * / 10^6 (clock event) and (10^6 << 22) / (Hz / 1000) (clock source) in
 * 32 bits, so both results must fit.
 */
#define VMI_MIN_CYCLE_FREQUENCY     1000000
#define VMI_MAX_CYCLE_FREQUENCY     1023999999999

/*
 * The ROM and the device.  What follows is frozen: a running guest keeps
 * ROM addresses in its code, and a migrated guest keeps the ROM that it was
 * started with.  See "What a guest freezes" in docs/specs/vmi.rst.
 *
 * The image is always VMI_ROM_SIZE bytes.  A call has one slot in each of
 * three tables: plain instructions, VMCALL (TCG), port write (KVM).  The
 * device chooses the table for each call when the guest asks for it.
 */
#define VMI_ROM_SIZE                0x4000
#define VMI_ROM_REVISION            1       /* of this interface */

/*
 * Reserved for starting a processor under KVM, which needs a page-aligned
 * real-mode entry: the image is 2 KiB aligned, so one of the two is aligned.
 */
#define VMI_ROM_AP_ENTRY_A          0x0800
#define VMI_ROM_AP_ENTRY_B          0x1000
#define VMI_ROM_AP_ENTRY_SIZE       0x0080

#define VMI_ROM_SLOTS               80      /* calls above are unassigned */
#define VMI_ROM_SLOT_SIZE           32
#define VMI_ROM_NATIVE_SLOTS        0x1400
#define VMI_ROM_VMCALL_SLOTS        0x2000
#define VMI_ROM_PORT_SLOTS          0x2c00

/*
 * Written by the device in the guest's copy, read by stubs: time without
 * exits.  Offsets from VMI_ROM_SHARED; docs/specs/vmi.rst has the rules.
 */
#define VMI_ROM_SHARED              0x3800
#define VMI_ROM_SHARED_SIZE         0x0100
#define VMI_SHARED_SEQUENCE         0       /* u32, odd during a change */
#define VMI_SHARED_FLAGS            4       /* u32 */
#define VMI_SHARED_TSC              8       /* u64, the TSC and */
#define VMI_SHARED_CYCLES           16      /* u64, the real counter, then */
#define VMI_SHARED_MULTIPLIER       24      /* u32, cycles per 2^32 ticks */
#define VMI_SHARED_SHIFT            28      /* s8, of the ticks, before that */
#define VMI_SHARED_BALANCE          255     /* u8, makes the byte sum 0 */
#define VMI_SHARED_USABLE           1       /* flags: stubs may compute */
#define VMI_SHARED_STOPPED          2       /* flags: counter of a stop */
#define VMI_SHARED_TICKS            4       /* flags: cycles are ticks */

/*
 * Host calls.  Arguments: EAX, EDX, ECX, EBX, ESI (the stub loads the last
 * two from the guest's stack).  Results: EAX and EDX.
 * VMCALL is followed by one byte, the call number.
 * A write of AL to VMI_PORT carries the call number in EDI.
 */
#define VMI_PORT                    0xe4
#define VMI_HOST_INIT               0x80    /* EAX ROM linear, EDX revision */
#define VMI_HOST_RELOCATE           0x81    /* EAX call; EAX offset, EDX type */
#define VMI_HOST_IRET               0x82    /* ESP -> VMIIretStack; KVM only */

/* VMI_CALL_name: the numbers of the calls */
#include "vmi-calls.h.inc"

#ifndef VMI_ABI_ASSEMBLY

/*
 * SetInitialAPState, call 62: the structure that EAX points at.
 * 4-byte alignment, little-endian.
 */
typedef struct __attribute__((packed)) VMIAPState {
    uint32_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint32_t eip, eflags;
    uint32_t eax, ebx, ecx, edx;
    uint32_t esp, ebp, esi, edi;
    uint16_t cs, ss, ds, es, fs, gs, ldtr;
    uint16_t gdtr_limit;
    uint32_t gdtr_base;
    uint32_t idtr_base;
    uint16_t idtr_limit;
} VMIAPState;

/*
 * What the ROM has on the stack when it asks for an IRET: what it has pushed,
 * its return address, and the frame.
 */
typedef struct __attribute__((packed)) VMIIretStack {
    uint32_t edi, edx, ecx, eax;
    uint32_t unused[2];
    uint32_t eip, cs, eflags;
    uint32_t esp, ss;
} VMIIretStack;

#endif /* VMI_ABI_ASSEMBLY */

#endif /* HW_VMI_ABI_H */
