#!/usr/bin/env python3
#
# Run a guest program in QEMU and pass on its TAP lines.
#
# The guest reports on the serial line and ends QEMU by isa-debug-exit. How
# QEMU ended is a test point of its own, so that a hang, a crash or a missing
# plan is a failure, which shows the command line and the end of the output.
#
# usage: run_guest.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import re
import shlex
import subprocess
import sys

DEBUG_EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4']
POINT = re.compile(r'(not )?ok +\d+ *(.*)')
PLAN = re.compile(r'1\.\.(\d+)')


class Tap:
    def __init__(self):
        self.points = 0
        self.failed = 0

    def point(self, ok, text):
        self.points += 1
        self.failed += not ok
        print(f'{"" if ok else "not "}ok {self.points} {text}', flush=True)

    def fact(self, ok, text, seen=''):
        self.point(ok, f'- {text}' + (f' # {seen}' if seen else ''))

    def end(self):
        print(f'1..{self.points}')
        sys.exit(0 if not self.failed else 1)


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--append', default='')
    parser.add_argument('--status', type=int, default=1,
                        help="QEMU's exit status; 1 is the guest's success")
    parser.add_argument('--timeout', type=float, default=60)
    parser.add_argument('--twice', action='store_true',
                        help='run again and expect the same output')
    parser.add_argument('--expect', action='append', default=[],
                        help='not a TAP guest: lines that must come, as '
                        'regular expressions, in this order')
    parser.add_argument('--plans', type=int, default=1,
                        help='how often the guest boots, with a plan each')
    parser.add_argument('qemu_args', nargs='*')
    return parser.parse_args()


def qemu_command(args):
    # Without QEMU's default devices, of which the CD-ROM drive makes SeaBIOS
    # 1.16.2 wait for half a minute on q35
    return [args.qemu, '-nodefaults', '-vga', 'std', '-m', '64',
            '-display', 'none', '-serial', 'stdio', *DEBUG_EXIT,
            '-kernel', args.guest, '-append', args.append, *args.qemu_args]


def run(command, timeout):
    """Return the output and the exit status, or None after a timeout"""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        status = None
    return output.decode(errors='replace').replace('\r', ''), status


def pass_points(tap, output):
    """Number the guest's points anew; return how many there were, failed"""
    points = failed = 0
    for line in output.splitlines():
        match = POINT.fullmatch(line.rstrip())
        if match:
            tap.point(not match[1], match[2])
            points += 1
            failed += bool(match[1])
        elif not PLAN.fullmatch(line):
            print(f'# {line}')
    return points, failed


def check_plan(tap, output, boots):
    plans = [int(plan) for plan in
             re.findall(r'^1\.\.(\d+)$', output, re.MULTILINE)]
    points, failed = pass_points(tap, output)
    tap.fact(len(plans) == boots and sum(plans) == points,
             'the guest carries out all that it plans',
             f'{points} facts, plans {plans}')
    return failed


def check_expected(tap, output, expected):
    lines = output.splitlines()
    for line in lines:
        print(f'# {line}')
    start = 0
    for pattern in expected:
        found = next((i for i in range(start, len(lines))
                      if re.fullmatch(pattern, lines[i].strip())), None)
        tap.fact(found is not None, f'the guest prints {pattern}')
        if found is not None:
            start = found + 1
    return 0


def judge(tap, args, output, status):
    """Report what a guest printed, and how QEMU ended: None is a timeout"""
    if args.expect:
        failed = check_expected(tap, output, args.expect)
    else:
        failed = check_plan(tap, output, args.plans)

    seen = (f'no end within {args.timeout:g} s' if status is None else
            f'status {status}')
    wanted = 3 if failed and args.status == 1 else args.status
    tap.fact(status == wanted, f'QEMU ends with status {wanted}', seen)


def main():
    args = parse_args()
    command = qemu_command(args)
    tap = Tap()
    output, status = run(command, args.timeout)
    judge(tap, args, output, status)
    if args.twice:
        again, _ = run(command, args.timeout)
        tap.fact(output == again, 'a second run prints the same')
        if output != again:
            for one, two in zip(output.splitlines(), again.splitlines()):
                if one != two:
                    print(f'# first  run: {one}\n# second run: {two}')
    if tap.failed:
        print(f'# command: {shlex.join(command)}')
        for line in output.splitlines()[-20:]:
            print(f'# output: {line}')
    tap.end()


if __name__ == '__main__':
    main()
