#!/usr/bin/python3
#
# Run the guest program "migrate" and move it from one QEMU to another, or
# have it saved and loaded, in each of its rounds. See guest/migrate.
#
# usage: drivers/migrate.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os

from vmitest import abi
from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import MachineError
from vmitest.mover import Mover

# A slot of the ROM that no call has; see guest/migrate/main.c
OLD_ROM_SLOT = abi.slot('NATIVE', 49)
OLD_ROM_CODE = bytes.fromhex('b8d401d401c3')    # mov $0x01d401d4, %eax; ret
ROM_CHECKSUM = abi.DEFINES['VMI_HDR_CHECKSUM']


def parse_args():
    parser = guest_parser()
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--ways', default='unix',
                        help='separated by commas, taken in turn: '
                        + ', '.join(Mover.WAYS))
    parser.add_argument('--rom', help='the ROM, of which the first QEMU '
                        'gets one that differs')
    return parser.parse_args()


def write_old_rom(rom, path):
    """Another build's ROM: with code in a slot that is not used here"""
    with open(rom, 'rb') as file:
        image = bytearray(file.read())
    image[OLD_ROM_SLOT:OLD_ROM_SLOT + len(OLD_ROM_CODE)] = OLD_ROM_CODE
    image[ROM_CHECKSUM] = (image[ROM_CHECKSUM] - sum(image)) & 255
    with open(path, 'wb') as file:
        file.write(image)


class Driver(Mover):
    def __init__(self, args, directory):
        self.args = args
        self.console = Console(directory)
        device = 'vmi-pci'
        append = f'{args.append} rounds={args.rounds}'
        if args.rom:
            old_rom = os.path.join(directory, 'old.rom')
            write_old_rom(args.rom, old_rom)
            device += f',romfile={old_rom}'
            append += ' old-rom'
        super().__init__(
            directory,
            guest_command(args.qemu, args.guest, self.console.args(), '-append',
                          append, *args.qemu_args),
            ['-device', device],
            # Another frequency, which must not matter to the guest
            ['-device', 'vmi-pci,cycle-frequency=1234567890'])

    def run_on(self):
        if not self.console.wait_line('# round', self.machine):
            raise MachineError('the guest ended after a snapshot')

    def guest_has_ended(self):
        return '\n1..' in self.console.text()

    def run(self, tap):
        ways = self.args.ways.split(',')
        moves = 0
        while self.console.wait_line('# round', self.machine):
            if moves == self.args.rounds:
                break
            way = ways[moves % len(ways)]
            moves += 1
            # It has to run on before it is taken back
            self.move('savevm' if way == 'loadvm' and
                      moves == self.args.rounds else way)
        used = [way for way in ways[:moves] if way not in self.skipped]
        tap.fact(moves == self.args.rounds,
                 f'the guest was moved {self.args.rounds} times, by '
                 + ', '.join(used), f'{moves}')
        for way, reason in self.skipped.items():
            tap.skip(f'migration by {way}', reason)
        judge_end(tap, self.machine, self.console)


def main():
    args = parse_args()
    drive(lambda directory: Driver(args, directory), 'the guest can be moved')


main()
