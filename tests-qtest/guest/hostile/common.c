/*
 * The hostile program: whether all goes on as before
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hostile.h"

void report_alive(const char *after)
{
    uint64_t first = vmi_counter(VMI_CYCLES_REAL);
    uint64_t second = vmi_counter(VMI_CYCLES_REAL);
    uint64_t hz = vmi_frequency();

    report(hz == 1000000000 && second > first,
           text("calls still work after %s", after), "%llu Hz, %llu to %llu",
           hz, first, second);
}
