/*
 * The migrate program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_MIGRATE_H
#define GUEST_MIGRATE_H

#include "smp.h"

typedef enum Fact {
    FREQUENCY, REAL, AVAILABLE, SUM, WALL, UPDATED, LAZY,
    EARLY, LOST, DOUBLED, HELD, STARTED, OLD_ROM,
    FACTS
} Fact;

/* Count a fact; reported in the end.  Any CPU, interrupts on or off. */
void check(Fact fact, bool ok);
void check_report(void);

extern unsigned round_number;

/* A call of GetCycleCounter, to be patched */
extern uint8_t patched_site[];

/* Read and check this CPU's counters; returns real time. */
uint64_t check_time(void);

/* One lock for all; returns EFLAGS for unlock_irq(). */
uint32_t lock_irq(void);
void unlock_irq(uint32_t flags);

/*
 * Alarms: one-shot ones on real time, periodic ones on available time.  Only
 * CPU 0 has those that come as IRQ 0.
 */
void alarms_init(bool swap);

/* Of this CPU: arm them, interrupts on; be sure that none is lost; end. */
void alarms_start(void);
void check_shots(void);
void alarms_stop(void);

/* Let two one-shot alarms expire with interrupts off; see them come. */
void alarms_hold(bool masked);
void alarms_release(void);

void alarms_report(void);

#endif
