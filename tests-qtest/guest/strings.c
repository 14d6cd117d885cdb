/*
 * REP STOS and REP MOVS: the same result as of their elements one by one,
 * wherever pages begin and end, memory overlaps, or something is to be noticed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "irq.h"
#include "paging.h"

#define WINDOW      (4 * PAGE_SIZE)

typedef struct Op {
    unsigned size;              /* of an element */
    bool copies, down;
    uint32_t ecx, esi, edi;     /* before and after */
} Op;

static uint8_t memory[WINDOW] __attribute__((aligned(PAGE_SIZE)));
static uint8_t expected[WINDOW];
static const uint32_t value = 0x89abcdef;
static uint32_t filler;         /* what STOS stores */

static void run(void *arg)
{
    Op *op = arg;
    uint32_t eax = filler;

#define RUN(insn) asm volatile(insn : "+c" (op->ecx), "+S" (op->esi), \
                               "+D" (op->edi) : "a" (eax) : "memory")
    if (op->down) {
        asm volatile("std");
    }
    switch (op->size | (op->copies ? 8 : 0)) {
    case 1:
        RUN("rep stosb");
        break;
    case 2:
        RUN("rep stosw");
        break;
    case 4:
        RUN("rep stosl");
        break;
    case 8 | 1:
        RUN("rep movsb");
        break;
    case 8 | 2:
        RUN("rep movsw");
        break;
    case 8 | 4:
        RUN("rep movsl");
        break;
    }
#undef RUN
    asm volatile("cld");
}

/* The same, in @expected */
static void imitate(Op *op)
{
    int step = op->down ? -op->size : op->size;

    while (op->ecx) {
        uint8_t *to = expected + (op->edi - (uint32_t)memory);
        uint8_t element[4];

        memcpy(element, &filler, op->size);
        if (op->copies) {
            memcpy(element, expected + (op->esi - (uint32_t)memory), op->size);
        }
        memcpy(to, element, op->size);
        op->esi += op->copies ? step : 0;
        op->edi += step;
        op->ecx--;
    }
}

static void fill_window(void)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        memory[i] = expected[i] = i * 31 + (i >> 8);
    }
}

static bool same_as_imitated(Op op)
{
    Op imitated = op;

    fill_window();
    run(&op);
    imitate(&imitated);
    return op.ecx == imitated.ecx && op.esi == imitated.esi &&
           op.edi == imitated.edi && !memcmp(memory, expected, WINDOW);
}

static void try_places(const char *name, unsigned size, bool copies, bool down)
{
    static const uint16_t counts[] = { 0, 1, 15, 16, 17, 100, 1023, 1024 };
    static const uint16_t places[] = { 0, 1, 2, 60, 2048, 4092, 4093, 4095 };
    static const int16_t apart[] = { 0, 1, 4, 64, 4096, 4100, -1, -4, -64,
                                     -4096, -4099 };
    Op op = { .size = size, .copies = copies, .down = down };
    unsigned tried = 0, wrong = 0;
    const char *first = "";

    for (unsigned c = 0; c < ARRAY_SIZE(counts); c++) {
        for (unsigned p = 0; p < ARRAY_SIZE(places); p++) {
            for (unsigned a = 0; a < (copies ? ARRAY_SIZE(apart) : 1); a++) {
                uint32_t length = counts[c] * size;
                uint32_t from = PAGE_SIZE + 64 + places[p];
                uint32_t to = from + apart[a];
                uint32_t last = down && length ? length - size : 0;

                if (MAX(from, to) + length > WINDOW) {
                    continue;
                }
                op.ecx = counts[c];
                op.esi = (uint32_t)memory + from + last;
                op.edi = (uint32_t)memory + to + last;
                tried++;
                if (!same_as_imitated(op) && !wrong++) {
                    first = text(", first %u from 0x%x to 0x%x", counts[c],
                                 from, to);
                }
            }
        }
    }
    report(!wrong, text("%s%s does what its elements do one by one", name,
                        down ? " downwards" : ""),
           "%u cases, %u wrong%s", tried, wrong, first);
}

