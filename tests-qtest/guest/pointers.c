/*
 * Pointers that a call is given, good and bad: what is stored, what faults
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "invoke.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

#define RW          (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define FIRST       (PLAY_BASE + 16 * PAGE_SIZE)    /* two linear pages */
#define SECOND      (FIRST + PAGE_SIZE)
#define NO_MEMORY   0x30000000      /* physical: nothing is there */
#define NOT_PRESENT 2               /* error codes of a store */
#define NO_RIGHT    3
#define FILL        0x3c

typedef enum Way { BY_VMCALL, IN_PLACE, BY_POINTER, WAYS } Way;

static const char *const way_names[] = { "VMCALL", "in place", "by pointer" };

typedef struct PointerCall {
    uint8_t nr;
    uint8_t arg;                    /* of EAX, EDX, ECX, which it is in */
    uint8_t size;                   /* what is stored there */
    bool stores;
} PointerCall;

static const PointerCall pointer_calls[] = {
    { VMI_CALL_SetPxE, 1, 4, true },
    { VMI_CALL_SetPxELong, 2, 8, true },
    { VMI_CALL_UpdatePxE, 0, 4, false },
    { VMI_CALL_UpdatePxELong, 0, 8, false },
    { VMI_CALL_GetGDT, 0, 6, true },        /* the rest are in the ROM */
    { VMI_CALL_GetIDT, 0, 6, true },
    { VMI_CALL_WriteGDTEntry, 0, 8, true },
    { VMI_CALL_WriteLDTEntry, 0, 8, true },
    { VMI_CALL_WriteIDTEntry, 0, 8, true },
};

static uint8_t pages[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t rom_copy[VMI_ROM_SIZE];
static const PointerCall *call;
static Way way;
static Invoke state;

static void map(uint32_t first, uint32_t second)
{
    paging_put(FIRST, first ? ((uint32_t)pages[0] | first) : 0);
    paging_put(SECOND, second ? ((uint32_t)pages[1] | second) : 0);
    invlpg(FIRST);
    invlpg(SECOND);
    memset(pages, FILL, sizeof(pages));
}

static void make_call(void *unused)
{
    state.by_pointer = way == BY_POINTER;
    if (way == BY_VMCALL && vmi_host_serves(call->nr)) {
        invoke_vmcall(&state, call->nr);
    } else {
        invoke(&state, vmi_address[call->nr]);
    }
}

/* Give the call this pointer, and 0 for all else. */
static int call_with(uint32_t pointer)
{
    uint32_t *const args[] = { &state.eax, &state.edx, &state.ecx };

    state = (Invoke) { .eflags = EFLAGS_ONE, .ds_es = KERNEL_DS };
    *args[call->arg] = pointer;
    return trap(make_call, NULL);
}

/* Bytes that are not as they were */
static unsigned changed(void)
{
    unsigned bytes = 0;

    for (unsigned i = 0; i < sizeof(pages); i++) {
        bytes += ((uint8_t *)pages)[i] != FILL;
    }
    return bytes;
}

static const char *fact(const char *what)
{
    return text("%s %s, %s", vmi_calls[call->nr].name, what, way_names[way]);
}

static void expect_fault(const char *what, uint32_t pointer, uint32_t cr2,
                         uint32_t error)
{
    int vector = call_with(pointer);
    uint32_t seen = read_cr2();

    report(vector == VECTOR_PF && seen == cr2 && trap_frame.error == error,
           fact(what), "vector %d, error 0x%x, CR2 0x%x", vector,
           trap_frame.error, seen);
}

static void expect_nothing(const char *what, uint32_t pointer)
{
    int vector = call_with(pointer);

    report(vector < 0, fact(what), "vector %d", vector);
}

/* UpdatePxE is nothing to a processor, so it must not be seen in any way. */
static void test_update(void)
{
    uint64_t entry;

    map(0, 0);
    expect_nothing("does nothing where nothing is mapped", FIRST);
    expect_nothing("does nothing at the end of the address space", UINT32_MAX);
    map(PTE_PRESENT, PTE_PRESENT);
    expect_nothing("does nothing where only reading is allowed", FIRST);
    map(RW, RW);
    expect_nothing("stores nothing", FIRST);
    entry = paging_mode() == PAGING_PAE ? *(uint64_t *)paging_entry(FIRST)
                                        : *(uint32_t *)paging_entry(FIRST);
    report(!changed() && !(entry & PTE_DIRTY),
           fact("leaves the page clean that the entry is in"),
           "%u bytes, entry 0x%x", changed(), (uint32_t)entry);
}

static void test_faults(void)
{
    const bool host = vmi_host_serves(call->nr);

    map(0, 0);
    expect_fault("faults where nothing is mapped", FIRST, FIRST, NOT_PRESENT);
    expect_fault("faults at the end of the address space",
                 -call->size, -call->size, NOT_PRESENT);
    if (host) {
        expect_fault("faults where it would wrap around", UINT32_MAX,
                     UINT32_MAX, NOT_PRESENT);
    }
    map(PTE_PRESENT, PTE_PRESENT);
    expect_fault("faults where only reading is allowed", FIRST, FIRST,
                 NO_RIGHT);
    map(RW, 0);
    expect_fault("faults if its second page is not mapped", SECOND - 2,
                 SECOND, NOT_PRESENT);
    if (host) {
        unsigned bytes = changed();

        report(!bytes, fact("stores nothing then"), "%u bytes", bytes);
    }
    map(RW, PTE_PRESENT);
    expect_fault("faults if its second page is read-only", SECOND - 2,
                 SECOND, NO_RIGHT);
    map(0, RW);
    expect_fault("faults if its first page is not mapped", SECOND - 2,
                 SECOND - 2, NOT_PRESENT);
}

static void test_stores(void)
{
    static const uint32_t offsets[] = {
        0, 1, 3, PAGE_SIZE - 8, PAGE_SIZE - 7, PAGE_SIZE - 4, PAGE_SIZE - 3,
        PAGE_SIZE - 1, PAGE_SIZE,
    };
    unsigned bad = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
        const uint8_t *const start = (uint8_t *)pages + offsets[i];
        unsigned outside;

        map(RW, RW);
        bad += call_with(FIRST + offsets[i]) >= 0;
        outside = changed();
        for (unsigned j = 0; j < call->size; j++) {
            outside -= start[j] != FILL;
            bad += start[j] == FILL;
        }
        bad += outside;
    }
    report(!bad, fact("stores all of it and no more, wherever in two pages"),
           "%u wrong", bad);
}

