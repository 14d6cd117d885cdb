/*
 * The stress program: what each CPU knows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "stress.h"

CPU stress_cpu[MAX_CPUS];
uint8_t frames[FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
uint8_t borders[BORDERS][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

CPU *stress_this(void)
{
    return &stress_cpu[this_cpu()];
}

uint32_t stress_random(uint32_t below)
{
    uint32_t *x = &stress_this()->random;

    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x % below;
}

bool stress_calls(void)
{
    return stress_this()->calls;
}

void stress_lock(uint32_t *lock)
{
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE)) {
        cpu_pause();
    }
}

void stress_unlock(uint32_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

void stress_check(Fact fact, bool ok, uint32_t seen, uint32_t wanted)
{
    CPU *cpu = stress_this();

    cpu->fact[fact].checked++;
    if (!ok && !cpu->fact[fact].failed++) {
        cpu->fact[fact].seen = seen;
        cpu->fact[fact].wanted = wanted;
    }
}
