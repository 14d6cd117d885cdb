/*
 * Bench: the counters and the timer
 *
 * VMI's alarm is set as Linux does it: read the counter, add, set.  The PC's
 * timers need no reading.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "bench.h"
#include "irq.h"

#define APIC_TMICT      0x380       /* initial count */
#define APIC_TDCR       0x3e0       /* divide configuration */
#define APIC_DIVIDE_1   0x0b
#define APIC_HZ         1000000000  /* of QEMU's and KVM's */
#define FAR_MS          50          /* within the range of the PIT */
#define LOST_MS         5000        /* without the interrupt that must come */

static uint64_t far_cycles;         /* FAR_MS */

static ALWAYS_INLINE uint64_t read_counter(BenchKind kind, unsigned counter)
{
    return kind == BENCH_NATIVE ?
           rdtsc() : bench_call(kind, VMI_CALL_GetCycleCounter, counter, 0, 0);
}

static ALWAYS_INLINE void run_real(BenchKind kind, const BenchRow *row,
                                   unsigned n)
{
    while (n--) {
        read_counter(kind, VMI_CYCLES_REAL);
    }
}
BENCH_DEFINE(run_real)

static ALWAYS_INLINE void run_available(BenchKind kind, const BenchRow *row,
                                        unsigned n)
{
    while (n--) {
        read_counter(kind, VMI_CYCLES_AVAILABLE);
    }
}
BENCH_DEFINE(run_available)

static ALWAYS_INLINE void run_rdtsc(BenchKind kind, const BenchRow *row,
                                    unsigned n)
{
    while (n--) {
        if (kind == BENCH_NATIVE) {
            rdtsc();
        } else {
            bench_call(kind, VMI_CALL_RDTSC, 0, 0, 0);
        }
    }
}
BENCH_DEFINE(run_rdtsc)

/* A number that the host has: what a call costs that has nothing to do */
static ALWAYS_INLINE void run_frequency(BenchKind kind, const BenchRow *row,
                                        unsigned n)
{
    static uint64_t known;

    while (n--) {
        if (kind == BENCH_NATIVE) {
            READ_ONCE(known);
        } else {
            bench_call(kind, VMI_CALL_GetCycleFrequency, 0, 0, 0);
        }
    }
}
BENCH_DEFINE(run_frequency)

static ALWAYS_INLINE void set_alarm(BenchKind kind, uint32_t flags,
                                    uint64_t after)
{
    uint64_t expiry = read_counter(kind, VMI_CYCLES_REAL) + after;
    uint32_t eax = flags | VMI_CYCLES_REAL;
    uint32_t edx = expiry, ecx = expiry >> 32;

    if (kind == BENCH_CALL) {
        asm volatile("push $0; push $0\n\t"
                     BENCH_SITE(nr)
                     "add $8, %%esp"
                     : "+a"(eax), "+d"(edx), "+c"(ecx)
                     : [nr]"i"(VMI_CALL_SetAlarm) : "cc", "memory");
    } else {
        asm volatile("push $0; push $0\n\t"
                     "call *%[address]\n\t"
                     "add $8, %%esp"
                     : "+a"(eax), "+d"(edx), "+c"(ecx)
                     : [address]"m"(vmi_address[VMI_CALL_SetAlarm])
                     : "cc", "memory");
    }
}

static void pit_one_shot(uint16_t count)
{
    outb(0x43, 0x30);
    outb(0x40, count & 0xff);
    outb(0x40, count >> 8);
}

static ALWAYS_INLINE void set_pit(BenchKind kind, uint16_t count,
                                  uint64_t after)
{
    if (kind == BENCH_NATIVE) {
        pit_one_shot(count);
    } else {
        set_alarm(kind, 0, after);
    }
}

static ALWAYS_INLINE void set_apic(BenchKind kind, uint32_t count,
                                   uint64_t after)
{
    if (kind == BENCH_NATIVE) {
        apic_write(APIC_TMICT, count);
    } else {
        set_alarm(kind, VMI_ALARM_LVTT, after);
    }
}

/* Set it again and again, so that it does not fire. */
static ALWAYS_INLINE void run_set_pit(BenchKind kind, const BenchRow *row,
                                      unsigned n)
{
    while (n--) {
        set_pit(kind, PIT_HZ / 1000 * FAR_MS, far_cycles);
    }
}
BENCH_DEFINE(run_set_pit)

