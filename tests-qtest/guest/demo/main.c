/*
 * VMI demo guest: boots as a Linux kernel with CONFIG_VMI does, with the
 * same checks and messages in the same order, and shows what VMI serves
 *
 * A call that the device does not serve is done natively, so that each of
 * its call-group switches can be tried.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "demo.h"
#include "irq.h"
#include "paging.h"
#include "vmi.h"

#define DEMO_DONE       16
#define TICKS_SHOWN     10
#define TICK_MS         100
#define IDLE_MS         500
#define CLOCK_SHIFT     22

static uint64_t frequency;      /* of the vmi-timer; 0: the PIT ticks */
static uint32_t ticks;

static void say(uint8_t colour, const char *line)
{
    console_colour(colour | VGA_BRIGHT);
    printf("%s\n", line);
    console_colour(VGA_GREY);
}

static const char *rom_string(uint16_t offset)
{
    return offset ? (const char *)vmi_rom + offset : "";
}

/* As Linux' check_vmi_rom(), whose messages these are. */
static bool check_rom(void)
{
    uint16_t pcir = VMI_ROM_FIELD(uint16_t, VMI_HDR_PCIR_OFFSET);
    uint16_t pnp = VMI_ROM_FIELD(uint16_t, VMI_HDR_PNP_OFFSET);
    const char *manufacturer = "", *product = "";
    const char *license = rom_string(VMI_ROM_FIELD(uint16_t,
                                                   VMI_HDR_LICENSE_OFFSET));

    if (!pcir) {
        printf("VMI: ROM does not contain PCI header.\n");
        return false;
    }
    if (VMI_ROM_FIELD(uint16_t, pcir + VMI_PCIR_VENDOR) != VMI_PCI_VENDOR_ID ||
        VMI_ROM_FIELD(uint16_t, pcir + VMI_PCIR_DEVICE) != VMI_PCI_DEVICE_ID) {
        printf("VMI: ROM from unknown manufacturer\n");
    }
    if (pnp) {
        manufacturer = rom_string(VMI_ROM_FIELD(uint16_t,
                                                pnp + VMI_PNP_MANUFACTURER));
        product = rom_string(VMI_ROM_FIELD(uint16_t, pnp + VMI_PNP_PRODUCT));
    }
    say(VGA_GREEN,
        text("VMI: Found %s %s, API version %u.%u, ROM version %u.%u",
             manufacturer, product,
             VMI_ROM_FIELD(uint8_t, VMI_HDR_API_MAJOR),
             VMI_ROM_FIELD(uint8_t, VMI_HDR_API_MINOR),
             VMI_ROM_FIELD(uint8_t, pcir + VMI_PCIR_ROM_MAJOR),
             VMI_ROM_FIELD(uint8_t, pcir + VMI_PCIR_ROM_MINOR)));
    if (strcmp(license, "GPL") && strcmp(license, "GPL v2")) {
        printf("VMI: Non GPL license `%s' found for ROM. Not used.\n",
               license);
        return false;
    }
    return true;
}

/* Which calls, of which type; complain about what would crash Linux. */
static void show_relocations(void)
{
    unsigned served = 0;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        served += demo_serves(nr);
    }
    printf("VMI: %u call numbers: %u calls into the ROM, %u none\n",
           VMI_MAX_CALLS, served, VMI_MAX_CALLS - served);
    if (!demo_serves(VMI_CALL_IRET) || !demo_serves(VMI_CALL_SYSEXIT) ||
        !demo_serves(VMI_CALL_Halt)) {
        demo_fail("IRET, SYSEXIT or Halt is not served");
    }
}

static void enter_vmi(void)
{
    if (!vmi_find() || !check_rom()) {
        vmi_rom = NULL;
        console_colour(VGA_RED | VGA_BRIGHT);
        printf("VMI: no ROM found, running natively\n");
        console_colour(VGA_GREY);
    } else {
        printf("Reserving virtual address space above 0x%08x\n",
               VMI_ROM_FIELD(uint32_t, VMI_HDR_VIRTUAL_TOP));
    }

    paging_set(PAGING_32);
    if (vmi_rom) {
        vmi_use_direct_map(true);
        if (vmi_call_init()) {
            demo_fail("VMI ROM failed to initialize!");
        }
        vmi_relocate_all();
        demo_vmi_on = true;
    }
    say(VGA_GREEN, text("Booting paravirtualized kernel on %s",
                        demo_vmi_on ? "vmi" : "bare hardware"));
    if (demo_vmi_on) {
        show_relocations();
    }
}

