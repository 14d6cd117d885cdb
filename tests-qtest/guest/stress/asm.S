/*
 * Accesses that may fault.  The handler of page faults sends these to
 * probe_failed, with the stack as it was.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

        .globl  probe_read, probe_write, probe_call
        .globl  probe_load, probe_store, probe_failed

probe_read:
        mov     4(%esp), %eax
        mov     8(%esp), %edx
probe_load:
        mov     (%eax), %eax
        mov     %eax, (%edx)
        mov     $1, %eax
        ret

probe_write:
        mov     4(%esp), %eax
        mov     8(%esp), %edx
probe_store:
        mov     %edx, (%eax)
        mov     $1, %eax
        ret

probe_call:
        mov     4(%esp), %edx
        call    *%edx
        mov     8(%esp), %edx
        mov     %eax, (%edx)
        mov     $1, %eax
        ret

probe_failed:
        xor     %eax, %eax
        ret

        .section .note.GNU-stack, "", @progbits
