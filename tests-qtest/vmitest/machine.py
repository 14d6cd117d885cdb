# A QEMU that a driver runs: its process, its monitor (QMP), its guest's
# serial output in a file.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import time

from qemu.qmp import ConnectError, QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

DEBUG_EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4']
PATIENCE = 60                   # seconds, for anything that a guest does


class MachineError(Exception):
    pass


def wait_for(what, condition, patience=PATIENCE):
    """Return the first true value of condition(); poll, as it is cheap"""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise MachineError(f'no {what} within {patience} s')
        time.sleep(0.01)


class QMP:
    """qemu.qmp's client, in words that drivers use"""

    ERRORS = (QMPError, EOFError, OSError, asyncio.TimeoutError)

    def __init__(self, path):
        self.monitor = QEMUMonitorProtocol(path)
        self.monitor.settimeout(PATIENCE)
        self.monitor.connect()
        self.events = []

    def try_command(self, name, **arguments):
        """Return QEMU's answer, which has "return" or "error" """
        arguments = {key.replace('_', '-'): value
                     for key, value in arguments.items()}
        try:
            answer = self.monitor.cmd_raw(name, arguments)
            self.events += self.monitor.get_events()
        except self.ERRORS as error:
            raise MachineError(f'{name}: QEMU has ended: {error!r}') from error
        return answer

    def command(self, name, **arguments):
        answer = self.try_command(name, **arguments)
        if 'error' in answer:
            raise MachineError(f'{name}: {answer["error"]["desc"]}')
        return answer['return']

    def hmp(self, line):
        return self.command('human-monitor-command',
                            **{'command-line': line})

    def close(self):
        """QEMU may have ended, which is no matter here"""
        with contextlib.suppress(*self.ERRORS):
            self.monitor.close()


class Machine:
    """Use it as a context, which ends QEMU"""

    count = 0

    def __init__(self, directory, command):
        Machine.count += 1
        self.directory = directory
        self.path = os.path.join(directory, f'qmp-{Machine.count}')
        self.errors = os.path.join(directory, f'stderr-{Machine.count}')
        self.command = [*command, '-qmp',
                        f'unix:{self.path},server=on,wait=off']
        self.qmp = None
        with open(self.errors, 'wb') as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL,
                stdout=errors, stderr=errors)
        try:
            self.qmp = wait_for('monitor', self.monitor)
        except (MachineError, OSError) as error:
            self.kill()
            raise MachineError(
                f'{error}: {self.error_text()}\n'
                f'# command: {shlex.join(self.command)}') from error

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()

    def monitor(self):
        if self.process.poll() is not None:
            raise MachineError('QEMU ended at once')
        try:
            return QMP(self.path)
        except ConnectError:
            return None

    def error_text(self):
        with open(self.errors, encoding='utf-8', errors='replace') as file:
            return file.read().strip()

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.qmp:
            self.qmp.close()

    def quit(self):
        """End it by its monitor, as a user does"""
        self.qmp.command('quit')
        self.process.wait(PATIENCE)
        self.qmp.close()

    def wait(self):
        """Wait for the guest to end QEMU; return the exit status"""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def press_key(self):
        self.qmp.command('input-send-event', events=[{
            'type': 'key',
            'data': {'down': True, 'key': {'type': 'qcode', 'data': 'a'}}}])

    def status(self):
        return self.qmp.command('query-status')['status']

    def job(self, name, **arguments):
        """Carry out a job, such as a snapshot"""
        self.qmp.command(name, job_id='job', **arguments)
        job = wait_for(f'end of {name}', self.concluded_job)
        self.qmp.command('job-dismiss', id='job')
        if 'error' in job:
            raise MachineError(f'{name}: {job["error"]}')

    def create_image(self, path):
        """A qcow2 image for snapshots; the nodes are "file" and "image" """
        self.job('blockdev-create', options={
            'driver': 'file', 'filename': path, 'size': 0})
        self.qmp.command('blockdev-add', driver='file', filename=path,
                         node_name='file')
        self.job('blockdev-create', options={
            'driver': 'qcow2', 'file': 'file', 'size': 1 << 20})

    def concluded_job(self):
        jobs = self.qmp.command('query-jobs')
        return jobs and jobs[0]['status'] == 'concluded' and jobs[0]
