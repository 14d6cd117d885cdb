/*
 * Programs with several processors: what their files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "console.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

#define MAX_CPUS 8
#define REAL_MODE_PAGE 0x20     /* STARTUP vector */

/* What an AP saw when it started; smp-asm.S knows the order. */
typedef struct APSeen {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp, esp, eflags;
    uint32_t cs, ss, ds, es, fs, gs, ldtr;
    uint32_t cr0, cr2, cr3, cr4;
    TablePointer gdtr, idtr;
} APSeen;

typedef enum SendBy {
    SEND_OFFSET,                /* APICWrite of the register's offset */
    SEND_LINEAR,                /* APICWrite of its linear address */
    SEND_NATIVE,                /* a store */
} SendBy;

extern unsigned smp_cpus;
extern APSeen ap_seen;
extern uint32_t ap_started;     /* counts; what the last one saw is above */
extern uint8_t ap_entry[];
void ap_main(void);             /* called by it */
extern uint8_t real_mode_code[], real_mode_end[];

VMIAPState ap_good_state(unsigned id);
void ap_set_state(const void *state, unsigned id);
void ap_send(unsigned id, uint32_t command, SendBy by);

/* INIT, then two STARTUP IPIs, with a state in between unless it is NULL */
void ap_boot(unsigned id, const void *state, SendBy by);

/* Whether an AP started since the count was @before; waits, or a little */
bool ap_wait(uint32_t before);
bool ap_stays_off(uint32_t before);
/* All, with good states; the program ends if one does not start. */
void ap_start_all(void);
uint32_t real_mode_count(void); /* processors that ran real_mode_code */

/* Let a started AP call a function, and wait until it has; or do not wait. */
void ap_run(unsigned id, void (*fn)(void));
void ap_start_run(unsigned id, void (*fn)(void));
void ap_finish_run(unsigned id);

unsigned this_cpu(void);

#endif
