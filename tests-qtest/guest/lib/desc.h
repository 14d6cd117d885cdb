/*
 * VMI guest programs: descriptor tables, exceptions, user mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_DESC_H
#define GUEST_DESC_H

#include "x86.h"

/*
 * Selectors.  The order of the first four is SYSENTER's and SYSEXIT's; the
 * kernel's two are also written as numbers in start.S.
 */
#define KERNEL_CS   0x08
#define KERNEL_DS   0x10
#define USER_CS     (0x18 | 3)
#define USER_DS     (0x20 | 3)
#define TSS_SEL     0x28
#define LDT_SEL     0x30
#define ABSENT_SEL  0x38        /* a data segment that is not present */
#define SPARE_SEL   0x40        /* for the tests to write */
#define TSS2_SEL    0x48        /* another TSS, for SetTR */
#define CODE16_SEL  0x50
#define FS_SEL      0x58        /* flat, not used by anything else */
#define LINUX_USER_CS (0x70 | 3)    /* as USER_CS and USER_DS, under the */
#define LINUX_USER_DS (0x78 | 3)    /* numbers that Linux has */
#define GDT_ENTRIES 16

#define DESC_PRESENT    0x00008000
#define DESC_TYPE_MASK  0x00001f00
#define DESC_CODE       0x00009a00
#define DESC_DATA       0x00009200
#define DESC_TSS        0x00008900
#define DESC_LDT        0x00008200
#define DESC_DPL3       0x00006000
#define DESC_CONFORMING 0x00000400
#define DESC_WRITABLE   0x00000200
#define DESC_32BIT      0x00400000
#define DESC_PAGES      0x00800000

#define VECTOR_SYSCALL  0x80    /* the one gate that is open to users */

typedef struct __attribute__((packed)) TablePointer {
    uint16_t limit;
    uint32_t base;
} TablePointer;

typedef struct TSS {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t regs[8], segs[6], ldt;
    uint16_t trap, iomap;
    uint8_t no_iomap;
} TSS;

/* What the entry code pushes; from ESP on only if the CPL has changed */
typedef struct Frame {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, esp_here, ebx, edx, ecx, eax;
    uint32_t vector, error;
    uint32_t eip, cs, eflags;
    uint32_t esp, ss;
    uint32_t v86_es, v86_ds, v86_fs, v86_gs;
} Frame;

typedef void Handler(Frame *frame);

extern uint64_t gdt[GDT_ENTRIES];
extern uint64_t idt[256];
extern TSS tss;

uint64_t make_desc(uint32_t base, uint32_t limit, uint32_t flags);
void desc_init(void);
void desc_load(void);

/* Call this for a vector; NULL: none, it ends a trap() or the guest. */
void set_handler(uint8_t vector, Handler *handler);

/*
 * Call fn(arg).  If it causes an exception or a system call that nothing
 * handles, end it and return the vector, with the state in trap_frame;
 * otherwise return -1.  EFLAGS are restored.  Not for two CPUs at once.
 */
int trap(void (*fn)(void *), void *arg);
void trap_jump(int vector) __attribute__((noreturn));
extern Frame trap_frame;
/* For handlers: copy a frame to trap_frame, with ESP and SS in any case. */
void save_frame(const Frame *frame);
extern uint32_t trap_stack;

/* Code in user mode, by trap(); int 0x80 ends it with VECTOR_SYSCALL. */
typedef struct UserEntry {
    uint32_t eip, eflags;
    uint32_t eax, edi;
} UserEntry;

int run_user(void (*fn)(void), uint32_t eflags);
void enter_user(void *entry);

extern uint8_t entry_stack_top[], user_stack_top[], boot_stack_top[];
extern uint8_t vector_entries[][16];
void load_gdt(TablePointer *pointer);
void handle_vector(Frame *frame);
void guest_start(void *multiboot);

/* The program: what a test file defines */
void guest_main(void);

/* The command line of -append */
extern const char *guest_args;
bool guest_has_arg(const char *word);
const char *guest_arg_value(const char *name);
uint64_t guest_arg_number(const char *name, uint64_t otherwise);

#endif
