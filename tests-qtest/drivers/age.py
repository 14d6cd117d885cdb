#!/usr/bin/python3
#
# Make the guest program "age" years older: save it, set the clock in its state
# ahead, and load it again, in each of its rounds.
#
# usage: drivers/age.py --qemu QEMU --guest FILE -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import pathlib
import re
import struct

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import MachineError
from vmitest.mover import Mover

# Of a section of QEMU's migration stream: what it is, its number, the name, an
# instance and a version. Then the device's fields: the ticks, an unused one,
# and the virtual clock.
SECTION = re.compile(rb'\x04.{4}\x05timer.{8}', re.DOTALL)
CLOCK = 16

HZ = 2826365000

# How long before the counter passes the power of two, in ns
AHEAD = 2 * 10 ** 9


class Driver(Mover):
    def __init__(self, args, directory):
        self.console = Console(directory)
        device = ['-device', f'vmi-pci,cycle-frequency={HZ}']
        command = guest_command(args.qemu, args.guest, self.console.args(), *device, '-append', args.append,
                                *args.qemu_args)
        super().__init__(directory, command, [], [])

    def set_clock(self, bits):
        """In the state that was saved: when the counter is nearly 2^bits"""
        path = pathlib.Path(self.file)
        state = bytearray(path.read_bytes())
        # Memory comes first, and may have such bytes by chance
        sections = list(SECTION.finditer(state))
        if not sections:
            raise MachineError('the state has no clock')
        ns = (1 << bits) * 10 ** 9 // HZ - AHEAD
        struct.pack_into('>q', state, sections[-1].end() + CLOCK, ns)
        path.write_bytes(state)

    def make_older(self, bits):
        self.machine.qmp.command('migrate', uri=f'file:{self.file}')
        self.completed(self.machine, 'migration')
        self.machine.quit()
        self.set_clock(bits)
        self.machine = self.next_machine('-incoming', f'file:{self.file}')
        self.completed(self.machine, 'incoming migration')

    def guest_has_ended(self):
        return '\n1..' in self.console.text()

    def run(self, tap):
        rounds = 0
        while line := self.console.wait_line('# round', self.machine):
            self.make_older(int(line.split()[2]))
            rounds += 1
        tap.fact(rounds == 3, 'the guest got older three times', f'{rounds}')
        judge_end(tap, self.machine, self.console)


def main():
    args = guest_parser().parse_args()
    drive(lambda directory: Driver(args, directory), 'the guest can be made older')


main()
