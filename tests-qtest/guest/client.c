/*
 * The answers of VMI_GetRelocationInfo, as ports of Linux take them
 *
 * Each port asks for the calls that it knows, by a macro for each kind, and
 * stops in BUG() where an answer is of a type that it does not expect.
 *
 * Arguments: the port, by the names below; off: a group of calls is switched
 * off, so what needs it is left out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "vmi.h"

/* Numbers that only the oldest ports ask for */
#define FIRST_IO        49
#define LAST_IO         60
#define SET_CALLBACKS   72

/* What a port makes of an answer */
typedef enum Rule {
    NOT_ASKED,
    FILLED,         /* a pointer to the entry point; 0: the native one stays */
    WRAPPED,        /* a function of the port's own calls the entry point */
    TAKEN,          /* as WRAPPED; another type than 1: an empty function */
    NEEDED,         /* as TAKEN, but nothing works with an empty function */
    PATCHED,        /* a call or a jump is written; 0: an invalid address */
    ANNOTATED,      /* each call site is one of the native code, or patched */
} Rule;

typedef struct Port {
    const char *name;
    uint8_t types[ANNOTATED + 1];   /* which a rule takes, as bits */
    uint8_t rule[VMI_MAX_CALLS];
} Port;

#define TYPES_01    (1 << VMI_RELOCATION_NONE | 1 << VMI_RELOCATION_CALL_REL)
#define TYPES_012   (TYPES_01 | 1 << VMI_RELOCATION_JUMP_REL)
#define TYPES_013   (TYPES_01 | 1 << VMI_RELOCATION_NOP)
#define TYPE_1      (1 << VMI_RELOCATION_CALL_REL)
#define TYPES_12    (TYPE_1 | 1 << VMI_RELOCATION_JUMP_REL)

/* All of Linux's ports fill these, or wrap them. */
#define COMMON                                                               \
    [VMI_CALL_CPUID] = WRAPPED,                                              \
    [VMI_CALL_SetGDT ... VMI_CALL_SetIDT] = FILLED,                          \
    [VMI_CALL_SetTR] = WRAPPED,                                              \
    [VMI_CALL_GetGDT] = FILLED,                                              \
    [VMI_CALL_GetIDT ... VMI_CALL_WriteIDTEntry] = FILLED,                   \
    [VMI_CALL_UpdateKernelStack] = WRAPPED,                                  \
    [VMI_CALL_SetCR0 ... VMI_CALL_GetDR] = FILLED,                           \
    [VMI_CALL_RDTSC] = FILLED,                                               \
    [VMI_CALL_CLTS ... VMI_CALL_SetInterruptMask] = FILLED,                  \
    [VMI_CALL_IRET ... VMI_CALL_SYSEXIT] = PATCHED,                          \
    [VMI_CALL_InvalPage] = FILLED,                                           \
    [VMI_CALL_FlushTLB] = WRAPPED,                                           \
    [VMI_CALL_SetIOPLMask] = FILLED,                                         \
    [VMI_CALL_GetCycleFrequency ... VMI_CALL_WallclockUpdated] = NEEDED

/* Whose wrappers are there only for an answer of type 1 */
#define SINCE_RC3                                                            \
    [VMI_CALL_Halt] = WRAPPED,                                               \
    [VMI_CALL_SetPxE ... VMI_CALL_UpdatePxELong] = WRAPPED,                  \
    [VMI_CALL_AllocatePage ... VMI_CALL_ReleasePage] = WRAPPED,              \
    [VMI_CALL_SetLinearMapping] = WRAPPED,                                   \
    [VMI_CALL_SetInitialAPState] = WRAPPED,                                  \
    [VMI_CALL_APICWrite ... VMI_CALL_APICRead] = FILLED,                     \
    [VMI_CALL_IODelay] = FILLED

