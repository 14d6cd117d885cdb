# A QEMU that a driver runs: its process, its monitor (QMP), its guest's
# serial output in a file.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import json
import os
import shlex
import signal
import socket
import subprocess
import time

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
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.file = self.socket.makefile('r')
        self.file.readline()    # the greeting
        self.events = []
        self.command('qmp_capabilities')

    def read(self):
        try:
            line = self.file.readline()
        except ConnectionError as error:
            raise MachineError(f'QEMU has ended: {error}') from error
        if not line:
            raise MachineError('QEMU has closed its monitor')
        return json.loads(line)

    def try_command(self, name, **arguments):
        """Return QEMU's answer, which has "return" or "error" """
        arguments = {key.replace('_', '-'): value
                     for key, value in arguments.items()}
        command = {'execute': name, 'arguments': arguments}
        try:
            self.socket.sendall(json.dumps(command).encode())
        except ConnectionError as error:
            raise MachineError(f'QEMU has ended: {error}') from error
        while True:
            answer = self.read()
            if 'event' not in answer:
                return answer
            self.events.append(answer)

    def command(self, name, **arguments):
        answer = self.try_command(name, **arguments)
        if 'error' in answer:
            raise MachineError(f'{name}: {answer["error"]["desc"]}')
        return answer['return']

    def hmp(self, line):
        return self.command('human-monitor-command',
                            **{'command-line': line})


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
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def error_text(self):
        with open(self.errors, encoding='utf-8', errors='replace') as file:
            return file.read().strip()

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def quit(self):
        """End it by its monitor, as a user does"""
        self.qmp.command('quit')
        self.process.wait(PATIENCE)

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
