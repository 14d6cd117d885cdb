#!/usr/bin/python3
#
# Have a guest saved under one accelerator and loaded under the other. One that
# uses VMI is refused, and goes on where it came from; one that does not use it
# yet goes on.
#
# usage: drivers/change_accel.py --qemu QEMU --guest FILE -- QEMU-ARGS
#
# The guest is "migrate", with one round.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import tempfile

from vmitest.console import Console
from vmitest.drive import judge_end, print_last
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import Machine, MachineError, wait_for
from vmitest.tap import Tap

REFUSED = [
    ('tcg', 'kvm', 'vmi-pci: the guest uses VMI and was started under TCG; its calls cannot be served under KVM'),
    # QEMU's own reason comes first: TCG has no clock of KVM
    ('kvm', 'tcg', "Unknown savevm section or instance 'kvmclock' 0"),
]


class Guest:
    """The guest, its output, and its state in a file"""

    def __init__(self, args, directory):
        self.directory = directory
        self.state = os.path.join(directory, 'state')
        self.console = Console(directory)
        self.command = guest_command(args.qemu, args.guest, self.console.args(), '-device', 'vmi-pci',
                                     '-append', 'kvm paging32 rounds=1', *args.qemu_args)

    def start(self, accel, *more):
        return Machine(self.directory, [*self.command, '-accel', accel, *more])

    def load(self, accel):
        return self.start(accel, '-incoming', f'file:{self.state}')

    def save(self, machine):
        machine.qmp.command('migrate', uri=f'file:{self.state}')
        wait_for('end of migration', lambda: machine.qmp.command('query-migrate').get('status') == 'completed')
        machine.quit()

    def round(self, machine):
        """Wait until the guest is in its round"""
        if not self.console.wait_line('# round', machine):
            raise MachineError(f'the guest ended: {machine.error_text()}')

    def finish(self, tap, machine):
        """A stop is what the guest waits for"""
        machine.qmp.command('stop')
        machine.qmp.command('cont')
        judge_end(tap, machine, self.console)


def refused(tap, guest, source, destination, reason):
    with guest.start(source) as machine:
        guest.round(machine)
        guest.save(machine)
    try:
        with guest.load(destination) as machine:
            status, text = machine.wait(), machine.error_text()
    except MachineError as error:
        status, text = 1, str(error)
    tap.fact(status == 1 and reason in text, f'a guest that uses VMI under {source} is refused under {destination}: '
             f'{reason}', f'status {status}: {text.splitlines()}')
    with guest.load(source) as machine:
        guest.finish(tap, machine)


def accepted(tap, guest, source, destination):
    with guest.start(source, '-S') as machine:
        guest.save(machine)
    with guest.load(destination) as machine:
        # It was stopped when it was saved
        wait_for('end of migration', lambda: machine.status() != 'inmigrate')
        machine.qmp.command('cont')
        guest.round(machine)
        status = machine.status()
        tap.fact(status == 'running', f'a guest of {source} that does not use VMI yet goes on under {destination}',
                 status)
        guest.finish(tap, machine)


def run(tap, args, function, *arguments):
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        guest = Guest(args, directory)
        try:
            function(tap, guest, *arguments)
        except MachineError as error:
            tap.fact(False, f'the guest can be saved and loaded, {" ".join(arguments)}', str(error))
            print_last(guest.console)


def main():
    args = guest_parser().parse_args()
    tap = Tap()
    for case in REFUSED:
        run(tap, args, refused, *case)
    run(tap, args, accepted, 'tcg', 'kvm')
    tap.end()


main()
