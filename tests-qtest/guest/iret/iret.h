/*
 * The iret program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_IRET_H
#define GUEST_IRET_H

#include "console.h"
#include "desc.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

/* asm.S knows the offsets. */
typedef struct IretTest {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp;
    uint32_t ds_es;
    uint32_t words;             /* of the frame; it begins with EIP */
    uint32_t unused;
    uint32_t frame[9];
    uint32_t stack;             /* where the frame ends; 0: any stack */
} IretTest;

/* What the kernel's landing saw: PUSHA's order, then EFLAGS */
typedef struct IretResult {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax, eflags;
} IretResult;

typedef struct IretMethod {
    const char *name;
    void *code;
    bool call;                  /* pushes a return address */
    bool patched;
} IretMethod;

extern const IretMethod iret_methods[];
extern const unsigned iret_method_count;

/* A test with known values in all registers, for this method and call */
IretTest iret_make(const IretMethod *method, unsigned nr);
/* Carry it out, as trap() does. */
int iret_run(IretTest *test, const IretMethod *method, unsigned nr);

void iret_go(IretTest *test);
extern IretResult iret_result;
extern uint32_t iret_address, iret_frame;
extern void *iret_method;

extern uint8_t iret_by_call[], iret_by_call_eax[], iret_by_call_memory[];
extern uint8_t iret_by_call_base[], iret_by_call_index[], iret_by_jmp[];
extern uint8_t iret_by_jmp_memory[], iret_native[], sysexit_native[];
extern uint8_t iret_landing[], iret_landing_after_call[];
extern uint8_t iret_user_landing[], iret_user_sysenter[];
extern uint8_t iret_sysenter_entry[];

#define FRAME_FLAGS (EFLAGS_ONE | EFLAGS_CF | EFLAGS_SF | EFLAGS_DF)

/* Why some facts are for TCG alone */
#define IRET_BY_CALL_ONLY "under KVM, the ROM's IRET is for calls only"

void test_faults(void);
void test_sysexit(void);

#endif
