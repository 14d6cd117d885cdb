/*
 * What a hostile kernel may do, by instructions in a string of bytes
 *
 * Each input is a sequence of operations: calls by any transport with any
 * registers, from several modes and from a second CPU, stores, changes of
 * control registers, page tables and segments, waiting.  Arguments are mostly
 * chosen from what the device might trip over.  Any bytes make an input.
 *
 * Arguments: fuzzer: wait for one input at a time, see vmi-calls-fuzz.c; else
 * all that are in memory are carried out.  cpus=N; with one, the input chooses
 * how paging is.  tame: leave out what ends the machine or stops this CPU.
 * verbose: say which input it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "fuzz-input.h"
#include "input.h"
#include "invoke.h"
#include "irq.h"
#include "smp.h"
#include "vmi.h"

#define MAX_OPS         48
#define WATCHDOG_HZ     200
#define WATCHDOG_TICKS  3

enum {
    OP_VMCALL, OP_SLOT, OP_INDIRECT, OP_PORT, OP_RELOCATED, OP_AP,
    OP_STORE, OP_LOAD, OP_MODE, OP_CONTROL, OP_ENTRY, OP_WAIT, OP_SEGMENT,
    OP_INIT, OP_SPACE, OP_AGAIN, OPS
};

static bool tame;
static bool init_again;         /* VMI mode may have ended, or be elsewhere */
static unsigned executed, faults;
static unsigned ticks;          /* since the operation began */

static Invoke call;
static uint32_t call_target, segment = KERNEL_DS;
static uint32_t store_at, store_value;

/* The second CPU: it halts until there is a call to make. */
static struct {
    uint32_t target;            /* 0: nothing to do */
    uint32_t eax, edx, ecx, stack[2];
    unsigned times;
} ap;
static uint8_t ap_code[] = { 0x0f, 0x01, 0xc1, 0, 0xc3 };

static bool ends_machine(unsigned nr, uint32_t eax)
{
    return nr == VMI_CALL_Reboot || nr == VMI_CALL_Shutdown ||
           (nr == VMI_CALL_APICWrite && (eax & 0xff0) == APIC_ICR);
}

static void do_invoke(void *unused)
{
    invoke(&call, call_target);
}

static void do_store(void *unused)
{
    AT(uint32_t, store_at) = store_value;
}

static void do_load(void *unused)
{
    store_value = AT(uint32_t, store_at);
}

static void guarded(void (*fn)(void *))
{
    ticks = 0;
    faults += trap(fn, NULL) >= 0;
}

static void read_call(unsigned nr)
{
    call = (Invoke) {
        .eflags = EFLAGS_ONE | (input_byte() & (EFLAGS_STATUS | EFLAGS_DF)),
        .ds_es = segment,
        .eax = input_arg(), .edx = input_arg(), .ecx = input_arg(),
    };
    if (nr >= VMI_MAX_CALLS || vmi_calls[nr].stack || !vmi_calls[nr].name) {
        call.stack[0] = call.ebx = input_arg();
        call.stack[1] = call.esi = input_arg();
    }
    if (tame && nr == VMI_CALL_SetCR3 && paging_mode() != PAGING_OFF) {
        call.eax = call.eax & 1 ? paging_second_space() : input_first_space();
    }
    if (nr == VMI_CALL_IRET) {
        call.stack[0] = input_target();
        call.stack[1] = input_selector();
    }
}

static uint32_t slot_of(unsigned nr)
{
    return (uint32_t)vmi_rom + VMI_ROM_VMCALL_SLOTS +
           nr * VMI_ROM_SLOT_SIZE;
}

