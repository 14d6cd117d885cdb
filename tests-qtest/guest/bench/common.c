/*
 * The bench program: what its parts share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "bench.h"
#include "console.h"

uint32_t bench_tsc_khz;
bool bench_vmi_on;

void bench_fail(const char *why)
{
    printf("BENCH FAILED: %s\n", why);
    guest_exit(false);
}

bool bench_serves(unsigned nr)
{
    return bench_vmi_on && vmi_type[nr] != VMI_RELOCATION_NONE;
}
