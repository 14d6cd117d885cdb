/*
 * The bench program: VMI calls against the instructions that they replace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_BENCH_H
#define GUEST_BENCH_H

#include "x86.h"
#include "vmi.h"

/* How an operation is carried out: by instructions, or by a VMI call from */
typedef enum BenchKind {
    BENCH_NATIVE,
    BENCH_CALL,             /* a site that was patched to CALL rel32 */
    BENCH_POINTER,          /* CALL through vmi_address[] */
    BENCH_KINDS,
} BenchKind;

typedef struct BenchRow BenchRow;

/**
 * BenchRow: one thing that is measured
 * @calls: numbers of the VMI calls that it makes, up to the first 0
 * @spaces, @pages: parameters of the operation
 * @ops: operations in one iteration, so many as @run's loop has
 * @absent: whether this machine cannot do it; NULL: all can
 * @start: before each sample, not in its time; may be NULL
 * @run: do @n iterations; by kind, NULL: there is no such kind
 * @stop: after each sample, not in its time; may be NULL
 */
struct BenchRow {
    const char *name;
    uint8_t calls[4];
    unsigned spaces, pages;
    unsigned ops;
    bool (*absent)(void);
    void (*start)(const BenchRow *row, BenchKind kind);
    void (*run[BENCH_KINDS])(const BenchRow *row, unsigned n);
    void (*stop)(const BenchRow *row);
};

/* The rows of a file, ended by one without a name */
extern const BenchRow bench_mmu_rows[], bench_cpu_rows[], bench_time_rows[];

/* Set up page tables; before VMI_Init, and after it. */
void bench_mmu_init(void);
void bench_mmu_announce(void);
void bench_time_init(void);

bool bench_serves(unsigned nr);

/* Cycles of the TSC in a millisecond */
extern bool bench_vmi_on;
extern uint32_t bench_tsc_khz;

/* End the program with a message. */
void bench_fail(const char *why) __attribute__((noreturn));

/* Where BENCH_SITE() put a call; the linker makes these names. */
typedef struct BenchSite {
    uint8_t *code;
    uint32_t nr;
} BenchSite;

extern const BenchSite __start_vmi_sites[], __stop_vmi_sites[];

/*
 * A call site, as a kernel has them: main.c writes the call, or what the
 * relocation type asks for.  "nr" is the name of an asm operand, the number.
 */
#define BENCH_SITE(nr)                              \
    "771: ud2; nop; nop; nop\n\t"                   \
    ".pushsection vmi_sites, \"a\"\n\t"             \
    ".long 771b, %c[" #nr "]\n\t"                   \
    ".popsection\n\t"

/* The functions of a row from one body, which takes the kind as a constant */
#define BENCH_DEFINE(body)                                          \
    static void body##_native(const BenchRow *row, unsigned n)      \
    {                                                               \
        body(BENCH_NATIVE, row, n);                                 \
    }                                                               \
    static void body##_call(const BenchRow *row, unsigned n)        \
    {                                                               \
        body(BENCH_CALL, row, n);                                   \
    }                                                               \
    static void body##_pointer(const BenchRow *row, unsigned n)     \
    {                                                               \
        body(BENCH_POINTER, row, n);                                \
    }

#define BENCH_RUN(body) \
    .run = { body##_native, body##_call, body##_pointer }

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* A call of up to three arguments, all in registers */
static ALWAYS_INLINE uint64_t bench_call(BenchKind kind, const unsigned nr,
                                         uint32_t eax, uint32_t edx,
                                         uint32_t ecx)
{
    if (kind == BENCH_CALL) {
        asm volatile(BENCH_SITE(nr)
                     : "+a"(eax), "+d"(edx), "+c"(ecx) : [nr]"i"(nr)
                     : "cc", "memory");
    } else {
        asm volatile("call *%[address]"
                     : "+a"(eax), "+d"(edx), "+c"(ecx)
                     : [address]"m"(vmi_address[nr]) : "cc", "memory");
    }
    return (uint64_t)edx << 32 | eax;
}

#endif
