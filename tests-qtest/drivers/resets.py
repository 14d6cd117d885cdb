#!/usr/bin/python3
#
# Run the guest program "resets": reset the machine when it waits for that, at
# a random moment, and compare what its boots see. See guest/resets.c.
#
# usage: drivers/resets.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import random
import re
import time

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import Machine


def parse_args():
    parser = guest_parser()
    parser.add_argument('--boots', type=int, default=11)
    return parser.parse_args()


class Boots:
    def __init__(self, args, directory, seed):
        self.boots = args.boots
        self.seed = seed
        self.console = Console(directory)
        self.machine = Machine(directory, guest_command(
            args.qemu, args.guest, self.console.args(), '-append',
            f'{args.append} boots={args.boots}', *args.qemu_args))

    def run(self, tap):
        print(f'# seed {self.seed}')
        resets = 0
        while self.console.wait_line('# waiting', self.machine):
            time.sleep(random.uniform(0, 0.02))
            self.machine.qmp.command('system_reset')
            resets += 1
        judge_end(tap, self.machine, self.console, self.boots)
        text = self.console.text()

        # What comes before the first plan is of the first boot, and so on
        boots = [re.findall(r'^# sees (.*)$', boot, re.MULTILINE)
                 for boot in re.split(r'^1\.\.\d+$', text, flags=re.MULTILINE)]
        other = next((boot for boot in boots[1:self.boots]
                      if boot != boots[0]), None)
        tap.fact(boots[0] and other is None,
                 f'each of {self.boots} boots sees what the first one saw',
                 f'{resets} times reset by the host')
        for line in other or []:
            print(f'# other: {line}')
        ways = set(re.findall(r'^# (?:next by|waiting for) (.*)$', text,
                              re.MULTILINE))
        tap.fact(len(ways) == min(self.boots - 1, 5),
                 'the machine was reset in each way', ', '.join(sorted(ways)))


def main():
    args = parse_args()
    seed = random.randrange(1 << 32)
    random.seed(seed)
    drive(lambda directory: Boots(args, directory, seed),
          'the guest boots again')


main()
