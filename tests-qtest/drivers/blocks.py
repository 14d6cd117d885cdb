#!/usr/bin/python3
"""Run the guest program "blocks", and look how TCG translates and runs it.

A call that is simple must not end a translation block, and no call in place may return to the main loop, each time at
least. QEMU logs the code that it translates, and each entry into a block from the main loop; blocks that go to the
next one by themselves are not logged.

usage: drivers/blocks.py --qemu QEMU --guest FILE [--append TEXT] -- QEMU-ARGS

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import pathlib
import re
import tempfile

from vmitest.guest import guest_command, guest_parser, judge, run
from vmitest.tap import Tap

# The host interrupts a guest at times, and a block that is new is entered from the main loop.
EXITS_PER_CALL = 0.02

CASE = re.compile(r'^# block (\S+) (\S+) (\S+) 0x([0-9a-f]+) (\d+) (\d+)$', re.MULTILINE)
TRANSLATED = re.compile(r'^IN: .*\n0x([0-9a-f]+):', re.MULTILINE)
ENTERED = re.compile(r'exec_tb tb:\S+ pc=0x([0-9a-f]+)$', re.MULTILINE)
PAGE_SIZE = 4096


def parse_args():
    parser = guest_parser()
    parser.set_defaults(append='paging32', expect=[], plans=1, status=1, timeout=150)
    return parser.parse_args()


def judge_case(tap, case, starts, entries):
    name, how, kind, address, calls, rounds = case
    page = int(address, 16) // PAGE_SIZE
    blocks = len(starts[page])
    exits = entries[page] / int(calls) / int(rounds)
    what = f'{name}, {how}'
    if kind == 'ends':
        tap.fact(blocks > int(calls), f'{what}: each call ends a block', f'{blocks} blocks with {calls} calls')
    else:
        tap.fact(blocks == 1, f'{what}: calls in a row are in one block', f'{blocks} blocks with {calls} calls')
    tap.fact(exits < EXITS_PER_CALL, f'{what}: no call returns to the main loop', f'{exits:.4f} times each')


def main():
    args = parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        log = pathlib.Path(directory) / 'log'
        command = guest_command(args.qemu, args.guest, ['-serial', 'stdio'], '-append', args.append,
                                *(args.qemu_args or ['-device', 'vmi-pci']),
                                '-d', 'in_asm,trace:exec_tb', '-D', str(log))
        output, status = run(command, args.timeout)
        judge(tap, args, output, status)
        text = log.read_text(encoding='utf-8', errors='replace')
    starts = collections.defaultdict(set)
    for address in TRANSLATED.findall(text):
        starts[int(address, 16) // PAGE_SIZE].add(address)
    entries = collections.Counter(int(address, 16) // PAGE_SIZE for address in ENTERED.findall(text))
    cases = CASE.findall(output)
    tap.fact(cases and entries, 'the guest says where its calls are, and QEMU what it does', f'{len(cases)} cases')
    for case in cases:
        judge_case(tap, case, starts, entries)
    tap.end()


if __name__ == '__main__':
    main()
