/*
 * VMI guest programs: console and test reports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "x86.h"

#define SERIAL              0x3f8
#define SERIAL_DATA         SERIAL
#define SERIAL_INTERRUPTS   (SERIAL + 1)
#define SERIAL_FIFO         (SERIAL + 2)
#define SERIAL_LINE         (SERIAL + 3)
#define SERIAL_STATUS       (SERIAL + 5)
#define SERIAL_CAN_SEND     0x20
#define DEBUGCON            0xe9    /* isa-debugcon; a read gives its number */

#define VGA_COLUMNS 80
#define VGA_ROWS    25

static uint16_t (*const vga)[VGA_COLUMNS] = (void *)0xb8000;
static bool vga_on;
static unsigned vga_row, vga_column;
static uint8_t vga_colour = VGA_GREY;
static bool debugcon;

static unsigned reports, failures;

void console_init(void)
{
    debugcon = inb(DEBUGCON) == DEBUGCON;
    outb(SERIAL_INTERRUPTS, 0);
    outb(SERIAL_LINE, 0x83);
    outb(SERIAL_DATA, 1);           /* 115200 baud */
    outb(SERIAL_INTERRUPTS, 0);
    outb(SERIAL_LINE, 0x03);        /* 8N1 */
    outb(SERIAL_FIFO, 0x07);
}

static void vga_clear_row(unsigned row)
{
    for (unsigned i = 0; i < VGA_COLUMNS; i++) {
        vga[row][i] = VGA_GREY << 8 | ' ';
    }
}

static void vga_move_cursor(void)
{
    unsigned pos = vga_row * VGA_COLUMNS + vga_column;

    outb(0x3d4, 14);
    outb(0x3d5, pos >> 8);
    outb(0x3d4, 15);
    outb(0x3d5, pos & 0xff);
}

void console_vga(void)
{
    vga_on = true;
    for (unsigned row = 0; row < VGA_ROWS; row++) {
        vga_clear_row(row);
    }
    vga_move_cursor();
}

void console_colour(uint8_t colour)
{
    vga_colour = colour;
}

static void vga_putc(char c)
{
    if (c != '\n') {
        vga[vga_row][vga_column++] = vga_colour << 8 | (uint8_t)c;
    }
    if (c == '\n' || vga_column == VGA_COLUMNS) {
        vga_column = 0;
        vga_row++;
    }
    if (vga_row == VGA_ROWS) {
        memcpy(vga[0], vga[1], (VGA_ROWS - 1) * sizeof(vga[0]));
        vga_row = VGA_ROWS - 1;
        vga_clear_row(vga_row);
    }
}

static void serial_putc(char c)
{
    while (!(inb(SERIAL_STATUS) & SERIAL_CAN_SEND)) {
        cpu_pause();
    }
    outb(SERIAL_DATA, c);
}

void vprintf(const char *fmt, va_list ap)
{
    static char buf[1024];

    vsnprintf(buf, sizeof(buf), fmt, ap);
    if (debugcon) {
        outsb(DEBUGCON, buf, strlen(buf));
    }
    for (const char *p = buf; *p; p++) {
        if (!debugcon) {
            serial_putc(*p);
        }
        if (vga_on) {
            vga_putc(*p);
        }
    }
    if (vga_on) {
        vga_move_cursor();
    }
}

void printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

const char *text(const char *fmt, ...)
{
    static char bufs[4][160];
    static unsigned next;
    char *buf = bufs[next++ % ARRAY_SIZE(bufs)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, sizeof(bufs[0]), fmt, ap);
    va_end(ap);
    return buf;
}

bool report(bool ok, const char *fact, const char *seen, ...)
{
    va_list ap;

    reports++;
    failures += !ok;
    printf("%sok %u - %s # ", ok ? "" : "not ", reports, fact);
    va_start(ap, seen);
    vprintf(seen, ap);
    va_end(ap);
    printf("\n");
    return ok;
}

void report_skip(const char *fact, const char *why)
{
    reports++;
    printf("ok %u - %s # SKIP %s\n", reports, fact, why);
}

void report_plan(void)
{
    printf("1..%u\n", reports);
}

void report_end(void)
{
    report_plan();
    guest_exit(!failures);
}

void guest_exit(bool pass)
{
    guest_exit_with(pass ? 0 : 1);
}

void guest_exit_with(uint32_t value)
{
    outl(PORT_DEBUG_EXIT, value);
    /* QEMU ends a little later, or never if it has no such device. */
    for (;;) {
        asm volatile("cli; hlt");
    }
}
