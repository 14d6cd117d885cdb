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

/* What a space's pages must look like, and where its tables are */
typedef struct Space {
    uint32_t lock;              /* a leaf except for the frames' locks */
    uint32_t cr3;
    uint8_t *pdpt;              /* PAE */
    uint8_t *dir, *table[TABLES];
    bool linked[TABLES];
    uint64_t entry[TABLES][PAGES];
    uint32_t generation;        /* counts changes that CPUs may have missed */
} Space;

typedef enum Fact {
    READ, WRITE, DIRTY, CALL, FORKED, BUILT, UNLINKED, GLOBAL, FACTS
} Fact;

extern Space spaces[SPACES];
extern uint8_t frames[FRAMES][PAGE_SIZE];

typedef struct CPU {
    uint32_t random;
    bool calls;
    Space *space;               /* the loaded one */
    uint32_t seen[SPACES];      /* the generation that it knows */
    uint32_t kernel_frame;
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
uint32_t space_page(unsigned table, unsigned page);

/* asm.S: false, and the handler told, if it faults */
bool probe_read(uint32_t linear, uint32_t *value);
bool probe_write(uint32_t linear, uint32_t value);
bool probe_call(uint32_t linear, uint32_t *value);
extern uint8_t probe_load[], probe_store[], probe_failed[];

#endif
