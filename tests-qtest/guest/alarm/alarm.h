/*
 * The alarm program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_ALARM_H
#define GUEST_ALARM_H

#include "console.h"
#include "irq.h"
#include "vmi.h"

/* How alarms are delivered: "pic", "ioapic", "lvtt"; the flag for it */
extern const char *alarm_route;
extern uint32_t alarm_flag;
extern uint64_t alarm_hz;

/* Interrupts since alarm_reset(), and when they came */
#define ALARM_RECORDS 64
extern uint32_t alarm_count;
extern uint64_t alarm_real[ALARM_RECORDS], alarm_available[ALARM_RECORDS];
void alarm_take_route(void);       /* by the arguments */
void alarm_reset(void);

uint64_t alarm_ms(unsigned ms);     /* in cycles */

/* Interrupts on until so many alarms came, or for a time; then off. */
bool alarm_wait(uint32_t count);    /* false after half a minute */
void alarm_spend(unsigned ms);

void test_one_shot(unsigned counter);
void test_replace_and_cancel(unsigned counter);
void test_periodic(unsigned counter);
void test_both(void);
void test_no_alarm(void);
void test_halt(void);
void test_pit(void);
void test_lvtt(void);

#endif
