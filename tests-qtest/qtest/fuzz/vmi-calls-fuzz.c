/*
 * Fuzz the VMI calls
 *
 * A handler raises exceptions in its guest, is chosen when code is translated,
 * and asks the vCPU for its mode, so a call without a running vCPU is not the
 * real thing.  Here a real guest makes real calls under TCG:
 * the guest program "fuzz" takes the bytes of an input for operations, and
 * carries them out in its kernel, on two CPUs.  So decoding, calls in place,
 * the ROM's stubs, the port, faults and alarms are all in the path.
 *
 * The guest boots once.  When it waits for its first input, its memory and its
 * CPUs are copied; each input starts from this copy.  It ends when the guest
 * rings for the next one, when it has reset itself, or after a time.
 *
 * The guest program is in the environment variable VMI_FUZZ_GUEST, and what
 * to add to its command line in VMI_FUZZ_APPEND.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "exec/cputlb.h"
#include "exec/exec-all.h"
#include "hw/boards.h"
#include "hw/i386/apic_internal.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/cpus.h"
#include "tests/qtest/fuzz/fuzz.h"
#include "fuzz-input.h"

#define CPUS            2
#define BOOT_NS         (600 * NANOSECONDS_PER_SECOND)
#define INPUT_NS        (50 * SCALE_MS)

/* From the first register to the timer, which an APIC keeps */
#define APIC_COPY       (offsetof(APICCommonState, timer) - \
                         offsetof(APICCommonState, apicbase))

typedef struct CPUCopy {
    CPUX86State env;
    uint32_t halted;
    uint8_t apic[APIC_COPY];
} CPUCopy;

static CPUCopy guest_cpu[CPUS];
static uint8_t *guest_memory;
static QEMUTimer *deadline;
static bool too_late;
static bool rung;

/* Stop the CPU here.  BQL held, in its thread. */
static void doorbell_write(void *opaque, hwaddr addr, uint64_t value,
                           unsigned size)
{
    rung = true;
    cpu_stop_current();
    qemu_notify_event();
}

static const MemoryRegionOps doorbell_ops = {
    .write = doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
};

static void deadline_cb(void *opaque)
{
    too_late = true;
}

/* Let the guest run until it rings, resets itself, or has had its time. */
static void run_guest(int64_t ns)
{
    too_late = rung = false;
    timer_mod_ns(deadline, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + ns);
    resume_all_vcpus();
    while (!rung && !too_late && !first_cpu->stopped) {
        main_loop_wait(false);
    }
    timer_del(deadline);
    pause_all_vcpus();
}

static uint8_t *apic_state(CPUState *cs)
{
    APICCommonState *apic = APIC_COMMON(X86_CPU(cs)->apic_state);

    return (uint8_t *)&apic->apicbase;
}

static void save_guest(void)
{
    CPUState *cs;

    guest_memory = g_malloc(FUZZ_MEMORY);
    address_space_read(&address_space_memory, 0, MEMTXATTRS_UNSPECIFIED,
                       guest_memory, FUZZ_MEMORY);
    CPU_FOREACH(cs) {
        CPUCopy *copy = &guest_cpu[cs->cpu_index];

        copy->env = *cpu_env(cs);
        copy->halted = cs->halted;
        memcpy(copy->apic, apic_state(cs), APIC_COPY);
    }
}

/* In the CPU's own thread, before it runs on */
static void forget_translations(CPUState *cs, run_on_cpu_data data)
{
    cpu_breakpoint_remove_all(cs, BP_CPU);
    cpu_watchpoint_remove_all(cs, BP_CPU);
    tlb_flush(cs);
}

/* Only what has changed, so that code which has not stays translated */
static void load_memory(void)
{
    static uint8_t now[FUZZ_MEMORY];

    address_space_read(&address_space_memory, 0, MEMTXATTRS_UNSPECIFIED,
                       now, FUZZ_MEMORY);
    for (hwaddr at = 0; at < FUZZ_MEMORY; at += TARGET_PAGE_SIZE) {
        if (memcmp(now + at, guest_memory + at, TARGET_PAGE_SIZE)) {
            address_space_write(&address_space_memory, at,
                                MEMTXATTRS_UNSPECIFIED, guest_memory + at,
                                TARGET_PAGE_SIZE);
        }
    }
}

static void load_guest(void)
{
    CPUState *cs;

    load_memory();
    CPU_FOREACH(cs) {
        CPUCopy *copy = &guest_cpu[cs->cpu_index];

        *cpu_env(cs) = copy->env;
        memcpy(apic_state(cs), copy->apic, APIC_COPY);
        cs->halted = copy->halted;
        cs->interrupt_request = 0;
        cs->exception_index = -1;
        async_run_on_cpu(cs, forget_translations, RUN_ON_CPU_NULL);
    }
}

static void vmi_pre_fuzz(QTestState *s)
{
    static MemoryRegion doorbell;

    deadline = timer_new_ns(QEMU_CLOCK_REALTIME, deadline_cb, NULL);
    memory_region_init_io(&doorbell, OBJECT(current_machine), &doorbell_ops,
                          NULL, "vmi-fuzz-doorbell", 4);
    memory_region_add_subregion(get_system_io(), FUZZ_DOORBELL, &doorbell);
    run_guest(BOOT_NS);
    if (!rung) {
        error_report("the guest program has not come up");
        exit(1);
    }
    save_guest();
}

static void vmi_fuzz(QTestState *s, const unsigned char *data, size_t size)
{
    uint32_t length = cpu_to_le32(MIN(size, FUZZ_INPUT_MAX));

    if (!size) {
        return;
    }
    load_guest();
    address_space_write(&address_space_memory, FUZZ_INPUT,
                        MEMTXATTRS_UNSPECIFIED, &length, sizeof(length));
    address_space_write(&address_space_memory, FUZZ_INPUT + sizeof(length),
                        MEMTXATTRS_UNSPECIFIED, data,
                        MIN(size, FUZZ_INPUT_MAX));
    run_guest(INPUT_NS);
}

static GString *vmi_cmdline(FuzzTarget *target)
{
    const char *guest = g_getenv("VMI_FUZZ_GUEST");
    const char *append = g_getenv("VMI_FUZZ_APPEND");
    GString *line = g_string_new(TARGET_NAME);

    if (!guest) {
        error_report("VMI_FUZZ_GUEST must name the guest program");
        exit(1);
    }
    g_string_append_printf(line, " -display none -nodefaults -vga none -m 64 "
                           "-accel tcg,thread=multi -smp %d -device vmi-pci "
                           "-kernel %s -append 'fuzzer cpus=%d %s'", CPUS,
                           guest, CPUS, append ?: "paging32");
    return line;
}

static void register_vmi_fuzz(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "vmi-calls",
        .description = "VMI calls, by a guest that runs under TCG",
        .get_init_cmdline = vmi_cmdline,
        .pre_fuzz = vmi_pre_fuzz,
        .fuzz = vmi_fuzz,
    });
}

fuzz_target_init(register_vmi_fuzz);
