# A program on a terminal, and what its screen shows.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import re
import time

import pexpect
import pyte

from vmitest.machine import PATIENCE, MachineError, wait_for

ROWS, COLUMNS = 24, 80


class Terminal:
    def __init__(self, command):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.Stream(self.screen)
        self.program = pexpect.spawn(
            command[0], command[1:], dimensions=(ROWS, COLUMNS),
            env={**os.environ, 'TERM': 'vt100'}, encoding='utf-8',
            codec_errors='replace')

    def read(self, seconds):
        """Show what it writes in that time"""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.stream.feed(self.program.read_nonblocking(65536, left))
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass

    def wait_screen(self, pattern):
        """Wait until the screen has it; return the match, or None"""
        text = ''

        def found():
            nonlocal text
            self.read(0.1)
            text = '\n'.join(line.rstrip() for line in self.screen.display)
            return re.search(pattern, text, re.MULTILINE)

        try:
            return wait_for(pattern, found)
        except MachineError:
            for line in text.splitlines():
                print(f'# screen: {line}')
            return None

    def send(self, keys):
        self.program.send(keys)

    def status(self):
        """Its exit status when it has ended; the signal's number, negative"""
        end = time.monotonic() + PATIENCE
        while self.program.isalive() and time.monotonic() < end:
            self.read(0.1)
        self.program.close(force=True)
        signal = self.program.signalstatus
        return self.program.exitstatus if signal is None else -signal