static void try_all_places(void)
{
    for (unsigned down = 0; down < 2; down++) {
        try_places("REP STOSB", 1, false, down);
        try_places("REP STOSW", 2, false, down);
        try_places("REP STOSL", 4, false, down);
        try_places("REP MOVSB", 1, true, down);
        try_places("REP MOVSW", 2, true, down);
        try_places("REP MOVSL", 4, true, down);
    }
}

/* PLAY_BASE's pages are those of memory[], with these rights */
static void map_play(uint32_t second, uint32_t third)
{
    uint32_t rights[] = { PTE_PRESENT | PTE_WRITE, second, third,
                          PTE_PRESENT | PTE_WRITE };

    for (unsigned i = 0; i < ARRAY_SIZE(rights); i++) {
        paging_put(PLAY_BASE + i * PAGE_SIZE,
                   ((uint32_t)memory + i * PAGE_SIZE) | rights[i]);
        invlpg(PLAY_BASE + i * PAGE_SIZE);
    }
}

/* A fault at @where leaves all before it done, and says how far it came. */
static void try_fault(const char *what, Op op, uint32_t where, bool by_source)
{
    uint32_t start = by_source ? op.esi : op.edi;
    uint32_t done = (where - start) / op.size, count = op.ecx;
    int vector;

    vector = trap(run, &op);
    report(vector == VECTOR_PF && read_cr2() == where &&
           trap_frame.ecx == count - done &&
           (by_source ? trap_frame.esi : trap_frame.edi) == where,
           text("%s stops at the element that faults", what),
           "vector %d, CR2 0x%x, ECX %u, ESI 0x%x, EDI 0x%x", vector,
           read_cr2(), trap_frame.ecx, trap_frame.esi, trap_frame.edi);
}

static void try_faults(void)
{
    const uint32_t rw = PTE_PRESENT | PTE_WRITE;
    Op fill = { .size = 4, .ecx = 1024, .edi = PLAY_BASE + 64 };
    Op copy = { .size = 4, .copies = true, .ecx = 600,
                .esi = PLAY_BASE + 2048, .edi = PLAY_BASE + 3 * PAGE_SIZE };

    fill_window();
    map_play(0, rw);
    try_fault("REP STOS into an absent page", fill, PLAY_BASE + PAGE_SIZE,
              false);
    map_play(PTE_PRESENT, rw);
    try_fault("REP STOS into a page that is read-only", fill,
              PLAY_BASE + PAGE_SIZE, false);
    map_play(0, rw);
    try_fault("REP MOVS from an absent page", copy, PLAY_BASE + PAGE_SIZE,
              true);
    map_play(rw, 0);
    copy.esi = PLAY_BASE + 3 * PAGE_SIZE;
    copy.edi = PLAY_BASE + PAGE_SIZE + 3072;
    try_fault("REP MOVS into an absent page", copy, PLAY_BASE + 2 * PAGE_SIZE,
              false);
    report(!memcmp(memory + PAGE_SIZE + 3072, memory + 3 * PAGE_SIZE, 1024),
           "what comes before the fault is copied", "compared 1 KiB");

    map_play(rw, rw);
    copy.ecx = 512;
    copy.esi = PLAY_BASE + PAGE_SIZE;
    copy.edi = PLAY_BASE + 2 * PAGE_SIZE;
    run(&copy);
    report((paging_get(PLAY_BASE + PAGE_SIZE) & (PTE_ACCESSED | PTE_DIRTY)) ==
           PTE_ACCESSED &&
           (paging_get(PLAY_BASE + 2 * PAGE_SIZE) & PTE_DIRTY),
           "REP MOVS marks what it reads as accessed, what it writes as dirty",
           "0x%llx, 0x%llx", paging_get(PLAY_BASE + PAGE_SIZE),
           paging_get(PLAY_BASE + 2 * PAGE_SIZE));
}

