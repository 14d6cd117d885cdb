/*
 * VMI guest programs: interrupt controllers and the PC's clocks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "irq.h"

#define PIC1        0x20
#define PIC2        0xa0
#define PIC_EOI     0x20
#define PIC_IRR     0x0a

#define PIT_CHANNEL0    0x40
#define PIT_COMMAND     0x43

#define CMOS_INDEX      0x70
#define CMOS_DATA       0x71
#define RTC_STATUS_A    0x0a
#define RTC_STATUS_B    0x0b
#define RTC_CENTURY     0x32

#define PCI_CONFIG      0xcf8
#define PCI_CONFIG_DATA 0xcfc

uint32_t vector_count[256];

static void handle_counted(Frame *frame)
{
    uint8_t vector = frame->vector;

    vector_count[vector]++;
    if (vector >= PIC_VECTOR && vector < PIC_VECTOR + 16) {
        if (vector >= PIC_VECTOR + 8) {
            outb(PIC2, PIC_EOI);
        }
        outb(PIC1, PIC_EOI);
    } else if (vector != SPURIOUS_VECTOR) {
        apic_write(APIC_EOI, 0);
    }
}

void count_vector(uint8_t vector)
{
    set_handler(vector, handle_counted);
}

void pic_init(void)
{
    for (unsigned i = 0; i < 16; i++) {
        count_vector(PIC_VECTOR + i);
    }
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, PIC_VECTOR);
    outb(PIC2 + 1, PIC_VECTOR + 8);
    outb(PIC1 + 1, 4);
    outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1);
    outb(PIC2 + 1, 1);
    pic_mask_all();
}

void pic_mask_all(void)
{
    outb(PIC1 + 1, 0xff);
    outb(PIC2 + 1, 0xff);
}

void pic_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 + 1 : PIC2 + 1;

    outb(port, inb(port) & ~(1 << (irq & 7)));
}

bool pic_pending(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 : PIC2;

    outb(port, PIC_IRR);
    return inb(port) & (1 << (irq & 7));
}

void apic_enable(void)
{
    apic_write(APIC_SPURIOUS, 0x100 | SPURIOUS_VECTOR);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVTT, APIC_MASKED);
}

void apic_init(void)
{
    count_vector(IOAPIC_VECTOR);
    count_vector(LVTT_VECTOR);
    count_vector(IPI_VECTOR);
    count_vector(SPURIOUS_VECTOR);
    apic_enable();
}

static void ioapic_write(uint8_t reg, uint32_t value)
{
    AT(uint32_t, IOAPIC_BASE) = reg;
    AT(uint32_t, IOAPIC_BASE + 0x10) = value;
}

void ioapic_route(unsigned pin, uint8_t vector)
{
    ioapic_write(0x11 + 2 * pin, apic_read(APIC_ID));
    ioapic_write(0x10 + 2 * pin, vector);
}

void ioapic_mask(unsigned pin)
{
    ioapic_write(0x10 + 2 * pin, APIC_MASKED);
}

void pit_park(void)
{
    outb(PIT_COMMAND, 0x3a);
    outb(PIT_CHANNEL0, 0xff);
    outb(PIT_CHANNEL0, 0xff);
}

void pit_park_high(void)
{
    outb(PIT_COMMAND, 0x30);
    outb(PIT_CHANNEL0, 1);
    outb(PIT_CHANNEL0, 0);
}

void pit_settle(uint8_t vector)
{
    unsigned ms = 0;

    vector_count[vector] = 0;
    count_vector(vector);
    sti();
    /* It is due after 55 ms, but other machines have none. */
    while (ms < 60 || (!READ_ONCE(vector_count[vector]) && ms < 2000)) {
        delay_ms(1);
        ms++;
    }
    cli();
}

void pit_periodic(unsigned hz)
{
    unsigned count = PIT_HZ / hz;

    outb(PIT_COMMAND, 0x34);
    outb(PIT_CHANNEL0, count & 0xff);
    outb(PIT_CHANNEL0, count >> 8);
}

uint8_t cmos_read(uint8_t reg)
{
    outb(CMOS_INDEX, reg);
    return inb(CMOS_DATA);
}

void cmos_write(uint8_t reg, uint8_t value)
{
    outb(CMOS_INDEX, reg);
    outb(CMOS_DATA, value);
}

static unsigned rtc_field(uint8_t reg)
{
    uint8_t value = cmos_read(reg);

    return cmos_read(RTC_STATUS_B) & 4 ? value :
           (value >> 4) * 10 + (value & 15);
}

static uint64_t rtc_once(void)
{
    unsigned year = rtc_field(9) + rtc_field(RTC_CENTURY) * 100;
    unsigned month = rtc_field(8), day = rtc_field(7);
    uint64_t days;

    /* Years begin in March, so that the leap day is the last. */
    if (month < 3) {
        month += 12;
        year--;
    }
    days = year * 365 + year / 4 - year / 100 + year / 400 +
           (month * 306 + 6) / 10 - 92 + day - 1 - 719468;
    return ((days * 24 + rtc_field(4)) * 60 + rtc_field(2)) * 60 +
           rtc_field(0);
}

uint64_t rtc_seconds(void)
{
    uint64_t now;

    do {
        while (cmos_read(RTC_STATUS_A) & 0x80) {
            cpu_pause();
        }
        now = rtc_once();
    } while (now != rtc_once());
    return now;
}

uint32_t pci_read(unsigned dev, unsigned fn, unsigned reg)
{
    outl(PCI_CONFIG, 0x80000000 | dev << 11 | fn << 8 | reg);
    return inl(PCI_CONFIG_DATA);
}

void pci_write(unsigned dev, unsigned fn, unsigned reg, uint32_t value,
               unsigned size)
{
    outl(PCI_CONFIG, 0x80000000 | dev << 11 | fn << 8 | (reg & ~3));
    if (size == 1) {
        outb(PCI_CONFIG_DATA + (reg & 3), value);
    } else if (size == 2) {
        outw(PCI_CONFIG_DATA + (reg & 2), value);
    } else {
        outl(PCI_CONFIG_DATA, value);
    }
}

uint16_t pm_timer_port(void)
{
    if (pci_read(1, 3, 0) == 0x71138086) {          /* PIIX4 */
        return (pci_read(1, 3, 0x40) & 0xffc0) + 8;
    }
    if (pci_read(31, 0, 0) == 0x29188086) {         /* ICH9 */
        return (pci_read(31, 0, 0x40) & 0xff80) + 8;
    }
    return 0;
}

uint32_t pm_timer_read(void)
{
    static uint16_t port;

    if (!port) {
        port = pm_timer_port();
    }
    return inl(port) & 0xffffff;
}

void pm_timer_wait(uint32_t ticks)
{
    uint32_t last = pm_timer_read(), now;

    while (ticks) {
        now = pm_timer_read();
        ticks -= MIN(ticks, (now - last) & 0xffffff);
        last = now;
    }
}

void delay_ms(unsigned ms)
{
    pm_timer_wait(ms * (PM_TIMER_HZ / 1000));
}
