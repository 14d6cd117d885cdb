/*
 * The smp program: its tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_SMP_TESTS_H
#define GUEST_SMP_TESTS_H

#include "smp.h"

void test_bad_states(void);
void test_logged(void);
void test_ap_time(void);
void test_ap_alarms(void);
void test_sharing(void);

#endif
