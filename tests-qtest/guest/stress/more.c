/*
 * The stress program: code across the ends of pages, many pages at once, pages
 * of the kernel's, and large ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"
#include "stress.h"

/* The pages of each CPU, in a place that is not used else */
#define KERNEL_BASE (DIRECT_MAP + 0x01800000)

static uint32_t large_frames;   /* physical: behind the direct map */

static uint32_t large_size(void)
{
    return paging_mode() == PAGING_PAE ? 0x200000 : 0x400000;
}

/* mov $(tag | tag of the next page << 8), %eax; ret */
void more_init_frame(uint8_t *frame, uint8_t tag)
{
    AT(uint32_t, frame + TAIL) = 0xc3000000 | tag;
    AT(uint8_t, frame + HEAD) = 0xb8;
    AT(uint8_t, frame + HEAD + 1) = tag;
    AT(uint32_t, frame + MARK) = (uint32_t)frame;
}

static uint8_t tag_of(uint64_t entry)
{
    return AT(uint8_t, ((uint32_t)entry & -PAGE_SIZE) + HEAD + 1);
}

/* From a local page to the next one, from a global to a local one, or back */
void check_cross(Space *s)
{
    unsigned table = stress_random(TABLES);
    int page = stress_random(4) ? stress_random(PAGES + 1) :
               stress_random(2) ? 0 : PAGES;
    uint64_t first = stress_mapped(s, table, page - 1);
    uint64_t second = stress_mapped(s, table, page);
    uint32_t wanted = 0, value = 0;

    if (first && second) {
        wanted = tag_of(first) | tag_of(second) << 8;
    }
    probe_call(space_page(table, page) - 2, &value);
    stress_check(CROSS, value == wanted, value, wanted);
}

static uint32_t many_frame(Space *s, unsigned i)
{
    return (uint32_t)frames[(i * 7 + s->many_shift) % FRAMES];
}

void do_many(Space *s)
{
    unsigned start = stress_random(space_many());

    stress_refresh(s);
    for (unsigned k = 0; k < space_many() / 2; k++) {
        unsigned i = (start + k) % space_many();
        uint32_t wanted = s->many_generation ? many_frame(s, i) : 0, value = 0;

        probe_read(MANY_BASE + i * PAGE_SIZE + MARK, &value);
        stress_check(MANY_PAGES, value == wanted, value, wanted);
        if (!s->many_generation) {
            break;
        }
    }
}

/* More than other CPUs are told one by one */
void do_many_change(Space *s)
{
    if (s->many_generation && stress_random(8)) {
        return;
    }
    s->many_shift = stress_random(FRAMES);
    for (unsigned i = 0; i < space_many(); i++) {
        space_set_many(s, i, many_frame(s, i) | RO,
                       stress_this()->space == s);
    }
    s->many_generation++;
}

static uint32_t kernel_page(unsigned i)
{
    return KERNEL_BASE + (this_cpu() * KERNEL_PAGES + i) * PAGE_SIZE;
}

static void check_kernel_page(unsigned i)
{
    uint32_t wanted = (uint32_t)frames[stress_this()->kernel_frame[i]];
    uint32_t value = 0;

    probe_read(kernel_page(i) + MARK, &value);
    stress_check(GLOBAL, value == wanted, value, wanted);
}

void check_kernel_pages(void)
{
    for (unsigned i = 0; i < 4; i++) {
        check_kernel_page(stress_random(KERNEL_PAGES));
    }
}

/* The kernel's mappings are the same in all spaces: one InvalPage for all. */
static void change_kernel_page(unsigned i)
{
    unsigned frame = stress_random(FRAMES);

    stress_this()->kernel_frame[i] = frame;
    set_kernel_page(kernel_page(i), (uint32_t)frames[frame] | PTE_PRESENT |
                    PTE_GLOBAL);
    vmi_call(VMI_CALL_InvalPage, kernel_page(i), 0, 0, 0, 0);
    check_kernel_page(i);
}

void do_kernel_page(Space *s)
{
    change_kernel_page(stress_random(KERNEL_PAGES));
}

/* More than is noted one by one for the spaces that are away */
void do_kernel_burst(Space *s)
{
    for (unsigned i = 0; i < KERNEL_PAGES; i++) {
        change_kernel_page(i);
    }
}

static uint32_t large_page(void)
{
    return LARGE_BASE + this_cpu() * LARGE_STEP;
}

static uint32_t large_frame(unsigned i)
{
    return large_frames + i * LARGE_STEP;
}

/* Its bytes say which frame it is, and which page in it. */
static uint8_t large_tag(unsigned frame, uint32_t offset)
{
    return frame * 64 + offset / PAGE_SIZE % 61;
}

/* Mostly one of a few pages, so that other spaces have it, too */
static uint32_t large_offset(void)
{
    unsigned pages = large_size() / PAGE_SIZE - 1;

    return (stress_random(4) ? stress_random(8) * 61 : stress_random(pages)) *
           PAGE_SIZE;
}

void check_large(void)
{
    unsigned frame = stress_this()->large_frame;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t at = large_offset();
        uint32_t wanted = large_frame(frame) + at, value = 0;

        probe_read(large_page() + at + MARK, &value);
        stress_check(LARGE, value == wanted, value, wanted);

        wanted = large_tag(frame, at) | large_tag(frame, at + PAGE_SIZE) << 8;
        value = 0;
        probe_call(large_page() + at + HEAD, &value);
        stress_check(LARGE_CODE, value == wanted, value, wanted);
    }
}

void do_large(Space *s)
{
    unsigned frame = stress_random(LARGE_FRAMES);

    stress_this()->large_frame = frame;
    space_set_large(large_page(), large_frame(frame) | RW | PTE_LARGE |
                    PTE_GLOBAL);
    vmi_call(VMI_CALL_InvalPage, large_page() + stress_random(large_size()),
             0, 0, 0, 0);
    check_large();
}

static void init_large_frame(unsigned frame)
{
    paging_put_large(LARGE_BASE, large_frame(frame));
    write_cr3(read_cr3());
    for (uint32_t at = 0; at < large_size(); at += PAGE_SIZE) {
        more_init_frame((uint8_t *)LARGE_BASE + at, large_tag(frame, at));
        AT(uint32_t, LARGE_BASE + at + MARK) = large_frame(frame) + at;
    }
}

void more_init(void)
{
    large_frames = guest_arg_number("large", 40) << 20;
    for (unsigned frame = 0; frame < LARGE_FRAMES; frame++) {
        init_large_frame(frame);
    }
    for (unsigned i = 0; i < BORDERS; i++) {
        more_init_frame(borders[i], 0xf0 + i);
    }
}
