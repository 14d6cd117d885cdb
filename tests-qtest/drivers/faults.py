#!/usr/bin/python3
#
# Run the guest program "faults" while its host is busy, sleeps, sets its clock,
# has no room on its disk, and loses who it talks to.  See guest/faults.c.
#
# usage: drivers/faults.py --qemu QEMU --guest FILE --busy FILE
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import contextlib
import glob
import os
import re
import signal
import socket
import time

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.guest import guest_command
from vmitest.machine import Machine, MachineError, wait_for

BUSY = 4
ASLEEP = 3              # seconds
STEP = 3600
SLACK = 60              # of the wall clock, on a busy host
FAKETIME = '/usr/lib/*/faketime/libfaketimeMT.so.1'


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--busy', required=True,
                        help='a guest that never ends')
    return parser.parse_args()


class Faults:
    def __init__(self, args, faketime, directory):
        self.args = args
        self.directory = directory
        self.tap = None
        self.console = Console(directory)
        self.clock = os.path.join(directory, 'clock')
        self.second = os.path.join(directory, 'second')
        self.step_clock(0)
        self.command = guest_command(args.qemu, args.guest, self.console.args(),
                                     '-device', 'vmi-pci')
        self.machine = Machine(directory, [
            'env', f'LD_PRELOAD={faketime}',
            f'FAKETIME_TIMESTAMP_FILE={self.clock}', 'FAKETIME_NO_CACHE=1',
            'FAKETIME_DONT_FAKE_MONOTONIC=1', *self.command, '-qmp',
            f'unix:{self.second},server=on,wait=off'])

    def step_clock(self, seconds):
        """
        What QEMU's wall clock says, from the host's. libfaketime reads the
        file at any time, and ends QEMU if it is empty: put a new one there.
        """
        new = f'{self.clock}.new'
        with open(new, 'w', encoding='utf-8') as file:
            file.write(f'{seconds:+d}\n')
        os.replace(new, self.clock)

    def tick(self):
        """Wait for a new one; return the guest's wall time in seconds"""
        self.console.skip()
        line = self.console.wait_line('# tick', self.machine)
        if line is None:
            raise MachineError('QEMU has ended')
        return int(re.fullmatch(r'# tick \d+, wall (\d+)', line)[1])

    def ticks_on(self, fact):
        self.tick()
        self.tick()
        status = self.machine.status()
        self.tap.fact(status == 'running', f'the guest ticks on {fact}',
                      status)

    def busy_host(self):
        with contextlib.ExitStack() as stack:
            for number in range(BUSY):
                stack.enter_context(Machine(self.directory, [
                    self.args.qemu, '-nodefaults', '-vga', 'none', '-m', '64',
                    '-display', 'none', '-device', 'vmi-pci', '-kernel',
                    self.args.busy, '-append', f'paging32 seed={number}']))
            for _ in range(3):
                self.tick()
            self.ticks_on(f'beside {BUSY} busy machines')

    def sleep(self):
        pid = self.machine.process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(ASLEEP)
        os.kill(pid, signal.SIGCONT)
        self.ticks_on(f'when QEMU was stopped for {ASLEEP} s')

    def step(self, seconds):
        self.step_clock(seconds)
        self.tick()
        ahead = self.tick() - time.time()
        self.tap.fact(abs(ahead - seconds) < SLACK,
                      f'its wall clock follows a step of the host to '
                      f'{seconds:+d} s', f'{ahead:+.1f} s')
        self.ticks_on(f'when the wall clock is stepped to {seconds:+d} s')

    def lose_clients(self):
        for command in (b'{"execute": "query-', b'{"execute": "qmp_capa'
                        b'bilities"}' + b'{"execute": "query-qmp-schema"}' * 8):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.second)
                client.sendall(command)
        self.ticks_on('when clients of its monitor are gone in the middle')

    def fill_disk(self):
        """A snapshot, on a disk that has no room any more"""
        qmp = self.machine.qmp
        self.machine.create_image(os.path.join(self.directory, 'image'))
        qmp.command('blockdev-add', driver='qcow2', node_name='image', file={
            'driver': 'blkdebug', 'image': 'file', 'inject-error': [{
                'event': 'write_aio', 'errno': 28, 'once': False}]})
        try:
            self.machine.job('snapshot-save', tag='tag', vmstate='image',
                             devices=['image'])
            error = None
        except MachineError as raised:
            error = str(raised)
        self.tap.fact(error, 'a snapshot on a full disk fails', error)
        self.ticks_on('when a snapshot has failed')
        qmp.command('blockdev-del', node_name='image')

    def start_migration(self):
        other = Machine(self.directory, [*self.command, '-incoming', 'defer'])
        uri = f'unix:{self.directory}/migration-{Machine.count}'
        other.qmp.command('migrate-incoming', uri=uri)
        # So slow that it does not end
        self.machine.qmp.command('migrate-set-parameters', max_bandwidth=10000)
        self.machine.qmp.command('migrate', uri=uri)
        self.wait_migration('active')
        return other

    def wait_migration(self, status):
        wait_for(f'migration {status}', lambda: self.machine.qmp.command(
            'query-migrate').get('status') == status)

    def cut_migration(self):
        self.start_migration().kill()
        self.wait_migration('failed')
        self.ticks_on('when the machine that it migrates to is gone')
        other = self.start_migration()
        self.machine.qmp.command('migrate_cancel')
        self.wait_migration('cancelled')
        self.ticks_on('when its migration is cancelled')
        status = other.wait()
        self.tap.fact(status, 'QEMU ends with an error if a migration to it '
                      'is cut', f'status {status}: '
                      f'{other.error_text().splitlines()[-1:]}')

    def run(self, tap):
        self.tap = tap
        self.ticks_on('at first')
        self.busy_host()
        self.sleep()
        self.step(STEP)
        self.step(-STEP)
        self.lose_clients()
        self.fill_disk()
        self.cut_migration()
        self.machine.press_key()
        judge_end(tap, self.machine, self.console)


def main():
    args = parse_args()
    faketime = glob.glob(FAKETIME)
    if not faketime:
        print("1..0 # SKIP no libfaketime here: install Debian's faketime")
        return
    drive(lambda directory: Faults(args, faketime[0], directory),
          'the guest goes on')


main()
