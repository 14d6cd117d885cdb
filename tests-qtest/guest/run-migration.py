#!/usr/bin/env python3
#
# Run the guest program "migrate" and move it from one QEMU to another, or
# have it saved and loaded, in each of its rounds. See migrate.c.
#
# usage: run-migration.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import os
import shlex
import sys
import tempfile
import time

from machine import (DEBUG_EXIT, Console, Machine, MachineError, wait_for)
from tap import Tap, check_plan

# A slot of the ROM that no call has; see migrate.c
OLD_ROM_SLOT = 0x1400 + 49 * 32
OLD_ROM_CODE = bytes.fromhex('b8d401d401c3')    # mov $0x01d401d4, %eax; ret
ROM_CHECKSUM = 7


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--append', default='')
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--ways', default='unix',
                        help='separated by commas, taken by turns: '
                        + ', '.join(Driver.WAYS))
    parser.add_argument('--rom', help='the ROM, of which the first QEMU '
                        'gets one that differs')
    parser.add_argument('qemu_args', nargs='*')
    return parser.parse_args()


def write_old_rom(rom, path):
    """Another build's ROM: with code in a slot that is not used here"""
    with open(rom, 'rb') as file:
        image = bytearray(file.read())
    image[OLD_ROM_SLOT:OLD_ROM_SLOT + len(OLD_ROM_CODE)] = OLD_ROM_CODE
    image[ROM_CHECKSUM] = (image[ROM_CHECKSUM] - sum(image)) & 255
    with open(path, 'wb') as file:
        file.write(image)


