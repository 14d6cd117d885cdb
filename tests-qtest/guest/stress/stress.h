/*
 * The stress program: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_STRESS_H
#define GUEST_STRESS_H

#include "smp.h"

#define SPACES  6
#define TABLES  2               /* of each space, at PLAY_BASE */
#define PAGES   32              /* of each table */
#define FRAMES  24
#define SLOTS   4               /* functions in each frame */
#define MANY    2048            /* pages at MANY_BASE; with PAE, half of it */
#define KERNEL_PAGES 96         /* of each CPU */
#define BORDERS 2               /* global pages beside local ones */

#define MANY_BASE   0xd8000000u
/* A large page for each CPU */
#define LARGE_BASE  0xe0000000u
#define LARGE_STEP  0x400000u
#define LARGE_FRAMES 3

#define RW  (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define RO  (PTE_PRESENT | PTE_USER)

/*
 * In a frame: the end of a function that begins in the page before, its own
 * address, a word for each CPU to write, functions, a byte that nobody writes,
 * and the begin of a function that ends in the next page
 */
#define TAIL        0
#define MARK        8
#define WORD        16
#define FUNCTION(n) (64 + (n) * 64)
#define UNUSED      0x800
#define HEAD        (PAGE_SIZE - 2)

/* What a space's pages must look like, and where its tables are */
typedef struct Space {
    uint32_t lock;              /* a leaf except for the frames' locks */
    uint32_t cr3;
    uint8_t *pdpt;              /* PAE */
    uint8_t *dir, *table[TABLES];
    bool linked[TABLES];
    uint64_t entry[TABLES][PAGES];
    uint32_t generation;        /* counts changes that CPUs may have missed */
    uint32_t many_generation;   /* those at MANY_BASE */
    unsigned many_shift;        /* which frames are there */
} Space;

typedef enum Fact {
    READ, WRITE, DIRTY, CALL, FORKED, BUILT, UNLINKED, GLOBAL, CROSS,
    MANY_PAGES, LARGE, LARGE_CODE, FACTS
} Fact;

extern Space spaces[SPACES];
extern uint8_t frames[FRAMES][PAGE_SIZE], borders[BORDERS][PAGE_SIZE];
extern uint8_t frames[FRAMES][PAGE_SIZE];

typedef struct CPU {
    uint32_t random;
    bool calls;
    Space *space;               /* the loaded one */
    uint32_t seen[SPACES];      /* the generation that it knows */
    uint32_t many_seen[SPACES];
    uint32_t kernel_frame[KERNEL_PAGES];
    unsigned large_frame;
    struct {
        uint32_t checked, failed, seen, wanted;
    } fact[FACTS];
} CPU;

extern CPU stress_cpu[];         /* by this_cpu() */
CPU *stress_this(void);

/* Each CPU's own */
uint32_t stress_random(uint32_t below);

/* Whether entries are set by calls now, or stored and then reported */
bool stress_calls(void);

void stress_lock(uint32_t *lock);
void stress_unlock(uint32_t *lock);

/* What was seen once more, and whether it was right */
void stress_check(Fact fact, bool ok, uint32_t seen, uint32_t wanted);

/* view.c; as a kernel does that ages a page, or write-protects it */
uint64_t stress_new_entry(void);

/* What a space has for a page: 0 if it faults; BORDERS' pages, too */
uint64_t stress_mapped(Space *s, unsigned table, int page);

/* Load the space, or forget what the TLB may have of it, which has changed. */
void stress_load(Space *s);
void stress_refresh(Space *s);

/* Whether this CPU has it loaded, and nothing of it is old */
bool stress_knows(Space *s);

/* more.c: code across pages, many pages, the kernel's, large ones */
void more_init(void);
void more_init_frame(uint8_t *frame, uint8_t tag);
void check_cross(Space *s);
void check_kernel_pages(void);
void check_large(void);
void do_many(Space *s);
void do_many_change(Space *s);
void do_kernel_page(Space *s);
void do_kernel_burst(Space *s);
void do_large(Space *s);

/* space.c; with the space's lock held */
void space_init(void);
void space_build(Space *s);
void space_release(Space *s);

/*
 * Change an entry of a page, or of a page directory, in one of the ways that
 * the ABI has.  @current: the space is this CPU's.
 */
void space_set(Space *s, unsigned table, unsigned page, uint64_t entry,
               bool current);
void space_link(Space *s, unsigned table, bool link, bool current);
uint64_t space_get(Space *s, unsigned table, unsigned page);
void set_kernel_page(uint32_t linear, uint64_t entry);
unsigned space_index(Space *s);
uint32_t space_page(unsigned table, unsigned page);
unsigned space_many(void);
void space_set_many(Space *s, unsigned i, uint64_t entry, bool current);

/* In all spaces; without a lock held */
void space_set_large(uint32_t linear, uint64_t entry);

/* asm.S: false, and the handler told, if it faults */
bool probe_read(uint32_t linear, uint32_t *value);
bool probe_write(uint32_t linear, uint32_t value);
bool probe_call(uint32_t linear, uint32_t *value);
extern uint8_t probe_load[], probe_store[], probe_failed[];

#endif
