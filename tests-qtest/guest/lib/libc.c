/*
 * VMI guest programs: the bit of a C library that they need
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "libc.h"

void *memset(void *s, int c, size_t n)
{
    uint8_t *p = s;

    while (n--) {
        *p++ = c;
    }
    return s;
}

void *memcpy(void *dest, const void *src, size_t n)
{
    uint8_t *d = dest;
    const uint8_t *s = src;

    while (n--) {
        *d++ = *s++;
    }
    return dest;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;

    for (; n; n--, p++, q++) {
        if (*p != *q) {
            return *p - *q;
        }
    }
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n]) {
        n++;
    }
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) {
        if (*a != *b || !*a) {
            return (uint8_t)*a - (uint8_t)*b;
        }
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strstr(const char *haystack, const char *needle)
{
    size_t n = strlen(needle);

    for (; *haystack; haystack++) {
        if (!strncmp(haystack, needle, n)) {
            return (char *)haystack;
        }
    }
    return NULL;
}

uint64_t __udivmoddi4(uint64_t n, uint64_t d, uint64_t *rem)
{
    uint64_t quotient = 0, rest = 0;

    for (int i = 63; i >= 0; i--) {
        bool carry = rest >> 63;

        rest = rest << 1 | ((n >> i) & 1);
        if (carry || rest >= d) {
            rest -= d;
            quotient |= 1ull << i;
        }
    }
    if (rem) {
        *rem = rest;
    }
    return quotient;
}

uint64_t __udivdi3(uint64_t n, uint64_t d)
{
    return __udivmoddi4(n, d, NULL);
}

uint64_t __umoddi3(uint64_t n, uint64_t d)
{
    uint64_t rem;

    __udivmoddi4(n, d, &rem);
    return rem;
}

typedef struct Output {
    char *buf;
    size_t size, used;
} Output;

static void output(Output *out, char c)
{
    if (out->used + 1 < out->size) {
        out->buf[out->used] = c;
    }
    out->used++;
}

static void output_string(Output *out, const char *s, int width, char pad)
{
    int len = strlen(s);

    for (; width > len; width--) {
        output(out, pad);
    }
    while (*s) {
        output(out, *s++);
    }
    for (; width < -len; width++) {
        output(out, ' ');
    }
}

static void output_number(Output *out, uint64_t n, unsigned base, bool negative,
                          int width, char pad)
{
    char digits[24], *p = &digits[sizeof(digits) - 1];

    *p = '\0';
    do {
        *--p = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    if (negative) {
        *--p = '-';
    }
    output_string(out, p, width, pad);
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    Output out = { .buf = buf, .size = size };

    for (; *fmt; fmt++) {
        char pad = ' ', text[2] = "";
        int width = 0, longs = 0;
        bool left = false;
        uint64_t n;

        if (*fmt != '%') {
            output(&out, *fmt);
            continue;
        }
        fmt++;
        for (; *fmt == '0' || *fmt == '-'; fmt++) {
            if (*fmt == '-') {
                left = true;
            } else {
                pad = '0';
            }
        }
        for (; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + *fmt - '0';
        }
        width = left ? -width : width;
        for (; *fmt == 'l'; fmt++) {
            longs++;
        }
        switch (*fmt) {
        case 'd':
            n = longs == 2 ? va_arg(ap, int64_t) : va_arg(ap, int32_t);
            output_number(&out, (int64_t)n < 0 ? -n : n, 10, (int64_t)n < 0,
                          width, pad);
            break;
        case 'u':
        case 'x':
            n = longs == 2 ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t);
            output_number(&out, n, *fmt == 'u' ? 10 : 16, false, width, pad);
            break;
        case 'p':
            output_number(&out, va_arg(ap, uint32_t), 16, false, 8, '0');
            break;
        case 's':
            output_string(&out, va_arg(ap, const char *), width, ' ');
            break;
        case 'c':
            text[0] = va_arg(ap, int);
            output_string(&out, text, width, ' ');
            break;
        default:
            output(&out, *fmt);
            break;
        }
    }
    if (size) {
        buf[MIN(out.used, size - 1)] = '\0';
    }
    return out.used;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
