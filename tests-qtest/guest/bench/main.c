/*
 * Bench: what VMI calls cost, against the instructions that they replace
 *
 * Each row is sampled in turns, natively and by VMI, so that what slows the
 * host down for a while slows all of them.  A sample is as many iterations as
 * take the time wanted, on this host as it is now: much shorter than a time
 * slice of the host's, so that most samples are undisturbed, and their median
 * is.  For each row and kind, one line:
 *
 *   BENCH row=NAME kind=native|vmi|vmi-pointer ns=MEDIAN min=NS max=NS n=N
 *
 * with nanoseconds for one operation, and "BENCH DONE" at the end.  Without
 * VMI there is the kind "native" only.
 *
 * Arguments: us (of a sample, default 1000), samples (default 25), only (rows
 * whose names begin so)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "bench.h"
#include "console.h"
#include "irq.h"
#include "paging.h"

#define MAX_SAMPLES         101
#define MAX_ITERATIONS      (1u << 28)
#define WARM_UPS            2           /* rounds of a row's address spaces */
#define CLOCK_WINDOWS       5
#define CLOCK_WINDOW_MS     20

static const char *const kind_names[] = { "native", "vmi", "vmi-pointer" };

static uint64_t samples[BENCH_KINDS][MAX_SAMPLES];

static void patch_sites(void)
{
    for (const BenchSite *site = __start_vmi_sites; site < __stop_vmi_sites;
         site++) {
        switch (vmi_type[site->nr]) {
        case VMI_RELOCATION_CALL_REL:
            vmi_patch_call(site->code, vmi_address[site->nr]);
            break;
        case VMI_RELOCATION_NONE:
            break;
        default:
            bench_fail(text("call %u is of type %u", site->nr,
                            vmi_type[site->nr]));
        }
    }
}

static void enter_vmi(void)
{
    bool found = vmi_find();

    paging_set(PAGING_32);
    bench_mmu_init();
    if (!found) {
        return;
    }
    vmi_use_direct_map(true);
    if (vmi_call_init()) {
        bench_fail("VMI_Init");
    }
    vmi_relocate_all();
    patch_sites();
    bench_vmi_on = true;
    bench_mmu_announce();
}

static void sort(uint64_t *values, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        uint64_t value = values[i];
        unsigned at = i;

        for (; at && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
}

/* The TSC's rate, by a clock that does not depend on VMI */
static void clock_init(void)
{
    uint64_t khz[CLOCK_WINDOWS];

    if (!pm_timer_port()) {
        bench_fail("no PM timer");
    }
    for (unsigned i = 0; i < CLOCK_WINDOWS; i++) {
        uint32_t start = pm_timer_read();
        uint64_t cycles = rdtsc();

        delay_ms(CLOCK_WINDOW_MS);
        cycles = rdtsc() - cycles;
        khz[i] = cycles * PM_TIMER_HZ / 1000 /
                 ((pm_timer_read() - start) & 0xffffff);
    }
    sort(khz, CLOCK_WINDOWS);
    bench_tsc_khz = khz[CLOCK_WINDOWS / 2];
}

/* TSC cycles that n iterations took, when all is warm */
static uint64_t sample(const BenchRow *row, BenchKind kind, unsigned n)
{
    uint64_t start, end;

    if (row->start) {
        row->start(row, kind);
    }
    row->run[kind](row, WARM_UPS * MAX(row->spaces, 1));
    start = rdtsc();
    row->run[kind](row, n);
    end = rdtsc();
    if (row->stop) {
        row->stop(row);
    }
    return end - start;
}

/* How many iterations take that long */
static unsigned count_iterations(const BenchRow *row, BenchKind kind,
                                 uint64_t wanted)
{
    unsigned n = 1;

    while (n < MAX_ITERATIONS) {
        uint64_t took = sample(row, kind, n);

        if (took >= wanted / 2) {
            return MAX(1, MIN(n * wanted / took, MAX_ITERATIONS));
        }
        n *= took < wanted / 16 ? 8 : 2;
    }
    return n;
}

static bool has_kind(const BenchRow *row, BenchKind kind)
{
    if (!row->run[kind]) {
        return false;
    }
    for (unsigned i = 0; kind != BENCH_NATIVE && i < ARRAY_SIZE(row->calls) &&
         row->calls[i]; i++) {
        if (!bench_serves(row->calls[i])) {
            return false;
        }
    }
    return kind == BENCH_NATIVE || bench_vmi_on;
}

static const char *show_ns(uint64_t cycles, uint64_t ops)
{
    uint64_t hundredths = cycles * 1000000 / bench_tsc_khz * 100 / ops;

    return text("%llu.%02u", hundredths / 100, (unsigned)(hundredths % 100));
}

static void bench(const BenchRow *row, uint64_t wanted, unsigned count)
{
    unsigned n[BENCH_KINDS];

    for (BenchKind kind = 0; kind < BENCH_KINDS; kind++) {
        if (has_kind(row, kind)) {
            n[kind] = count_iterations(row, kind, wanted);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        for (BenchKind kind = 0; kind < BENCH_KINDS; kind++) {
            if (has_kind(row, kind)) {
                samples[kind][i] = sample(row, kind, n[kind]);
            }
        }
    }
    for (BenchKind kind = 0; kind < BENCH_KINDS; kind++) {
        if (has_kind(row, kind)) {
            uint64_t ops = (uint64_t)n[kind] * row->ops;

            sort(samples[kind], count);
            printf("BENCH row=%s kind=%s ns=%s min=%s max=%s n=%llu\n",
                   row->name, kind_names[kind],
                   show_ns(samples[kind][count / 2], ops),
                   show_ns(samples[kind][0], ops),
                   show_ns(samples[kind][count - 1], ops), ops);
        }
    }
}

static bool is_wanted(const BenchRow *row)
{
    const char *only = guest_arg_value("only");
    size_t len = 0;

    while (only && only[len] && only[len] != ' ') {
        len++;
    }
    return !strncmp(row->name, only ?: "", len) &&
           (!row->absent || !row->absent());
}

static void bench_all(const BenchRow *row, uint64_t wanted, unsigned count)
{
    for (; row->name; row++) {
        if (is_wanted(row)) {
            bench(row, wanted, count);
        }
    }
}

void guest_main(void)
{
    uint64_t us = guest_arg_number("us", 1000);
    unsigned count = guest_arg_number("samples", 25);
    uint64_t wanted;

    count = MAX(1, MIN(count, MAX_SAMPLES));
    enter_vmi();
    pic_init();
    apic_init();
    clock_init();
    bench_time_init();
    printf("BENCH clock: TSC of %u kHz, %u samples of %llu us, %s\n",
           bench_tsc_khz, count, us, bench_vmi_on ? "VMI" : "no VMI");

    wanted = us * bench_tsc_khz / 1000;
    bench_all(bench_mmu_rows, wanted, count);
    bench_all(bench_cpu_rows, wanted, count);
    bench_all(bench_time_rows, wanted, count);
    printf("BENCH DONE\n");
    guest_exit(true);
}
