# QEMU's command line for a guest program. One that needs nobody to drive it: run
# it, and judge what it printed and how QEMU ended.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import re
import subprocess

from vmitest.machine import DEBUG_EXIT
from vmitest.tap import check_plan


def guest_parser():
    """The options of a driver that runs one guest program; it adds its own"""
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--append', default='')
    parser.add_argument('qemu_args', nargs='*')
    return parser


def guest_command(qemu, guest, output, *more):
    """For a program that ends QEMU by itself; output: where its serial line goes

    Without QEMU's default devices, of which the CD-ROM drive makes SeaBIOS
    1.16.2 wait for half a minute on q35.
    """
    return [qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', *output, *DEBUG_EXIT, '-kernel', guest, *more]


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


def check_log(tap, path, expected):
    with open(path, encoding='utf-8', errors='replace') as file:
        lines = file.read().splitlines()
    for pattern in expected:
        tap.fact(any(re.fullmatch(pattern, line) for line in lines),
                 f'QEMU logs {pattern}', f'{len(lines)} lines')


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