static ALWAYS_INLINE void run_set_apic(BenchKind kind, const BenchRow *row,
                                       unsigned n)
{
    while (n--) {
        set_apic(kind, APIC_HZ / 1000 * FAR_MS, far_cycles);
    }
}
BENCH_DEFINE(run_set_apic)

static void wait_for(uint8_t vector, uint32_t seen)
{
    uint64_t start = rdtsc();

    while (READ_ONCE(vector_count[vector]) == seen) {
        if (rdtsc() - start > (uint64_t)LOST_MS * bench_tsc_khz) {
            bench_fail("a timer was set and its interrupt did not come");
        }
    }
}

/* Set it to fire now, and wait for the interrupt, which is acknowledged. */
static ALWAYS_INLINE void run_fire_pit(BenchKind kind, const BenchRow *row,
                                       unsigned n)
{
    sti();
    while (n--) {
        uint32_t seen = READ_ONCE(vector_count[PIC_VECTOR]);

        set_pit(kind, 1, 0);
        wait_for(PIC_VECTOR, seen);
    }
    cli();
}
BENCH_DEFINE(run_fire_pit)

static ALWAYS_INLINE void run_fire_apic(BenchKind kind, const BenchRow *row,
                                        unsigned n)
{
    sti();
    while (n--) {
        uint32_t seen = READ_ONCE(vector_count[LVTT_VECTOR]);

        set_apic(kind, 1, 0);
        wait_for(LVTT_VECTOR, seen);
    }
    cli();
}
BENCH_DEFINE(run_fire_apic)

static void start_pit(const BenchRow *row, BenchKind kind)
{
    pic_unmask(0);
}

static void start_apic(const BenchRow *row, BenchKind kind)
{
    apic_write(APIC_LVTT, LVTT_VECTOR);
}

/* Nothing fires after the sample, and nothing that has is pending. */
static void stop(const BenchRow *row)
{
    pit_one_shot(1);
    apic_write(APIC_TMICT, 0);
    if (bench_serves(VMI_CALL_CancelAlarm)) {
        vmi_cancel_alarm(VMI_CYCLES_REAL);
    }
    delay_ms(1);
    sti_nop_cli();
    pic_mask_all();
    apic_write(APIC_LVTT, APIC_MASKED);
}

void bench_time_init(void)
{
    /* The firmware's PIT ticks may have left an interrupt. */
    pit_one_shot(1);
    pit_settle(PIC_VECTOR);
    count_vector(PIC_VECTOR);
    apic_write(APIC_TDCR, APIC_DIVIDE_1);
    if (bench_serves(VMI_CALL_GetCycleFrequency)) {
        far_cycles = vmi_frequency() * FAR_MS / 1000;
    }
}

#define TIMER(of_name, body, on_start)                                  \
    {                                                                   \
        .name = of_name,                                                \
        .calls = { VMI_CALL_GetCycleCounter, VMI_CALL_SetAlarm,         \
                   VMI_CALL_CancelAlarm },                              \
        .ops = 1, .start = on_start, .stop = stop, BENCH_RUN(body),     \
    }

const BenchRow bench_time_rows[] = {
    TIMER("timer-set-pit", run_set_pit, start_pit),
    TIMER("timer-set-apic", run_set_apic, start_apic),
    TIMER("timer-fire-pit", run_fire_pit, start_pit),
    TIMER("timer-fire-apic", run_fire_apic, start_apic),
    {
        .name = "counter-real", .calls = { VMI_CALL_GetCycleCounter },
        .ops = 1, BENCH_RUN(run_real),
    }, {
        .name = "counter-available", .calls = { VMI_CALL_GetCycleCounter },
        .ops = 1, BENCH_RUN(run_available),
    }, {
        .name = "rdtsc", .calls = { VMI_CALL_RDTSC }, .ops = 1,
        BENCH_RUN(run_rdtsc),
    }, {
        .name = "frequency", .calls = { VMI_CALL_GetCycleFrequency },
        .ops = 1, BENCH_RUN(run_frequency),
    },
    { .name = NULL },
};