/* Code that is replaced by a string instruction, through another mapping */
static void try_code(void)
{
    uint32_t (*code)(void) = (uint32_t (*)(void))(memory + PAGE_SIZE);
    uint8_t *at = memory + PAGE_SIZE, *other = memory + 2 * PAGE_SIZE;
    uint32_t seen[4], wanted[4];

    map_play(PTE_PRESENT | PTE_WRITE, PTE_PRESENT | PTE_WRITE);
    for (unsigned i = 0; i < ARRAY_SIZE(seen); i++) {
        Op copy = { .size = 4, .copies = true, .ecx = PAGE_SIZE / 4,
                    .esi = (uint32_t)other,
                    .edi = i & 1 ? PLAY_BASE + PAGE_SIZE : (uint32_t)at };

        wanted[i] = 0x1000 + i;
        memset(other, 0x90, PAGE_SIZE);
        other[PAGE_SIZE - 6] = 0xb8;            /* mov $..., %eax; ret */
        memcpy(other + PAGE_SIZE - 5, &wanted[i], 4);
        other[PAGE_SIZE - 1] = 0xc3;
        run(&copy);
        seen[i] = code();
    }
    report(!memcmp(seen, wanted, sizeof(seen)),
           "code that REP MOVS replaces is the code that runs",
           "0x%x 0x%x 0x%x 0x%x", seen[0], seen[1], seen[2], seen[3]);
}

/* Device memory, element by element */
static void try_screen(void)
{
    const uint32_t screen = 0xb8000;
    unsigned wrong = 0;
    Op fill = { .size = 2, .ecx = 2000, .edi = screen };

    filler = 0x0741;
    run(&fill);
    for (unsigned i = 0; i < 2000; i++) {
        wrong += AT(uint16_t, screen + 2 * i) != 0x0741;
    }
    report(!wrong, "REP STOSW fills the screen", "%u cells are wrong", wrong);
    filler = value;
}

/* QEMU, unlike a processor, lets the instruction end before it traps. */
static void try_watchpoint(void)
{
    uint32_t watched = (uint32_t)memory + PAGE_SIZE + 400;
    Op fill = { .size = 4, .ecx = 500, .edi = (uint32_t)memory + PAGE_SIZE };
    int vector;

    fill_window();
    asm volatile("mov %0, %%dr0" : : "r" (watched));
    asm volatile("mov %0, %%dr7" : : "r" (0x000d0001));
    vector = trap(run, &fill);
    asm volatile("mov %0, %%dr7" : : "r" (0));
    report(vector == VECTOR_DB,
           "a watchpoint on an element in the middle of REP STOS traps",
           "vector %d", vector);
}

/* Long copies, in the middle of which interrupts come */
static void try_interrupts(void)
{
    const uint32_t from = 0x00800000, to = 0x00c00000, size = 0x00400000;
    unsigned wrong = 0, rounds;

    set_handler(PIC_VECTOR, NULL);
    count_vector(PIC_VECTOR);
    pit_periodic(1000);
    pic_unmask(0);
    for (rounds = 0; rounds < 32; rounds++) {
        Op copy = { .size = 4, .copies = true, .ecx = size / 4, .esi = from,
                    .edi = to };

        AT(uint32_t, from + rounds * 4100) = rounds + 1;
        AT(uint32_t, to + rounds * 4100) = 0;
        sti();
        run(&copy);
        cli();
        wrong += copy.ecx || copy.esi != from + size || copy.edi != to + size ||
                 AT(uint32_t, to + rounds * 4100) != rounds + 1;
    }
    pic_mask_all();
    report(!wrong && vector_count[PIC_VECTOR],
           "copies of 4 MiB are whole when interrupts come meanwhile",
           "%u rounds, %u wrong, %u interrupts", rounds, wrong,
           vector_count[PIC_VECTOR]);
}

void guest_main(void)
{
    pic_init();
    filler = value;
    try_all_places();
    filler = 0x5a5a5a5a;
    try_places("REP STOSL of equal bytes", 4, false, false);
    filler = value;
    paging_set(PAGING_32);
    write_cr0(read_cr0() | CR0_WP);
    try_all_places();
    try_faults();
    try_code();
    try_screen();
    try_watchpoint();
    try_interrupts();
    report_end();
}
