/*
 * VMI guest programs: the guest's side of VMI
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_VMI_H
#define GUEST_VMI_H

#include "vmi-abi.h"
#include "x86.h"

typedef struct CallInfo {
    const char *name;           /* NULL: unassigned */
    const char *group;          /* "CPU", "IRQ"... */
    uint8_t args, stack;
    uint8_t type[2];            /* VMI_RELOCATION_*, under TCG and KVM */
    bool host[2];               /* a call into the device */
} CallInfo;

/* By call number: vmi-calls.h.inc */
extern const CallInfo vmi_calls[VMI_MAX_CALLS];

/* As the command line says, by the word "kvm"; else under TCG */
bool vmi_under_kvm(void);

/* What the table says for a number below VMI_MAX_CALLS, here */
uint8_t vmi_expected_type(unsigned nr);
bool vmi_host_serves(unsigned nr);

/* Why a test of VMCALL is skipped */
#define VMCALL_IS_KVMS "VMCALL is a hypercall of KVM's own"

/* The ROM, as the guest sees it now; NULL before vmi_find() */
extern uint8_t *vmi_rom;

/* Answers of VMI_GetRelocationInfo, filled in by vmi_relocate_all() */
extern uint32_t vmi_address[VMI_MAX_CALLS];
extern uint8_t vmi_type[VMI_MAX_CALLS];

/* A field of the header, or what is at an offset */
#define VMI_ROM_FIELD(type, offset) AT(type, vmi_rom + (offset))

/*
 * Scan as clients do.  Returns: whether a VMI ROM of our API is there; the
 * ROM is then at its physical address.
 */
bool vmi_find(void);

/* Use the ROM in the kernel's direct map from now on, or where it is. */
void vmi_use_direct_map(bool yes);

uint32_t vmi_call_init(void);
void vmi_get_relocation(uint32_t nr, uint32_t *address, uint32_t *edx);
void vmi_relocate_all(void);

/*
 * Find, set paging, initialise, relocate: how most programs begin.  Reports
 * and ends the program if this fails.
 */
void vmi_setup(void);

/* A call by function pointer; it must be of type CALL or NOP. */
uint64_t vmi_do_call(uint32_t address, uint32_t eax, uint32_t edx,
                     uint32_t ecx, uint32_t stack0, uint32_t stack1);
uint64_t vmi_call(unsigned nr, uint32_t eax, uint32_t edx, uint32_t ecx,
                  uint32_t stack0, uint32_t stack1);

/* Write call rel32 to @target at @site, as a client does. */
void vmi_patch_call(uint8_t *site, uint32_t target);

/* Time */
static inline uint64_t vmi_frequency(void)
{
    return vmi_call(VMI_CALL_GetCycleFrequency, 0, 0, 0, 0, 0);
}

static inline uint64_t vmi_counter(unsigned counter)
{
    return vmi_call(VMI_CALL_GetCycleCounter, counter, 0, 0, 0, 0);
}

static inline void vmi_set_alarm(uint32_t flags, uint64_t expiry,
                                 uint64_t period)
{
    vmi_call(VMI_CALL_SetAlarm, flags, expiry, expiry >> 32, period,
             period >> 32);
}

static inline uint32_t vmi_cancel_alarm(uint32_t flags)
{
    return vmi_call(VMI_CALL_CancelAlarm, flags, 0, 0, 0, 0);
}

static inline void vmi_halt(void)
{
    vmi_call(VMI_CALL_Halt, 0, 0, 0, 0, 0);
}

/* VMCALL and the call number, which stands in the instruction stream */
#define VMCALL(nr) "vmcall\n\t.byte " #nr

#endif
