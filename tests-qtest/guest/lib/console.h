/*
 * VMI guest programs: console and test reports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include "libc.h"

#define PORT_DEBUG_EXIT 0xf4    /* isa-debug-exit: QEMU's status is 2n + 1 */

/* Text colours of the VGA screen */
enum {
    VGA_BLUE = 1, VGA_GREEN = 2, VGA_CYAN = 3, VGA_RED = 4, VGA_GREY = 7,
    VGA_BRIGHT = 8,
};

/*
 * Print on isa-debugcon if that is there, where a line costs one exit, or else
 * on the serial line.
 */
void console_init(void);

/* From now on, also show what is printed on the VGA text screen. */
void console_vga(void);
void console_colour(uint8_t colour);

void vprintf(const char *fmt, va_list ap);
void printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Format a name for report(); good until the next but three */
const char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * report: a line of TAP
 * @ok: whether the fact holds
 * @fact: what is tested, worded as the fact that it should be
 * @seen: format of what was seen
 *
 * Returns: @ok
 */
bool report(bool ok, const char *fact, const char *seen, ...)
    __attribute__((format(printf, 3, 4)));

/* A fact that cannot be tested here */
void report_skip(const char *fact, const char *why);

/* Print the plan; end QEMU with the verdict. */
void report_end(void) __attribute__((noreturn));

/* Print the plan, and let QEMU run on. */
void report_plan(void);

/* End QEMU: with status 1 for pass, 3 for fail. */
void guest_exit(bool pass) __attribute__((noreturn));

/* End QEMU with status 2 * @value + 1. */
void guest_exit_with(uint32_t value) __attribute__((noreturn));

#endif
