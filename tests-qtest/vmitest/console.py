# The serial output of a guest that a driver runs.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os

from vmitest.machine import PATIENCE, wait_for


class Console:
    """The guest's serial output, from all the QEMUs that it has run in"""

    def __init__(self, directory):
        self.path = os.path.join(directory, 'serial')
        self.seen = 0
        open(self.path, 'wb').close()

    def args(self):
        return ['-chardev', f'file,id=serial,path={self.path},append=on',
                '-serial', 'chardev:serial']

    def text(self):
        with open(self.path, encoding='utf-8', errors='replace') as file:
            return file.read().replace('\r', '')

    def skip(self):
        """What is there already is not new"""
        self.seen = len(self.text())

    def new_line(self, start):
        """A whole new line that starts like this, or None; once"""
        text = self.text()
        at = f'\n{text}'.find(f'\n{start}', self.seen)
        end = text.find('\n', at) if at >= 0 else -1
        if end < 0:
            return None
        self.seen = end + 1
        return text[at:end]

    def wait_line(self, start, machine, patience=PATIENCE):
        """Wait for it, or until QEMU has ended; return the line or None"""
        def done():
            ended = machine.process.poll() is not None
            return self.new_line(start) or (ended and 'ended')

        line = wait_for(f'line "{start}"', done, patience)
        return None if line == 'ended' else line
