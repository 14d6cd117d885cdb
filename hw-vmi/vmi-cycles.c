/*
 * VMI: cycles of the guest's counters, and nanoseconds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "vmi-parts.h"

uint64_t vmi_ns_to_cycles(VMIPCIState *vmi, uint64_t ns)
{
    uint64_t lo, hi;

    if (vmi->cycle_frequency == NANOSECONDS_PER_SECOND) {
        return ns;              /* the default, and a hot path */
    }
    mulu64(&lo, &hi, ns, vmi->cycle_frequency);
    divu128(&lo, &hi, NANOSECONDS_PER_SECOND);
    return lo;
}

int64_t vmi_cycles_to_ns(VMIPCIState *vmi, uint64_t cycles)
{
    uint64_t lo, hi, rest;

    if (unlikely(!vmi->cycle_frequency)) {
        return INT64_MAX;       /* a load of bad state failed on the way */
    }
    mulu64(&lo, &hi, cycles, NANOSECONDS_PER_SECOND);
    rest = divu128(&lo, &hi, vmi->cycle_frequency);
    if (hi || lo >= INT64_MAX) {
        return INT64_MAX;
    }
    return lo + (rest != 0);
}
