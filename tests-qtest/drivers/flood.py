#!/usr/bin/python3
#
# Run the flood program, and look at QEMU from outside meanwhile: the monitor
# answers, the process does not grow, and log, events and alarms stay few. A
# second QEMU beside it goes on.
#
# usage: drivers/flood.py --qemu QEMU --guest FILE
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import os
import tempfile
import time

from vmitest.console import Console
from vmitest.machine import DEBUG_EXIT, Machine, MachineError, wait_for
from vmitest.tap import Tap, check_plan

LOGGED = 10                     # messages in a second
GROWTH = 16                     # MiB


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    return parser.parse_args()


def resident(machine):
    """MiB"""
    with open(f'/proc/{machine.process.pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 20


def armed(machine):
    """How many alarms are, of the one CPU"""
    result = machine.qmp.command('query-stats', target='vcpu', providers=[
        {'provider': 'vmi', 'names': ['alarms-armed']}])
    return result[0]['stats'][0]['value']


class Watch:
    def __init__(self, console, machine, other):
        self.console = console
        self.machine = machine
        self.other = other
        self.sizes = []
        self.alarms = 0
        # Not when it is seen to begin: that may be late
        self.start = time.monotonic()

    def look(self):
        """Return whether the flood is over"""
        self.other.status()
        try:
            alarms = armed(self.machine)
            self.sizes.append(resident(self.machine))
            self.alarms = max(self.alarms, alarms)
        except (MachineError, ValueError):      # it may just have ended
            self.machine.process.wait(60)
            return True
        return self.console.new_line('# flood ends')

    def run(self):
        wait_for('begin of the flood',
                 lambda: self.console.new_line('# flood begins'))
        wait_for('end of the flood', self.look, 300)

    def judge(self, tap, log):
        seconds = time.monotonic() - self.start
        events = [event for event in self.machine.qmp.events
                  if event['event'] == 'VMI_GUEST_ERROR']
        with open(log, encoding='utf-8', errors='replace') as file:
            lines = file.read().splitlines()
        growth = max(self.sizes) - self.sizes[0]
        tap.fact(len(self.sizes) > 3, 'two monitors answer during the flood',
                 f'{len(self.sizes)} times in {seconds:.1f} s')
        tap.fact(growth < GROWTH, 'QEMU does not grow by the flood',
                 f'{growth} MiB of {self.sizes[0]}')
        tap.fact(0 < self.alarms <= 2, 'no more than two alarms are armed',
                 f'{self.alarms}')
        tap.fact(0 < len(lines) <= LOGGED * (seconds + 2),
                 f'no more than {LOGGED} messages a second are logged',
                 f'{len(lines)} in {seconds:.1f} s')
        tap.fact(0 < len(events) <= seconds + 2,
                 'no more than an event a second is sent', f'{len(events)}')


def main():
    args = parse_args()
    tap = Tap()
    base = [args.qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', '-device', 'vmi-pci', *DEBUG_EXIT]
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        log = os.path.join(directory, 'log')
        console = Console(directory)
        command = [*base, *console.args(), '-kernel', args.guest, '-append',
                   'paging32', '-d', 'guest_errors', '-D', log]
        with (Machine(directory, base) as other,
              Machine(directory, command) as machine):
            watch = Watch(console, machine, other)
            try:
                watch.run()
                status = machine.wait()
            except MachineError as error:
                status = str(error)
            check_plan(tap, console.text(), 1)
            watch.judge(tap, log)
            tap.fact(status == 1, 'QEMU ends with status 1', f'{status}')
    tap.end()


if __name__ == '__main__':
    main()
