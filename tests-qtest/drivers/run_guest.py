#!/usr/bin/python3
#
# Run a guest program in QEMU and pass on its TAP lines.
#
# The guest reports on the serial line and ends QEMU by isa-debug-exit. How
# QEMU ended is a test point of its own, so that a hang, a crash or a missing
# plan is a failure, which shows the command line and the end of the output.
#
# usage: drivers/run_guest.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import shlex
import tempfile

from vmitest.guest import check_log, guest_command, guest_parser, judge, run
from vmitest.tap import Tap


def parse_args():
    parser = guest_parser()
    parser.add_argument('--status', type=int, default=1,
                        help="QEMU's exit status; 1 is the guest's success")
    parser.add_argument('--timeout', type=float, default=150)
    parser.add_argument('--twice', action='store_true',
                        help='run again and expect the same output')
    parser.add_argument('--expect', action='append', default=[],
                        help='not a TAP guest: lines that must come, as '
                        'regular expressions, in this order')
    parser.add_argument('--log', action='append', default=[],
                        help='guest errors that QEMU must log, as regular '
                        'expressions')
    parser.add_argument('--plans', type=int, default=1,
                        help='how often the guest boots, with a plan each')
    return parser.parse_args()


def main():
    args = parse_args()
    command = guest_command(args.qemu, args.guest, ['-serial', 'stdio'],
                            '-vga', 'std', '-append', args.append,
                            *args.qemu_args)
    log = tempfile.NamedTemporaryFile(prefix='vmi-')
    if args.log:
        command += ['-d', 'guest_errors', '-D', log.name]
    tap = Tap()
    output, status = run(command, args.timeout)
    judge(tap, args, output, status)
    check_log(tap, log.name, args.log)
    if any('check=on' in arg for arg in command) and not args.expect:
        stale = [line for line in output.splitlines() if ': check: ' in line]
        tap.fact(not stale, "the device's self-check finds nothing stale",
                 f'{len(stale)} lines, first {stale[:1]}')
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
