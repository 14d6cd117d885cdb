#!/usr/bin/python3
#
# Run the guest program "stress", and meanwhile do to its QEMU what has to drop
# or fix the TLBs that are kept: migrate it, which logs dirty pages; set
# breakpoints and watchpoints; have code translated anew; stop it.
#
# usage: drivers/stress.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import time

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.gdbstub import GDB
from vmitest.guest import guest_command, guest_parser
from vmitest.mover import Mover

KERNEL = 0x100000       # where the guest's code begins


def parse_args():
    parser = guest_parser()
    parser.add_argument('--rounds', type=int, default=3)
    return parser.parse_args()


class Disturber(Mover):
    def __init__(self, args, directory):
        self.console = Console(directory)
        self.gdb_path = os.path.join(directory, 'gdb')
        self.log = os.path.join(directory, 'log')
        device = ['-device', 'vmi-pci,check=on']
        super().__init__(
            directory,
            guest_command(args.qemu, args.guest, self.console.args(), '-append',
                          args.append, '-D', self.log, *args.qemu_args),
            device, device)
        self.rounds = args.rounds
        self.errors = ''

    def replace(self, machine):
        self.errors += self.machine.error_text()
        super().replace(machine)

    def hmp(self, line):
        self.machine.qmp.hmp(line)

    def disturb(self):
        """Each for long enough that the guest exchanges its spaces meanwhile"""
        for line in ('one-insn-per-tb on', 'one-insn-per-tb off',
                     'log in_asm', 'log none', 'stop', 'cont'):
            self.hmp(line)
            time.sleep(0.05)
            if line == 'log none' and os.path.exists(self.log):
                os.truncate(self.log, 0)
        self.hmp(f'gdbserver unix:{self.gdb_path},server=on,wait=off')
        gdb = GDB(self.gdb_path)
        # Nothing is there; but the page has code, and the next one data
        for kind in ('0', '2', '3'):
            gdb.command(f'Z{kind},{KERNEL:x},1')
            gdb.resume_for(0.1)
            gdb.command(f'z{kind},{KERNEL:x},1')
        gdb.detach()
        self.hmp('gdbserver none')

    def run(self, tap):
        self.console.wait_line('# running', self.machine)
        for _ in range(self.rounds):
            self.disturb()
            self.way_unix()
        self.machine.press_key()
        judge_end(tap, self.machine, self.console)
        self.errors += self.machine.error_text()
        stale = [line for line in self.errors.splitlines()
                 if ': check: ' in line]
        tap.fact(not stale, "the device's self-check finds nothing stale",
                 f'{len(stale)} lines, first {stale[:1]}')


def main():
    args = parse_args()
    drive(lambda directory: Disturber(args, directory),
          'the guest can be disturbed')


main()
