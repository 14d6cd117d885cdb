/*
 * Alarms: delivery, and the program's frame
 *
 * Arguments: pic, ioapic or lvtt: how alarms are delivered; pit-high: the
 * PIT is parked with its output high; icount: time is exact.
 *
 * Bounds are one-sided: an alarm may be late on a busy host, never early.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "alarm.h"

void guest_main(void)
{
    vmi_setup();
    alarm_hz = vmi_frequency();
    alarm_take_route();
    for (unsigned counter = 0; counter < 2; counter++) {
        test_one_shot(counter);
        test_replace_and_cancel(counter);
        test_periodic(counter);
    }
    test_both();
    test_no_alarm();
    test_halt();
    if (alarm_flag) {
        test_lvtt();
    }
    test_pit();
    report_end();
}
