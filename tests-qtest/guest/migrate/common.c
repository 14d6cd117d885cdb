/*
 * The migrate program: facts, and time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migrate.h"

unsigned round_number;

static const char *facts[FACTS] = {
    [FREQUENCY] = "the cycle frequency stays",
    [REAL] = "real time never goes back, on any CPU",
    [AVAILABLE] = "available and stolen time never go back",
    [SUM] = "available and stolen time are no more than real time",
    [WALL] = "wall time goes on",
    [UPDATED] = "WallclockUpdated is 1 once a round",
    [LAZY] = "what was written in lazy mode is there when it ends",
    [EARLY] = "no alarm is early",
    [LOST] = "no alarm is lost",
    [DOUBLED] = "no alarm comes twice",
    [HELD] = "an expired alarm waits for its CPU to allow interrupts",
    [STARTED] = "a CPU starts with the state given before",
    [OLD_ROM] = "the ROM is the first QEMU's",
};
static struct {
    uint32_t checked, failed, round;
} seen[FACTS];

static uint32_t lock;
static uint64_t last_real;
static uint64_t last_available[MAX_CPUS], last_stolen[MAX_CPUS];

uint32_t lock_irq(void)
{
    uint32_t flags = read_eflags();

    cli();
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
        cpu_pause();
    }
    return flags;
}

void unlock_irq(uint32_t flags)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    write_eflags(flags);
}

void check(Fact fact, bool ok)
{
    uint32_t flags = lock_irq();

    seen[fact].checked++;
    if (!ok && !seen[fact].failed++) {
        seen[fact].round = round_number;
    }
    unlock_irq(flags);
}

/* A call site as a kernel's: call rel32 */
static uint64_t patched_real(void)
{
    uint32_t eax = VMI_CYCLES_REAL, edx;

    asm volatile(".globl patched_site\n"
                 "patched_site: .byte 0xe8; .long 0"
                 : "+a"(eax), "=d"(edx) : : "ecx", "cc", "memory");
    return (uint64_t)edx << 32 | eax;
}

uint64_t check_time(void)
{
    unsigned id = this_cpu();
    uint64_t available, stolen, real;
    uint32_t flags = lock_irq();
    bool back, less, more;

    stolen = vmi_counter(VMI_CYCLES_STOLEN);
    available = vmi_counter(VMI_CYCLES_AVAILABLE);
    real = patched_real();
    back = real < last_real;
    less = available < last_available[id] || stolen < last_stolen[id];
    more = available + stolen > real;
    last_real = real;
    last_available[id] = available;
    last_stolen[id] = stolen;
    unlock_irq(flags);
    check(REAL, !back);
    check(AVAILABLE, !less);
    check(SUM, !more);
    return real;
}

void check_report(void)
{
    for (Fact fact = 0; fact < FACTS; fact++) {
        if (seen[fact].checked) {
            report(!seen[fact].failed, facts[fact],
                   "checked %u times, failed %u, first in round %u",
                   seen[fact].checked, seen[fact].failed, seen[fact].round);
        }
    }
}