/* A handler that maps the page, and returns to try again */
static void on_page_fault(Frame *frame)
{
    uint32_t page = read_cr2() & -PAGE_SIZE;

    paging_put(page, (uint32_t)pages[page == SECOND] | RW);
}

static void test_again(void)
{
    int vector;

    map(0, 0);
    set_handler(VECTOR_PF, on_page_fault);
    vector = call_with(SECOND - 2);
    set_handler(VECTOR_PF, NULL);
    report(vector < 0 && state.esp == state.esp_before && state.ebx == 0 &&
           changed() == call->size,
           fact("is made again after its faults"), "vector %d, %u bytes",
           vector, changed());
}

static void test_no_memory(void)
{
    uint32_t tpr;

    memcpy(rom_copy, vmi_rom, VMI_ROM_SIZE);
    expect_nothing("to the ROM is no fault", (uint32_t)vmi_rom + 0x100);
    report(!memcmp(rom_copy, vmi_rom, VMI_ROM_SIZE),
           fact("leaves the ROM as it is"), "%x",
           VMI_ROM_FIELD(uint32_t, 0x100));
    paging_put(FIRST, NO_MEMORY | RW);
    invlpg(FIRST);
    expect_nothing("where there is no memory is no fault", FIRST);
    apic_write(APIC_TPR, 0x20);
    expect_nothing("to a device is no fault", APIC_BASE + APIC_TPR);
    tpr = apic_read(APIC_TPR);
    report(call->nr != VMI_CALL_SetPxE || !tpr,
           fact("to a device is a store like others"), "TPR 0x%x", tpr);
    apic_write(APIC_TPR, 0);
    paging_put(FIRST, (uint32_t)&pages[0] | RW);
    invlpg(FIRST);
}

/* UpdateKernelStack stores to the current TSS alone. */
static void test_kernel_stack(void)
{
    static const PointerCall kernel_stack = { VMI_CALL_UpdateKernelStack };
    const uint32_t pointers[] = {
        0, 0xffff, 0x10000, FIRST, (uint32_t)pages, (uint32_t)&tss + 4,
        (uint32_t)vmi_rom, APIC_BASE, 0xfffffffc, UINT32_MAX,
    };
    uint32_t esp0 = tss.esp0;

    map(0, 0);
    call = &kernel_stack;
    for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++) {
        expect_nothing(text("of 0x%x is no fault", pointers[i]), pointers[i]);
    }
    report(!changed() && tss.esp0 == esp0, fact("of such has stored nothing"),
           "ESP0 0x%x", tss.esp0);
    tss.esp0 = esp0;
}

void guest_main(void)
{
    vmi_setup();
    pic_init();
    apic_init();
    for (unsigned i = 0; i < ARRAY_SIZE(pointer_calls); i++) {
        call = &pointer_calls[i];
        /* In the ROM it makes no difference how it is called. */
        for (way = vmi_host_serves(call->nr) ? 0 : BY_POINTER; way < WAYS;
             way++) {
            if (call->stores) {
                test_faults();
                test_stores();
                test_again();
            } else {
                test_update();
            }
            test_no_memory();
        }
    }
    for (way = 0; way < WAYS; way++) {
        test_kernel_stack();
    }
    report_end();
}