static void op_call(unsigned op)
{
    static uint8_t vmcall[] = { 0x0f, 0x01, 0xc1, 0, 0xc3 };
    static const uint8_t port[] = { 0xe6, VMI_PORT, 0xc3 };
    unsigned nr = input_call();

    if (op == OP_SLOT || op == OP_INDIRECT) {
        nr %= VMI_ROM_SLOTS;
    }
    read_call(nr);
    if (tame && ends_machine(nr, call.eax)) {
        return;
    }
    switch (op) {
    case OP_VMCALL:
        AT(uint8_t, vmcall + 3) = nr;
        call_target = (uint32_t)vmcall;
        break;
    case OP_SLOT:
    case OP_INDIRECT:
        call_target = slot_of(nr);
        call.by_pointer = op == OP_INDIRECT;
        break;
    case OP_PORT:
        call.edi = nr;
        call_target = (uint32_t)port;
        init_again |= nr == VMI_HOST_INIT;
        break;
    case OP_RELOCATED:
        if (nr >= VMI_MAX_CALLS || !vmi_address[nr]) {
            return;
        }
        call_target = vmi_address[nr];
        break;
    }
    guarded(do_invoke);
}

static void op_ap(void)
{
    unsigned nr = input_call();

    read_call(nr);
    if ((tame && ends_machine(nr, call.eax)) || smp_cpus < 2 || ap.target) {
        return;
    }
    ap_code[3] = nr;
    ap.eax = call.eax;
    ap.edx = call.edx;
    ap.ecx = call.ecx;
    ap.stack[0] = call.stack[0];
    ap.stack[1] = call.stack[1];
    ap.times = 1 + input_byte() % 32;
    barrier();
    ap.target = nr < VMI_ROM_SLOTS ? slot_of(nr) : (uint32_t)ap_code;
    barrier();
    apic_write(APIC_ICR2, 1 << 24);
    apic_write(APIC_ICR, IPI_VECTOR);
}

static void __attribute__((used)) ap_loop(void)
{
    for (;;) {
        sti_hlt_cli();
        if (READ_ONCE(ap.target)) {
            for (unsigned i = 0; i < ap.times; i++) {
                vmi_do_call(ap.target, ap.eax, ap.edx, ap.ecx, ap.stack[0],
                            ap.stack[1]);
            }
            barrier();
            ap.target = 0;
        }
    }
}

static bool on_ap_stack(void)
{
    uint32_t here = (uint32_t)__builtin_frame_address(0);
    uint32_t top = ap_good_state(1).esp;

    return here < top && here >= top - 8192;
}

/* The other CPU anew, with the state that the input says */
static void op_start(void)
{
    uint32_t state = input_arg(), id = input_byte() & 0x80 ? input_arg() : 1;

    if (smp_cpus > 1) {
        ap_send(1, ICR_INIT, SEND_NATIVE);
        vmi_call(VMI_CALL_SetInitialAPState, state, id, 0, 0, 0);
        ap_send(1, ICR_STARTUP, SEND_OFFSET);
    }
}

/* A fault ends what the CPU does, and so does the watchdog. */
static void on_fault(Frame *frame)
{
    if (on_ap_stack()) {
        uint32_t top = ap_good_state(1).esp;

        ap.target = 0;
        asm volatile("mov %0, %%esp\n\t"
                     "call ap_loop" : : "r"(top) : "memory");
    }
    if (!trap_stack) {
        printf("Bail out! vector %u error 0x%x at 0x%x\n", frame->vector,
               frame->error, frame->eip);
        guest_exit(false);
    }
    save_frame(frame);
    trap_jump(frame->vector);
}

static void on_tick(Frame *frame)
{
    outb(0x20, 0x20);
    if (trap_stack && ++ticks > WATCHDOG_TICKS && !on_ap_stack()) {
        on_fault(frame);
    }
}

/* Of whatever sort: an alarm may come by any vector. */
static void on_interrupt(Frame *frame)
{
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    apic_write(APIC_EOI, 0);
}

/* VMCALL, then the port, in code of another mode; INT3 comes behind */
static uint8_t mode_code[16] __attribute__((aligned(16)));
static uint32_t mode_eflags;

static void in_code16(void *unused)
{
    static struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } target = { 0, CODE16_SEL };

    asm volatile("lcall *%0" : : "m"(target) : "eax", "edx", "memory");
}

static void in_v86(void *unused)
{
    memcpy((void *)0x20000, mode_code, sizeof(mode_code));
    asm volatile("push $0; push $0; push $0; push $0\n\t"
                 "push $0x2000; push $0xff00\n\t"
                 "push %0\n\t"
                 "push $0x2000; push $0\n\t"
                 "iret" : : "r"(mode_eflags | EFLAGS_VM) : "memory");
}

