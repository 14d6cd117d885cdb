/*
 * VMI guest programs: interrupt controllers and the PC's clocks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_IRQ_H
#define GUEST_IRQ_H

#include "desc.h"

#define PIC_VECTOR      0x20    /* of IRQ 0 at the 8259 */
#define IOAPIC_VECTOR   0x30    /* of IRQ 0 at the IOAPIC */
#define LVTT_VECTOR     0x31
#define IPI_VECTOR      0x40
#define SPURIOUS_VECTOR 0xff

#define APIC_BASE       0xfee00000
#define APIC_ID         0x20
#define APIC_VERSION    0x30
#define APIC_TPR        0x80
#define APIC_EOI        0xb0
#define APIC_SPURIOUS   0xf0
#define APIC_ISR        0x100
#define APIC_IRR        0x200
#define APIC_ICR        0x300
#define APIC_ICR2       0x310
#define APIC_LVTT       0x320
#define APIC_LVT0       0x350
#define APIC_MASKED     0x10000

#define ICR_INIT        0x4500
#define ICR_STARTUP     0x4600

#define IOAPIC_BASE     0xfec00000

#define PIT_HZ          1193182
#define PM_TIMER_HZ     3579545

/* Both 8259s, everything masked, at PIC_VECTOR; counting handlers */
void pic_init(void);
void pic_unmask(unsigned irq);
void pic_mask_all(void);
bool pic_pending(unsigned irq);

static inline uint32_t apic_read(uint32_t reg)
{
    return AT(uint32_t, APIC_BASE + reg);
}

static inline void apic_write(uint32_t reg, uint32_t value)
{
    AT(uint32_t, APIC_BASE + reg) = value;
}

/* The local APIC of this CPU, on, with everything in its LVT masked */
void apic_enable(void);
/* The same, and counting handlers for its vectors */
void apic_init(void);

/* An edge-triggered pin to a vector of this CPU */
void ioapic_route(unsigned pin, uint8_t vector);
void ioapic_mask(unsigned pin);

/* How often a vector came; these handlers also acknowledge it. */
extern uint32_t vector_count[256];
void count_vector(uint8_t vector);

/*
 * PIT channel 0.  Parked as Linux does: mode 5 waits for an edge of its gate,
 * though QEMU's strobes once, 55 ms later, and has its output low.
 */
void pit_park(void);
/*
 * Let the interrupt of parking come that way, whenever the host gets to it,
 * so that IRQ 0, unmasked to this vector, is free for others.  The vector's
 * handler is another one afterwards.
 */
void pit_settle(uint8_t vector);
void pit_park_high(void);       /* mode 0 with its count over */
void pit_periodic(unsigned hz); /* mode 2 */

uint8_t cmos_read(uint8_t reg);
void cmos_write(uint8_t reg, uint8_t value);
/* Seconds since 1970, by the RTC, read at the start of a second's reading */
uint64_t rtc_seconds(void);

/* PCI configuration space of bus 0 */
uint32_t pci_read(unsigned dev, unsigned fn, unsigned reg);
void pci_write(unsigned dev, unsigned fn, unsigned reg, uint32_t value,
               unsigned size);

/* The ACPI PM timer's 24 bits; 0 as port means there is none */
uint16_t pm_timer_port(void);
uint32_t pm_timer_read(void);
/* Pass so many ticks of it, which do not depend on VMI. */
void pm_timer_wait(uint32_t ticks);
void delay_ms(unsigned ms);

#endif
