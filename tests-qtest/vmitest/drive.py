# What the drivers of guest programs have in common: the end of a run, and what
# is said when one goes wrong.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import shlex
import tempfile

from vmitest.machine import MachineError
from vmitest.tap import Tap, check_plan


def judge_end(tap, machine, console, boots=1):
    """Wait for the guest to end QEMU; report its facts, and how QEMU ends"""
    status = machine.wait()
    failed = check_plan(tap, console.text(), boots)
    wanted = 3 if failed else 1
    tap.fact(status == wanted, f'QEMU ends with status {wanted}',
             f'status {status}')


def print_last(console):
    for line in console.text().splitlines()[-20:]:
        print(f'# output: {line}')


def drive(make, fact):
    """A driver's main()

    make() gets a directory, and returns what has a console, the machine that
    the guest runs in at last, and run(), which gets a Tap.  The fact is the
    one that fails when run() ends with an error.
    """
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        guest = make(directory)
        try:
            guest.run(tap)
        except MachineError as error:
            tap.fact(False, fact, str(error))
        finally:
            guest.machine.kill()
        if tap.failed:
            print_last(guest.console)
            print(f'# QEMU: {guest.machine.error_text()}')
            print(f'# command: {shlex.join(guest.machine.command)}')
    tap.end()
