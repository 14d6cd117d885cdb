#!/usr/bin/python3
#
# Move a real kernel under load from one QEMU to another, again and again, or
# let it run for a long time: is its clock right, and does QEMU's memory grow?
#
# Not part of ./vmi test: bring a kernel, and an initrd that puts load on it and
# prints a line "TICK <monotonic> <realtime> [...]" a second, in seconds.
#
# usage: drivers/soak_kernel.py --qemu QEMU --kernel FILE --initrd FILE [OPTIONS]
#                       -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import re
import time

from vmitest.console import Console
from vmitest.drive import drive
from vmitest.machine import MachineError
from vmitest.mover import Mover

TICK = re.compile(r'TICK (\d+\.\d+) (\d+\.\d+)')
BAD = ('BUG|Oops|WARNING|Call Trace|[Pp]anic|lockup|stall|unstable|segfault|'
       'LOADERR')


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--kernel', required=True)
    parser.add_argument('--initrd', required=True)
    parser.add_argument('--append', default='console=ttyS0')
    parser.add_argument('--moves', type=int, default=20)
    parser.add_argument('--minutes', type=float, default=0,
                        help='let it run for so long before it is moved')
    parser.add_argument('--ways', default='unix',
                        help='separated by commas, taken in turn: '
                        + ', '.join(Mover.WAYS))
    parser.add_argument('--patience', type=float, default=60,
                        help='seconds to wait for a tick')
    parser.add_argument('--ticks', type=int, default=3,
                        help='how many to wait for between moves')
    parser.add_argument('--bad', default=BAD,
                        help='lines that must not come, as a regular '
                        'expression')
    parser.add_argument('qemu_args', nargs='*')
    return parser.parse_args()


# Asked of a guest that stands still
QUESTIONS = ['info status', 'info registers -a', 'info registers -a',
             'info lapic 0', 'info lapic 1', 'info pic',
             'info stats vcpu * vmi', 'info stats vm * vmi']


class Soak(Mover):
    def __init__(self, args, directory):
        self.args = args
        self.console = Console(directory)
        self.drift = []         # guest's seconds more than the host's
        self.behind = []        # wall time, the host's less the guest's
        self.back = 0           # how often monotonic time went back
        self.last = 0.0
        super().__init__(
            directory,
            [args.qemu, '-m', '256M', '-display', 'none', '-nodefaults',
             *self.console.args(), '-kernel', args.kernel, '-initrd',
             args.initrd, '-append', args.append, *args.qemu_args],
            ['-device', 'vmi-pci'], ['-device', 'vmi-pci'])

    def tick(self):
        """Wait for one; return the guest's and the host's time"""
        line = self.console.wait_line('TICK', self.machine,
                                      self.args.patience)
        if line is None:
            raise MachineError('the guest is gone')
        match = TICK.match(line)
        guest = float(match[1])
        self.back += guest < self.last
        self.last = guest
        self.behind.append(time.time() - float(match[2]))
        return guest, time.monotonic()

    def run_on(self):
        """Of some ticks, compare the guest's clock with the host's"""
        self.tick()
        guest, host = self.tick()
        for _ in range(self.args.ticks):
            guest_end, host_end = self.tick()
        self.drift.append((guest_end - guest) - (host_end - host))

    def resident(self):
        """KiB of QEMU's that are the guest's memory or its own"""
        with open(f'/proc/{self.machine.process.pid}/status',
                  encoding='utf-8') as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read())[1])

    def stay(self, tap, minutes):
        """Let it run; compare clocks at each tick, and memory each minute"""
        end = time.monotonic() + minutes * 60
        self.tick()
        guest, host = self.tick()
        offsets, memory, next_minute = [], [], 0
        while time.monotonic() < end:
            now_guest, now_host = self.tick()
            offsets.append((now_guest - guest) - (now_host - host))
            if now_host >= next_minute:
                next_minute = now_host + 60
                memory.append(self.resident())
                print(f'# guest at {now_guest:.0f} s, clock '
                      f'{offsets[-1]:+.3f} s, {memory[-1]} KiB', flush=True)
        # A tick may be printed late, by a host that has other work
        ahead, behind = max(offsets), -min(offsets)
        tap.fact(ahead < 1, "the guest's clock is never ahead of the host's",
                 f'{len(offsets)} ticks in {minutes:g} minutes, at most '
                 f'{ahead:+.3f} s; a tick came at most {behind:.3f} s late; '
                 f'{offsets[-1]:+.3f} s at the end')
        half = len(memory) // 2
        tap.fact(half and max(memory[half:]) < 1.05 * max(memory[:half]),
                 "QEMU's memory does not grow in the second half",
                 f'{max(memory[:half])} KiB, then {max(memory[half:])} KiB')
        for vcpu in self.machine.qmp.command(
                'query-stats', target='vcpu', providers=[{
                    'provider': 'vmi',
                    'names': ['alarms-fired', 'alarm-lateness',
                              'stolen-time']}]):
            stats = {stat['name']: stat['value'] for stat in vcpu['stats']}
            print(f'# {vcpu["qom-path"]}: {stats}')

    def soak(self, tap):
        ways = self.args.ways.split(',')
        moves = 0
        self.run_on()
        while moves < self.args.moves:
            way = ways[moves % len(ways)]
            self.move(way)
            if way == 'loadvm':
                # The guest is where it was; so is what it prints.
                self.console.skip()
                self.last = 0.0
            moves += 1
            self.run_on()
            print(f'# {moves}: {way}, guest at {self.last:.1f} s', flush=True)
        for way, reason in self.skipped.items():
            tap.skip(f'migration by {way}', reason)

    def ask(self):
        """Where is it?"""
        for question in QUESTIONS:
            try:
                answer = self.machine.qmp.hmp(question)
            except (MachineError, OSError) as error:
                answer = str(error)
            for line in answer.splitlines():
                if not re.match('FPR|XMM|FCW', line):
                    print(f'# {question}: {line}')

    def judge(self, tap):
        # How it boots is not the question here
        text = self.console.text()
        text = text[max(text.find('TICK'), 0):]
        bad = [line for line in text.splitlines()
               if re.search(self.args.bad, line)]
        tap.fact(not bad, 'the console is clean from the first TICK on',
                 f'{len(text.splitlines())} lines')
        for line in bad[:20]:
            print(f'# {line}')
        tap.fact(not self.back, "the guest's clock never goes back",
                 f'{self.back} times')
        worst = max(self.drift, key=abs, default=0)
        tap.fact(abs(worst) < 1, "the guest's clock keeps the host's pace "
                 'between moves', f'at most {worst:+.3f} s in {self.args.ticks}'
                 f' ticks, {sum(self.drift):+.3f} s in all')
        print(f'# wall time behind the host by {self.behind[0]:.3f} s at first,'
              f' {self.behind[-1]:.3f} s in the end')

    def run(self, tap):
        try:
            if self.args.minutes:
                self.stay(tap, self.args.minutes)
            self.soak(tap)
        except MachineError:
            self.ask()
            raise
        self.judge(tap)


def main():
    args = parse_args()
    drive(lambda directory: Soak(args, directory), 'the guest can be moved')


main()
