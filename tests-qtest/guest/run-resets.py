#!/usr/bin/env python3
#
# Run the guest program "resets": reset the machine when it waits for that, at
# a random moment, and compare what its boots see. See resets.c.
#
# usage: run-resets.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import random
import re
import shlex
import tempfile
import time

from machine import DEBUG_EXIT, Console, Machine, MachineError
from tap import Tap, check_plan


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--append', default='')
    parser.add_argument('--boots', type=int, default=11)
    parser.add_argument('qemu_args', nargs='*')
    return parser.parse_args()


def boot_all(args, machine, console, tap):
    resets = 0
    while console.wait_line('# waiting', machine):
        time.sleep(random.uniform(0, 0.02))
        machine.qmp.command('system_reset')
        resets += 1
    status = machine.wait()
    text = console.text()
    failed = check_plan(tap, text, args.boots)

    # What comes before the first plan is of the first boot, and so on
    boots = [re.findall(r'^# sees (.*)$', boot, re.MULTILINE)
             for boot in re.split(r'^1\.\.\d+$', text, flags=re.MULTILINE)]
    other = next((boot for boot in boots[1:args.boots] if boot != boots[0]),
                 None)
    tap.fact(boots[0] and other is None,
             f'each of {args.boots} boots sees what the first one saw',
             f'{resets} times reset by the host')
    for line in other or []:
        print(f'# other: {line}')
    ways = set(re.findall(r'^# (?:next by|waiting for) (.*)$', text,
                          re.MULTILINE))
    tap.fact(len(ways) == min(args.boots - 1, 5),
             'the machine was reset in each way', ', '.join(sorted(ways)))
    wanted = 3 if failed else 1
    tap.fact(status == wanted, f'QEMU ends with status {wanted}',
             f'status {status}')


def main():
    args = parse_args()
    tap = Tap()
    seed = random.randrange(1 << 32)
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        console = Console(directory)
        command = [
            args.qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', *console.args(), *DEBUG_EXIT, '-kernel', args.guest,
            '-append', f'{args.append} boots={args.boots}', *args.qemu_args]
        with Machine(directory, command) as machine:
            try:
                boot_all(args, machine, console, tap)
            except MachineError as error:
                tap.fact(False, 'the guest boots again', str(error))
                for line in console.text().splitlines()[-20:]:
                    print(f'# output: {line}')
            if tap.failed:
                print(f'# seed {seed}, QEMU: {machine.error_text()}')
                print(f'# command: {shlex.join(machine.command)}')
    tap.end()


main()