static void in_user(void *unused)
{
    UserEntry entry = {
        .eip = (uint32_t)mode_code, .eflags = mode_eflags,
        .eax = call.eax, .edi = call.edi,
    };

    enter_user(&entry);
}

static void op_mode(void)
{
    static void (*const modes[])(void *) = { in_code16, in_v86, in_user };
    uint8_t how = input_byte(), nr = input_call();
    unsigned at = how & 0x20 ? 1 : 0;

    if (tame && ends_machine(nr, APIC_ICR)) {
        return;
    }
    memset(mode_code, 0xcc, sizeof(mode_code));
    mode_code[0] = input_byte();        /* a prefix, perhaps */
    if (how & 0x10) {
        mode_code[at] = 0xe6;
        mode_code[at + 1] = VMI_PORT;
    } else {
        memcpy(mode_code + at, (uint8_t[]) { 0x0f, 0x01, 0xc1, nr }, 4);
    }
    gdt[CODE16_SEL / 8] = make_desc((uint32_t)mode_code, 0xf, DESC_CODE);
    mode_eflags = EFLAGS_ONE | (how & 0xc0) << 6;       /* IOPL */
    call.eax = input_arg();
    call.edi = nr;
    tss.iomap = how & 8 ? offsetof(TSS, no_iomap) : sizeof(tss);
    guarded(modes[how % ARRAY_SIZE(modes)]);
}

static void op_control(void)
{
    uint8_t bits = input_byte();
    const uint32_t cr0 = CR0_WP | CR0_AM | CR0_TS | CR0_MP;
    const uint32_t cr4 = CR4_TSD | CR4_DE | CR4_PGE;

    write_cr0((read_cr0() & ~cr0) | (bits & 1 ? CR0_WP : 0) |
              (bits & 2 ? CR0_AM : 0) | (bits & 4 ? CR0_TS : 0));
    write_cr4((read_cr4() & ~cr4) | (bits & 8 ? CR4_TSD : 0) |
              (bits & 16 ? CR4_PGE : 0) | (bits & 32 ? CR4_DE : 0));
}

/* An entry of the tables, written without a word, or the second space's */
static void op_entry(void)
{
    uint32_t page = PLAY_BASE + input_byte() % 16 * PAGE_SIZE;
    uint32_t value = input_arg();

    if (paging_mode() == PAGING_OFF) {
        return;
    }
    if (value & 0x800) {
        paging_put_second(page, value);
    } else {
        paging_put(page, value);
    }
}

static void op_wait(void)
{
    uint8_t how = input_byte();

    sti();
    for (unsigned i = 0; i < (how & 0x7f) * 16; i++) {
        cpu_pause();
    }
    cli();
}

static void do_probe(void *unused)
{
    vmi_cancel_alarm(VMI_CYCLES_REAL);
    vmi_cancel_alarm(VMI_CYCLES_AVAILABLE);
}

/* Tables anew.  A second CPU runs on them, so it must sleep or not care. */
static void set_space(PagingMode mode)
{
    bool changed = mode != paging_mode();

    for (unsigned i = 0; i < 10000 && READ_ONCE(ap.target); i++) {
        cpu_pause();
    }
    paging_set(mode);
    vmi_use_direct_map(mode != PAGING_OFF);
    if (changed || init_again || trap(do_probe, NULL) >= 0) {
        init_again = false;
        if (!vmi_call_init()) {
            vmi_relocate_all();
        }
    }
}