static void handle_tick(Frame *frame)
{
    ticks++;
    outb(0x20, 0x20);
}

/* Interrupts are off; an interrupt wakes. */
static void halt(void)
{
    if (demo_vmi_on) {
        vmi_halt();
    } else {
        asm volatile("sti; hlt" : : : "memory");
    }
    demo_irq_off();
}

static void start_timer(void)
{
    pic_init();
    set_handler(PIC_VECTOR, handle_tick);
    if (demo_serves(VMI_CALL_GetCycleFrequency)) {
        frequency = vmi_frequency();
    }
    if (frequency) {
        uint32_t khz = frequency / 1000;

        say(VGA_GREEN,
            text("vmi: registering clock event vmi-timer. mult=%u shift=%u",
                 (uint32_t)(((uint64_t)khz << CLOCK_SHIFT) / 1000000),
                 CLOCK_SHIFT));
        say(VGA_GREEN, text("vmi: registering clock source khz=%u", khz));
        pic_unmask(0);
        sti_nop_cli();
        pit_park();
        pit_settle(PIC_VECTOR);
        set_handler(PIC_VECTOR, handle_tick);
        ticks = 0;
        vmi_set_alarm(VMI_CYCLES_REAL | VMI_ALARM_PERIODIC,
                      vmi_counter(VMI_CYCLES_REAL) + frequency * TICK_MS / 1000,
                      frequency * TICK_MS / 1000);
    } else {
        printf("%sticking on the PIT\n",
               demo_vmi_on ? "vmi: the timer calls are switched off, " : "");
        pit_periodic(1000 / TICK_MS);
    }
    pic_unmask(0);
}

static void show_counters(void)
{
    uint64_t us = frequency / 1000000;
    uint64_t real, available, stolen;

    if (!us) {
        printf("\n");
        return;
    }
    stolen = vmi_counter(VMI_CYCLES_STOLEN) / us;
    available = vmi_counter(VMI_CYCLES_AVAILABLE) / us;
    real = vmi_counter(VMI_CYCLES_REAL) / us;
    printf("  real %llu us, available %llu us, stolen %llu us\n", real,
           available, stolen);
}

static void show_ticks(void)
{
    const char *clock = frequency ? "vmi-timer" : "PIT";

    demo_title(text("-- %u ticks of the %s, %u ms apart", TICKS_SHOWN, clock,
                    TICK_MS));
    for (unsigned i = 0; i < TICKS_SHOWN; i++) {
        uint32_t seen = READ_ONCE(ticks);

        while (READ_ONCE(ticks) == seen) {
            halt();
        }
        printf("%s tick %2u", clock, ticks);
        show_counters();
    }
}

/* Nothing to do: sleep in Halt, woken by the timer alone. */
static void idle(void)
{
    uint32_t before = ticks, wakeups = 0;

    if (frequency) {
        /* One-shot, as a tickless kernel does */
        vmi_cancel_alarm(VMI_CYCLES_REAL);
        before = ticks;
        vmi_set_alarm(VMI_CYCLES_REAL, vmi_counter(VMI_CYCLES_REAL) +
                      frequency * IDLE_MS / 1000, 0);
    }
    while (READ_ONCE(ticks) - before < (frequency ? 1 : IDLE_MS / TICK_MS)) {
        halt();
        wakeups++;
    }
    printf("asleep in Halt for %u ms: %u wake-up%s, %u tick%s\n", IDLE_MS,
           wakeups, wakeups == 1 ? "" : "s", ticks - before,
           ticks - before == 1 ? "" : "s");
}

void guest_main(void)
{
    console_vga();
    console_colour(VGA_BLUE << 4 | VGA_GREY | VGA_BRIGHT);
    printf("%-79s\n", " VMI demo guest: a 32-bit kernel for VMware's Virtual "
           "Machine Interface");
    console_colour(VGA_GREY);

    enter_vmi();
    start_timer();
    show_ticks();
    demo_irq_off();
    demo_user_mode();
    demo_page_fault();
    idle();

    console_colour(VGA_GREEN | VGA_BRIGHT);
    if (frequency) {
        printf("VMI demo guest: all done, %u ticks on vmi-timer\n", ticks);
    } else {
        printf("VMI demo guest: all done, %u ticks on the PIT%s\n", ticks,
               demo_vmi_on ? "" : ", without VMI");
    }
    /* Users look at QEMU's status, and 1 is that of one that does not start */
    guest_exit_with(DEMO_DONE);
}