static const Port ports[] = {
    {
        /* 2.6.21-rc1 and rc2, and those of December 2006 */
        .name = "2.6.21-rc1",
        .types = {
            [FILLED] = TYPES_01, [WRAPPED] = TYPES_01, [TAKEN] = TYPES_013,
            [NEEDED] = TYPE_1, [PATCHED] = TYPES_12,
        },
        .rule = {
            COMMON,
            [VMI_CALL_Halt] = NEEDED,
            [VMI_CALL_SetPxE ... VMI_CALL_SetPxELong] = NEEDED,
            [VMI_CALL_UpdatePxE ... VMI_CALL_UpdatePxELong] = TAKEN,
            [VMI_CALL_AllocatePage ... VMI_CALL_ReleasePage] = TAKEN,
            [VMI_CALL_SetLinearMapping] = TAKEN,
            [VMI_CALL_SetInitialAPState] = NEEDED,
            [VMI_CALL_APICWrite ... VMI_CALL_APICRead] = NEEDED,
            [VMI_CALL_SetLazyMode] = FILLED,
        },
    }, {
        /* Up to rc6, and Ubuntu 7.04's 2.6.20 */
        .name = "2.6.21-rc3",
        .types = {
            [FILLED] = TYPES_01, [WRAPPED] = TYPES_013, [NEEDED] = TYPE_1,
            [PATCHED] = TYPES_12,
        },
        .rule = {
            COMMON, SINCE_RC3,
            [VMI_CALL_SetLazyMode] = FILLED,
        },
    }, {
        .name = "2.6.21",
        .types = {
            [FILLED] = TYPES_013, [WRAPPED] = TYPES_013, [NEEDED] = TYPE_1,
            [PATCHED] = TYPES_12,
        },
        .rule = {
            COMMON, SINCE_RC3,
            [VMI_CALL_SetLazyMode] = WRAPPED,
        },
    }, {
        /* Of 2005 and 2006, "mach-vmi": a sub-architecture */
        .name = "mach-vmi",
        .types = { [PATCHED] = TYPES_12, [ANNOTATED] = TYPES_012 },
        .rule = {
            [VMI_CALL_CPUID ... VMI_CALL_SetInterruptMask] = ANNOTATED,
            [VMI_CALL_IRET ... VMI_CALL_SYSEXIT] = PATCHED,
            [VMI_CALL_Halt ... VMI_CALL_SetLinearMapping] = ANNOTATED,
            [FIRST_IO ... LAST_IO] = ANNOTATED,
            [VMI_CALL_SetIOPLMask ... VMI_CALL_WallclockUpdated] = ANNOTATED,
            [SET_CALLBACKS] = ANNOTATED,
            [VMI_CALL_SetLazyMode] = ANNOTATED,
        },
    },
};

static bool is_apic(unsigned nr)
{
    return nr == VMI_CALL_APICWrite || nr == VMI_CALL_APICRead;
}

static void test_port(const Port *port)
{
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        uint8_t rule = port->rule[nr];
        uint32_t address, edx;

        if (rule == NOT_ASKED) {
            continue;
        }
        vmi_get_relocation(nr, &address, &edx);
        if (rule == NEEDED && is_apic(nr) && vmi_under_kvm()) {
            /* See "Older ports" in docs/specs/vmi.rst. */
            report(!edx, text("%s under KVM: call %u is of type 0", port->name,
                              nr), "type %u", edx);
            continue;
        }
        report(edx < 8 && (port->types[rule] >> edx & 1),
               text("%s takes the answer for call %u %s", port->name, nr,
                    vmi_calls[nr].name ?: "of its own"), "type %u", edx);
    }
}

/* An entry point where nothing is to be done is called all the same. */
static void test_return(void)
{
    static const uint8_t nothing[] = {
        VMI_CALL_SetLinearMapping, VMI_CALL_IODelay, VMI_CALL_SetLazyMode,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(nothing); i++) {
        uint64_t answer = vmi_call(nothing[i], 1, 2, 3, 4, 5);

        report(answer == (2ull << 32 | 1),
               text("%s changes nothing", vmi_calls[nothing[i]].name),
               "%llx", answer);
    }
}

void guest_main(void)
{
    vmi_setup();
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        if (guest_has_arg(ports[i].name)) {
            test_port(&ports[i]);
        }
    }
    test_return();
    report_end();
}