class Driver:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.console = Console(directory)
        self.socket = os.path.join(directory, 'migration')
        self.file = os.path.join(directory, 'state')
        self.image = os.path.join(directory, 'image.qcow2')
        device = 'vmi-pci'
        append = f'{args.append} rounds={args.rounds}'
        if args.rom:
            old_rom = os.path.join(directory, 'old.rom')
            write_old_rom(args.rom, old_rom)
            device += f',romfile={old_rom}'
            append += ' old-rom'
        self.skipped = {}
        self.common = [
            args.qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', *self.console.args(), *DEBUG_EXIT, '-kernel', args.guest,
            '-append', append, *args.qemu_args]
        self.machine = Machine(directory, [*self.common, '-device', device])

    def next_machine(self, *more):
        # Another frequency, which must not matter to the guest
        return Machine(self.directory, [
            *self.common, '-device', 'vmi-pci,cycle-frequency=1234567890',
            *more])

    def replace(self, machine):
        """The guest has moved"""
        self.machine.quit()
        self.machine = machine

    @staticmethod
    def migration_status(machine):
        return machine.qmp.command('query-migrate').get('status')

    def completed(self, machine, what):
        def status():
            info = machine.qmp.command('query-migrate')
            if info.get('status') == 'failed':
                raise MachineError(f'{what} failed: {info.get("error-desc")} '
                                   f'{machine.error_text()}')
            return info.get('status') == 'completed'

        wait_for(f'end of {what}', status)

    def migrate(self, capabilities=(), postcopy=False):
        other = self.next_machine('-incoming', 'defer')
        settings = [{'capability': name, 'state': name in capabilities}
                    for name in ('multifd', 'postcopy-ram')]
        settings.append({'capability': 'events', 'state': True})
        for machine in (other, self.machine):
            answer = machine.qmp.try_command('migrate-set-capabilities',
                                             capabilities=settings)
            if 'error' in answer:
                other.kill()
                return answer['error']['desc']
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        uri = f'unix:{self.socket}'
        other.qmp.command('migrate-incoming', uri=uri)
        if postcopy:
            # So slow that it does not end before it is told to
            self.machine.qmp.command('migrate-set-parameters',
                                     max_bandwidth=100000)
        self.machine.qmp.command('migrate', uri=uri)
        if postcopy:
            wait_for('migration', lambda: self.migration_status(self.machine)
                     == 'active')
            self.machine.qmp.command('migrate-start-postcopy')
        try:
            self.completed(self.machine, 'migration')
            self.completed(other, 'incoming migration')
        except MachineError as error:
            other.kill()
            raise MachineError(f'{error}: {other.error_text()}') from error
        if postcopy and not any(
                event['event'] == 'MIGRATION' and
                event['data']['status'] == 'postcopy-active'
                for event in self.machine.qmp.events):
            raise MachineError('the migration was none of postcopy')
        self.replace(other)
        return None

    def way_unix(self):
        return self.migrate()

    def way_multifd(self):
        return self.migrate(['multifd'])

    def way_postcopy(self):
        return self.migrate(['postcopy-ram'], postcopy=True)

    def way_stopped(self):
        """Migrated while it is stopped; runs a little later"""
        self.machine.qmp.command('stop')
        time.sleep(0.05)
        self.migrate()
        time.sleep(0.05)
        if self.machine.status() != 'paused':
            raise MachineError('a stopped guest runs after migration')
        self.machine.qmp.command('cont')

    def way_file(self):
        self.machine.qmp.command('migrate', uri=f'file:{self.file}')
        self.completed(self.machine, 'migration')
        self.machine.quit()
        self.machine = self.next_machine('-incoming', f'file:{self.file}')
        self.completed(self.machine, 'incoming migration')

    def attach(self, machine):
        """Give the machine the image that snapshots go to"""
        if os.path.exists(self.image):
            machine.qmp.command('blockdev-add', driver='file',
                                filename=self.image, node_name='file')
        else:
            machine.create_image(self.image)
        machine.qmp.command('blockdev-add', driver='qcow2', file='file',
                            node_name='image')

    def detach(self, machine):
        machine.qmp.command('blockdev-del', node_name='image')
        machine.qmp.command('blockdev-del', node_name='file')

    def snapshot(self, machine, action):
        where = {'vmstate': 'image'} if action != 'delete' else {}
        machine.job(f'snapshot-{action}', tag='tag', devices=['image'],
                    **where)

    def way_savevm(self):
        """Saved, and loaded by another QEMU"""
        self.machine.qmp.command('stop')
        self.attach(self.machine)
        self.snapshot(self.machine, 'save')
        self.machine.quit()
        self.machine = self.next_machine('-S')
        self.attach(self.machine)
        self.snapshot(self.machine, 'load')
        self.snapshot(self.machine, 'delete')
        self.detach(self.machine)
        self.machine.qmp.command('cont')

    def way_loadvm(self):
        """Saved, and taken back by the same QEMU when it has run on"""
        self.attach(self.machine)
        self.snapshot(self.machine, 'save')
        if not self.console.wait_line('# round', self.machine):
            raise MachineError('the guest ended after a snapshot')
        self.snapshot(self.machine, 'load')
        self.snapshot(self.machine, 'delete')
        self.detach(self.machine)

    WAYS = {'unix': way_unix, 'multifd': way_multifd,
            'postcopy': way_postcopy, 'stopped': way_stopped,
            'file': way_file, 'savevm': way_savevm, 'loadvm': way_loadvm}

    def move(self, way):
        """One round; ways that this host does not have are left out"""
        reason = self.WAYS[way](self)
        if reason:
            self.skipped[way] = reason
            self.way_unix()

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
        status = self.machine.wait()
        failed = check_plan(tap, self.console.text(), 1)
        used = [way for way in ways[:moves] if way not in self.skipped]
        tap.fact(moves == self.args.rounds,
                 f'the guest was moved {self.args.rounds} times, by '
                 + ', '.join(used), f'{moves}')
        for way, reason in self.skipped.items():
            tap.point(True, f'- migration by {way} # SKIP {reason}')
        wanted = 3 if failed else 1
        tap.fact(status == wanted, f'QEMU ends with status {wanted}',
                 f'status {status}')


def main():
    args = parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        driver = Driver(args, directory)
        try:
            driver.run(tap)
        except MachineError as error:
            tap.fact(False, 'the guest can be moved', str(error))
            for line in driver.console.text().splitlines()[-20:]:
                print(f'# output: {line}')
            print(f'# QEMU: {driver.machine.error_text()}')
        finally:
            driver.machine.kill()
        if tap.failed:
            print(f'# command: {shlex.join(driver.machine.command)}')
    tap.end()


sys.exit(main())
