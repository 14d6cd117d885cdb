/*
 * Calls in straight-line code, many times over: the host looks at how the code
 * is translated, and how often its blocks return to the main loop.
 *
 * For each case one line, "# block NAME HOW KIND ADDRESS CALLS ROUNDS": the
 * call, whether it is made directly or by a pointer, what is expected of it,
 * and where the code is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "irq.h"
#include "libc.h"
#include "paging.h"
#include "vmi.h"

#define CALLS   8               /* in the code of a case */
#define ROUNDS  1000
#define CASES   48              /* at most */

typedef enum Kind { SIMPLE, FLAG, ENDS } Kind;

typedef struct Case {
    uint8_t nr;
    Kind kind;
    uint32_t eax, edx, ecx, stack0, stack1;
} Case;

static uint8_t pages[CASES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned used;

static uint8_t *emit(uint8_t *at, uint8_t opcode, uint32_t operand)
{
    *at = opcode;
    memcpy(at + 1, &operand, sizeof(operand));
    return at + 5;
}

/* MOV to the registers, PUSH what goes on the stack, CALL, and drop it again */
static uint8_t *emit_call(uint8_t *at, const Case *c, bool pointer)
{
    unsigned stack = vmi_calls[c->nr].stack;

    at = emit(at, 0xb8, c->eax);
    at = emit(at, 0xba, c->edx);
    at = emit(at, 0xb9, c->ecx);
    if (stack > 1) {
        at = emit(at, 0x68, c->stack1);
    }
    if (stack > 0) {
        at = emit(at, 0x68, c->stack0);
    }
    if (pointer) {
        *at++ = 0xff;
        at = emit(at, 0x15, (uint32_t)&vmi_address[c->nr]);
    } else {
        vmi_patch_call(at, vmi_address[c->nr]);
        at += 5;
    }
    if (stack) {
        *at++ = 0x83;
        *at++ = 0xc4;
        *at++ = 4 * stack;
    }
    return at;
}

static void run(const Case *c, bool pointer)
{
    static const char *const kinds[] = { "simple", "flag", "ends" };
    uint8_t *code = pages[used++], *at = code;

    for (unsigned i = 0; i < CALLS; i++) {
        at = emit_call(at, c, pointer);
    }
    *at = 0xc3;
    barrier();
    for (unsigned i = 0; i < ROUNDS; i++) {
        asm volatile("call *%[code]" : : [code]"b"(code)
                     : "eax", "ecx", "edx", "cc", "memory");
    }
    cli();
    printf("# block %s %s %s 0x%x %u %u\n", vmi_calls[c->nr].name,
           pointer ? "pointer" : "direct", kinds[c->kind], (uint32_t)code,
           CALLS, ROUNDS);
}

void guest_main(void)
{
    static uint32_t entry;
    static uint64_t entry_long __attribute__((aligned(8)));

    vmi_setup();
    pic_init();

    const Case cases[] = {
        { VMI_CALL_UpdateKernelStack, SIMPLE, KERNEL_DS, tss.esp0 },
        { VMI_CALL_RDTSC, SIMPLE },
        { VMI_CALL_SetPxE, SIMPLE, 0, (uint32_t)&entry, VMI_PAGE_PT },
        { VMI_CALL_SetPxELong, SIMPLE, 0, 0, (uint32_t)&entry_long,
          VMI_PAGE_PT },
        { VMI_CALL_UpdatePxE, SIMPLE, (uint32_t)&entry, VMI_PAGE_PT },
        { VMI_CALL_UpdatePxELong, SIMPLE, (uint32_t)&entry_long, VMI_PAGE_PT },
        { VMI_CALL_AllocatePage, SIMPLE, 1, VMI_PAGE_PT },
        { VMI_CALL_ReleasePage, SIMPLE, 1, VMI_PAGE_PT },
        { VMI_CALL_APICRead, SIMPLE, 0x20 },
        { VMI_CALL_APICWrite, SIMPLE, 0x80, 0 },
        { VMI_CALL_GetCycleFrequency, SIMPLE },
        { VMI_CALL_GetCycleCounter, SIMPLE, VMI_CYCLES_REAL },
        { VMI_CALL_GetCycleCounter, SIMPLE, VMI_CYCLES_AVAILABLE },
        { VMI_CALL_SetAlarm, SIMPLE, VMI_CYCLES_REAL, UINT32_MAX,
          INT32_MAX },
        { VMI_CALL_CancelAlarm, SIMPLE, VMI_CYCLES_REAL },
        { VMI_CALL_GetInterruptMask, FLAG },
        { VMI_CALL_DisableInterrupts, FLAG },
        { VMI_CALL_EnableInterrupts, FLAG },
        { VMI_CALL_SetInterruptMask, FLAG, VMI_INTERRUPT_ENABLED },
        { VMI_CALL_SetCR3, ENDS, read_cr3() },
        { VMI_CALL_InvalPage, ENDS, PLAY_BASE },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        run(&cases[i], false);
        /* A call through a pointer to the flag's stubs is an ordinary one. */
        if (cases[i].kind != FLAG) {
            run(&cases[i], true);
        }
    }
    report(true, "all calls were made", "%u kinds", used);
    report_end();
}
