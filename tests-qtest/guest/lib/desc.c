/*
 * VMI guest programs: descriptor tables, exceptions, user mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"

#define MULTIBOOT_HAS_CMDLINE 4

uint64_t gdt[GDT_ENTRIES] __attribute__((aligned(16)));
uint64_t idt[256] __attribute__((aligned(16)));
TSS tss;
Frame trap_frame;
const char *guest_args = "";

static Handler *handlers[256];
static TSS second_tss;

uint64_t make_desc(uint32_t base, uint32_t limit, uint32_t flags)
{
    uint32_t low = base << 16 | (limit & 0xffff);
    uint32_t high = (base & 0xff000000) | ((base >> 16) & 0xff) |
                    (limit & 0xf0000) | flags;

    return (uint64_t)high << 32 | low;
}

void desc_load(void)
{
    TablePointer gdtr = { sizeof(gdt) - 1, (uint32_t)gdt };
    TablePointer idtr = { sizeof(idt) - 1, (uint32_t)idt };

    load_gdt(&gdtr);
    asm volatile("lidt %0" : : "m"(idtr));
}

void desc_init(void)
{
    const uint32_t flat = DESC_32BIT | DESC_PAGES;

    gdt[KERNEL_CS / 8] = make_desc(0, 0xfffff, flat | DESC_CODE);
    gdt[KERNEL_DS / 8] = make_desc(0, 0xfffff, flat | DESC_DATA);
    gdt[USER_CS / 8] = make_desc(0, 0xfffff, flat | DESC_CODE | DESC_DPL3);
    gdt[USER_DS / 8] = make_desc(0, 0xfffff, flat | DESC_DATA | DESC_DPL3);
    gdt[TSS_SEL / 8] = make_desc((uint32_t)&tss, sizeof(tss) - 1, DESC_TSS);
    gdt[LDT_SEL / 8] = make_desc((uint32_t)gdt, sizeof(gdt) - 1, DESC_LDT);
    gdt[ABSENT_SEL / 8] = make_desc(0, 0xfffff,
                                    (flat | DESC_DATA) & ~DESC_PRESENT);
    gdt[TSS2_SEL / 8] = make_desc((uint32_t)&second_tss,
                                  sizeof(second_tss) - 1, DESC_TSS);
    gdt[CODE16_SEL / 8] = make_desc(0, 0xfffff, DESC_PAGES | DESC_CODE);
    gdt[FS_SEL / 8] = make_desc(0, 0xfffff, flat | DESC_DATA | DESC_DPL3);
    gdt[LINUX_USER_CS / 8] = gdt[USER_CS / 8];
    gdt[LINUX_USER_DS / 8] = gdt[USER_DS / 8];

    for (unsigned i = 0; i < ARRAY_SIZE(idt); i++) {
        uint32_t entry = (uint32_t)vector_entries[i];
        uint32_t flags = i == VECTOR_SYSCALL || i == VECTOR_BP ? 0xee00 :
                                                                 0x8e00;

        idt[i] = (uint64_t)((entry & 0xffff0000) | flags) << 32 |
                 KERNEL_CS << 16 | (entry & 0xffff);
    }

    tss.ss0 = second_tss.ss0 = KERNEL_DS;
    tss.esp0 = second_tss.esp0 = (uint32_t)entry_stack_top;
    /* No ports for users, but by IOPL. */
    tss.iomap = second_tss.iomap = sizeof(tss);
    desc_load();
    asm volatile("ltr %w0" : : "r"(TSS_SEL));
}

void set_handler(uint8_t vector, Handler *handler)
{
    handlers[vector] = handler;
}

static void dump(const Frame *f)
{
    printf("Bail out! vector %u error 0x%x at 0x%08x cs 0x%x eflags 0x%x "
           "cr2 0x%08x\n", f->vector, f->error, f->eip, f->cs, f->eflags,
           read_cr2());
    printf("# eax %08x ebx %08x ecx %08x edx %08x\n", f->eax, f->ebx, f->ecx,
           f->edx);
    printf("# esi %08x edi %08x ebp %08x esp %08x\n", f->esi, f->edi, f->ebp,
           f->cs & 3 ? f->esp : (uint32_t)&f->esp);
}

/* Without a change of the CPL, the frame ends with EFLAGS. */
void save_frame(const Frame *frame)
{
    if ((frame->cs & 3) || (frame->eflags & EFLAGS_VM)) {
        trap_frame = *frame;
    } else {
        memcpy(&trap_frame, frame, offsetof(Frame, esp));
        trap_frame.esp = (uint32_t)&frame->esp;
        trap_frame.ss = KERNEL_DS;
    }
}

void handle_vector(Frame *frame)
{
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    if (trap_stack && (frame->vector < 0x20 ||
                       frame->vector == VECTOR_SYSCALL)) {
        save_frame(frame);
        trap_jump(frame->vector);
    }
    dump(frame);
    guest_exit(false);
}

void enter_user(void *opaque)
{
    UserEntry *entry = opaque;

    asm volatile("mov %[ds], %%ds\n\t"
                 "mov %[ds], %%es\n\t"
                 "push %[ds]\n\t"
                 "push %[esp]\n\t"
                 "push %[eflags]\n\t"
                 "push %[cs]\n\t"
                 "push %[eip]\n\t"
                 "iret"
                 : : [ds]"r"(USER_DS), [cs]"i"(USER_CS),
                 [esp]"i"(user_stack_top), [eflags]"r"(entry->eflags),
                 [eip]"r"(entry->eip), "a"(entry->eax), "D"(entry->edi)
                 : "memory");
    __builtin_unreachable();
}

int run_user(void (*fn)(void), uint32_t eflags)
{
    UserEntry entry = {
        .eip = (uint32_t)fn,
        .eflags = eflags | EFLAGS_ONE,
    };

    return trap(enter_user, &entry);
}

/* Whether "word" is one of the command line's words */
bool guest_has_arg(const char *word)
{
    size_t len = strlen(word);

    for (const char *p = guest_args; (p = strstr(p, word)); p += len) {
        if ((p == guest_args || p[-1] == ' ') &&
            (p[len] == ' ' || p[len] == '\0')) {
            return true;
        }
    }
    return false;
}

/* The rest of the command line behind "name=" */
const char *guest_arg_value(const char *name)
{
    size_t len = strlen(name);

    for (const char *p = guest_args; (p = strstr(p, name)); p += len) {
        if ((p == guest_args || p[-1] == ' ') && p[len] == '=') {
            return p + len + 1;
        }
    }
    return NULL;
}

uint64_t guest_arg_number(const char *name, uint64_t otherwise)
{
    const char *p = guest_arg_value(name);
    unsigned base = 10;
    uint64_t value = 0;

    if (!p) {
        return otherwise;
    }
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (; *p && *p != ' '; p++) {
        value = value * base + (*p >= 'a' ? *p - 'a' + 10 : *p - '0');
    }
    return value;
}

void guest_start(void *multiboot)
{
    uint32_t *info = multiboot;

    if (info[0] & MULTIBOOT_HAS_CMDLINE) {
        guest_args = (const char *)info[4];
    }
    console_init();
    desc_init();
    guest_main();
    guest_exit(true);
}
