/*
 * The stress program: what a space must look like, and what a CPU may still
 * have of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"
#include "stress.h"

void stress_load(Space *s)
{
    CPU *cpu = stress_this();

    vmi_call(VMI_CALL_SetCR3, s->cr3, 0, 0, 0, 0);
    cpu->space = s;
    cpu->seen[space_index(s)] = s->generation;
    cpu->many_seen[space_index(s)] = s->many_generation;
}

bool stress_knows(Space *s)
{
    CPU *cpu = stress_this();

    return cpu->space == s && cpu->seen[space_index(s)] == s->generation &&
           cpu->many_seen[space_index(s)] == s->many_generation;
}

void stress_refresh(Space *s)
{
    CPU *cpu = stress_this();

    if (cpu->space != s) {
        stress_load(s);
        return;
    }
    if (stress_knows(s)) {
        return;
    }
    switch (stress_random(4)) {
    case 0:
        vmi_call(VMI_CALL_SetCR3, s->cr3, 0, 0, 0, 0);
        break;
    case 1:
        vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB, 0, 0, 0, 0);
        break;
    case 2:
        vmi_call(VMI_CALL_FlushTLB, VMI_FLUSH_TLB | VMI_FLUSH_GLOBAL, 0, 0, 0,
                 0);
        break;
    default:
        for (unsigned i = 0; i < TABLES * PAGES; i++) {
            vmi_call(VMI_CALL_InvalPage, space_page(i / PAGES, i % PAGES), 0,
                     0, 0, 0);
        }
        for (unsigned i = 0; i < space_many() &&
             cpu->many_seen[space_index(s)] != s->many_generation; i++) {
            vmi_call(VMI_CALL_InvalPage, MANY_BASE + i * PAGE_SIZE, 0, 0, 0,
                     0);
        }
        break;
    }
    cpu->seen[space_index(s)] = s->generation;
    cpu->many_seen[space_index(s)] = s->many_generation;
}

uint64_t stress_new_entry(void)
{
    static const uint32_t rights[] = { 0, RO, RW, RW };
    uint32_t right = rights[stress_random(4)];

    /* As kernels do, and as the processor has left the one before */
    if (stress_random(4)) {
        right |= right ? PTE_ACCESSED | PTE_DIRTY : 0;
    }
    return right ? (uint32_t)frames[stress_random(FRAMES)] | right : 0;
}

uint64_t stress_mapped(Space *s, unsigned table, int page)
{
    if (page < 0) {
        return table ? 0 : (uint32_t)borders[0] | RO;
    }
    if (!s->linked[table]) {
        return 0;
    }
    return page < PAGES ? s->entry[table][page] : (uint32_t)borders[1] | RO;
}
