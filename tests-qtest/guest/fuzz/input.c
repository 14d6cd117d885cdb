/*
 * The fuzz program: bytes of an input, and what they choose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "desc.h"
#include "fuzz-input.h"
#include "input.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

#define ARENA_PAGES 8

static uint8_t arena[ARENA_PAGES * PAGE_SIZE]
    __attribute__((aligned(PAGE_SIZE)));
static uint8_t served[VMI_MAX_CALLS];
static unsigned nr_served;
static const uint8_t *first, *next, *end;
static bool repeated, tame;

/*
 * Where IRET may go: to a system call, which ends a trap().  Where a CPU may
 * start: it sleeps.
 */
asm(".text\n"
    "input_landing: int $0x80\n"
    "input_asleep: cli\n"
    "   hlt\n"
    "   jmp input_asleep\n");

void input_init(void)
{
    tame = guest_has_arg("tame");
    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        if (vmi_calls[nr].name && vmi_host_serves(nr)) {
            served[nr_served++] = nr;
        }
    }
}

void input_start(const uint8_t *bytes, uint32_t size)
{
    VMIAPState *state = (VMIAPState *)arena;

    first = next = bytes;
    end = bytes + size;
    repeated = false;
    memset(arena, 0, sizeof(arena));
    /* Nearly good, so that a store or two makes it so */
    *state = (VMIAPState) {
        .cr0 = CR0_PG | CR0_PE, .cr3 = input_first_space(),
        .eip = (uint32_t)input_asleep, .esp = (uint32_t)arena + PAGE_SIZE,
        .cs = KERNEL_CS, .ss = KERNEL_DS, .ds = KERNEL_DS, .es = KERNEL_DS,
        .gdtr_limit = sizeof(gdt) - 1, .gdtr_base = (uint32_t)gdt,
        .idtr_limit = sizeof(idt) - 1, .idtr_base = (uint32_t)idt,
    };
}

uint32_t input_left(void)
{
    return end - next;
}

void input_repeat(void)
{
    if (!repeated) {
        repeated = true;
        next = first + 1;
    }
}

uint8_t input_byte(void)
{
    return next < end ? *next++ : 0;
}

uint32_t input_word(void)
{
    uint32_t value = input_byte();

    value |= input_byte() << 8;
    value |= input_byte() << 16;
    return value | (uint32_t)input_byte() << 24;
}

static uint32_t input_half(void)
{
    uint32_t value = input_byte();

    return value | input_byte() << 8;
}

uint32_t input_first_space(void)
{
    if (paging_mode() == PAGING_PAE) {
        return (uint32_t)paging_pdpt_entry(0);
    }
    return paging_mode() == PAGING_OFF ? 0 :
           paging_second_space() - PAGE_SIZE;
}

static uint32_t input_entry(bool second)
{
    uint32_t page = PLAY_BASE + input_byte() * PAGE_SIZE;

    if (paging_mode() == PAGING_OFF) {
        return (uint32_t)arena + input_byte();
    }
    return (uint32_t)(second ? paging_second_entry(page) : paging_entry(page));
}

uint32_t input_arg(void)
{
    static const uint32_t special[] = {
        0, 1, 2, 77, 255, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc,
        0xd8000000, 0x000fffff, 0x00100000, 0xfec00000, 0xc0000000,
        0xb8000, 0xffffffa8,
    };
    uint8_t kind = input_byte();

    switch (kind & 0x0f) {
    case 0:
        return input_byte();
    case 1:
        return input_word();
    case 2:
        return (uint32_t)arena + input_half() % sizeof(arena);
    case 3:
        return PLAY_BASE + input_half() * 16;
    case 4:
        return input_entry(false);
    case 5:
        return input_entry(true);
    case 6:                     /* around the end of a page */
        return (uint32_t)arena + PAGE_SIZE * (kind >> 6) +
               PAGE_SIZE - input_byte() % 16;
    case 7:                     /* a directory, which tame inputs keep */
        return tame ? (uint32_t)arena :
               kind & 0x80 ? paging_second_space() : input_first_space();
    case 8:
        return APIC_BASE + input_half() % PAGE_SIZE;
    case 9:
        return (uint32_t)vmi_rom + input_half() % VMI_ROM_SIZE;
    case 10:
        return special[kind >> 4];
    case 11:                    /* an entry for a page of the arena */
        return ((uint32_t)arena + PAGE_SIZE * (kind >> 5)) | input_byte();
    case 12:                    /* a time: now, and a little; or high word */
        return kind & 0x80 ? vmi_counter(kind >> 4 & 1) >> 32 :
                             vmi_counter(kind >> 4 & 1) + input_half();
    case 13:                    /* a frame number of a table or the arena */
        return (kind & 0x80 ? input_first_space() : kind & 0x40 ?
                input_entry(kind & 0x20) : (uint32_t)arena) / PAGE_SIZE;
    case 14:                    /* a linear page and flags */
        return (PLAY_BASE + input_byte() * PAGE_SIZE) | input_byte();
    default:
        return (uint32_t)input_landing;
    }
}

uint32_t input_target(void)
{
    uint32_t target = input_arg();

    return tame ? (uint32_t)input_landing : target;
}

uint8_t input_call(void)
{
    uint8_t byte = input_byte();

    return byte < 0xc0 ? served[byte % nr_served] : input_byte();
}

uint16_t input_selector(void)
{
    static const uint16_t selectors[] = {
        KERNEL_DS, KERNEL_CS, USER_DS, USER_CS, 0, SPARE_SEL, FS_SEL,
        CODE16_SEL, ABSENT_SEL, TSS_SEL, LDT_SEL, SPARE_SEL | 3, TSS2_SEL,
        0xfffc, 0x80, 4,
    };

    return selectors[input_byte() % ARRAY_SIZE(selectors)];
}