static void run_op(void *unused)
{
    unsigned op = input_byte();

    switch (op % OPS) {
    case OP_VMCALL ... OP_RELOCATED:
        op_call(op % OPS);
        break;
    case OP_AP:
        op_ap();
        break;
    case OP_STORE:
        store_at = input_arg();
        store_value = input_arg();
        if (!tame || store_at - APIC_BASE >= PAGE_SIZE) {
            guarded(do_store);
        }
        break;
    case OP_LOAD:
        store_at = input_arg();
        guarded(do_load);
        break;
    case OP_MODE:
        op_mode();
        break;
    case OP_CONTROL:
        op_control();
        break;
    case OP_ENTRY:
        op_entry();
        break;
    case OP_WAIT:
        op_wait();
        break;
    case OP_SEGMENT:
        gdt[SPARE_SEL / 8] = input_word() | (uint64_t)input_word() << 32;
        segment = input_selector();
        break;
    case OP_INIT:
        call = (Invoke) {
            .eflags = EFLAGS_ONE, .ds_es = KERNEL_DS,
            .eax = op & 0x40 ? (uint32_t)vmi_rom : input_arg(),
            .edx = op & 0x80 ? VMI_ROM_REVISION : input_arg(),
            .edi = VMI_HOST_INIT,
        };
        init_again = true;
        invoke_port(&call);
        break;
    case OP_SPACE:
        if (paging_mode() != PAGING_OFF) {
            vmi_call(VMI_CALL_SetCR3, op & 0x40 ? paging_second_space() :
                     input_first_space(), 0, 0, 0, 0);
        }
        break;
    case OP_AGAIN:
        if (op & 0x80) {
            op_start();
        } else {
            input_repeat();
        }
        break;
    }
}

/* What an earlier input may have left behind */
static void begin(PagingMode mode)
{
    write_cr0((read_cr0() | CR0_WP) & ~(CR0_TS | CR0_AM));
    write_cr4(read_cr4() & ~(CR4_TSD | CR4_DE));
    desc_init();
    pic_init();
    set_handler(PIC_VECTOR, on_tick);
    pic_unmask(0);
    pit_periodic(WATCHDOG_HZ);
    apic_enable();
    segment = KERNEL_DS;
    tss.iomap = sizeof(tss);
    set_space(smp_cpus > 1 ? paging_mode() : mode);
}

static void run_input(const uint8_t *bytes, uint32_t size)
{
    input_start(bytes, MIN(size, FUZZ_INPUT_MAX));
    begin(input_byte() % 3);
    for (unsigned i = 0; i < MAX_OPS && input_left(); i++) {
        guarded(run_op);
        executed++;
    }
    cli();
    if (init_again) {
        begin(paging_mode());
    }
}

static void start_ap(void)
{
    VMIAPState state = ap_good_state(1);
    bool ok;

    ap_boot(1, &state, SEND_OFFSET);
    ok = ap_wait(0);
    report(ok, "the second CPU starts", "%u", ap_started);
    ap_start_run(1, ap_loop);
}

/* The fuzzer stops the CPU in each write to the doorbell. */
static void serve_fuzzer(void)
{
    AT(uint32_t, FUZZ_INPUT) = 0;
    for (;;) {
        outl(FUZZ_DOORBELL, 0);
        while (!AT(uint32_t, FUZZ_INPUT)) {
            cpu_pause();
        }
        run_input((const uint8_t *)FUZZ_INPUT + 4, AT(uint32_t, FUZZ_INPUT));
    }
}

void guest_main(void)
{
    unsigned inputs = 0;
    uint32_t at = FUZZ_INPUT;

    vmi_setup();
    pic_init();
    apic_init();
    smp_cpus = guest_arg_number("cpus", 2);
    tame = guest_has_arg("tame");
    for (unsigned vector = 0; vector < 256; vector++) {
        set_handler(vector, vector < 0x20 || vector == VECTOR_SYSCALL ?
                            on_fault : on_interrupt);
    }
    input_init();
    if (smp_cpus > 1) {
        start_ap();
    }
    if (guest_has_arg("fuzzer")) {
        serve_fuzzer();
    }
    while (AT(uint32_t, at)) {
        uint32_t size = AT(uint32_t, at);

        if (guest_has_arg("verbose")) {
            printf("# input %u, %u bytes\n", inputs, size);
        }
        run_input((const uint8_t *)at + 4, size);
        at += 4 + size;
        inputs++;
    }
    begin(paging_mode());
    report(executed, "all inputs were carried out", "%u inputs, %u operations, "
           "%u faults", inputs, executed, faults);
    report(vmi_frequency() == 1000000000, "calls still work after that",
           "%llu Hz", vmi_frequency());
    report_end();
}
