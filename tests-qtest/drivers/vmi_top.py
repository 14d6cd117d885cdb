#!/usr/bin/env python3
#
# Run vmi-top in a terminal, on a guest that makes calls all the time and on a
# socket where nobody listens, and read its screen.
#
# usage: drivers/vmi_top.py --qemu QEMU --guest FILE --vmi-top FILE
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import fcntl
import os
import pty
import re
import select
import struct
import tempfile
import termios
import time

from vmitest.console import Console
from vmitest.machine import PATIENCE, Machine, MachineError, wait_for
from vmitest.tap import Tap

ROWS, COLUMNS = 24, 80
# A control sequence, another escape sequence, or a character
TOKEN = re.compile(r'\x1b\[(?P<numbers>[\d;?]*)(?P<command>[A-Za-z])|'
                   r'\x1b[()].|\x1b[^\[()]|[^\x1b]', re.DOTALL)


class Terminal:
    """A program in a terminal, which shows it on a screen"""

    def __init__(self, command):
        self.lines = [[' '] * COLUMNS for row in range(ROWS)]
        self.row = self.column = 0
        self.saved = 0, 0
        self.top, self.bottom = 0, ROWS         # what scrolls
        self.data = ''          # an escape sequence that is not complete
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ['TERM'] = 'vt100'
            os.execv(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack('4H', ROWS, COLUMNS, 0, 0))

    def read(self, seconds):
        """Show what it writes in that time"""
        end = time.monotonic() + seconds
        while select.select([self.fd], [], [],
                            max(end - time.monotonic(), 0))[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:     # it has ended
                break
            if not data:
                break
            self.data += data.decode(errors='replace')
        while match := TOKEN.match(self.data):
            self.data = self.data[match.end():]
            self.show(match)

    def show(self, token):
        """As far as a VT100 is used by curses"""
        numbers = [int(number or 0) for number in
                   (token['numbers'] or '').strip('?').split(';')]
        if token['command'] == 'H':
            self.row, self.column = ([max(number - 1, 0) for number in
                                      numbers] + [0])[:2]
        elif token['command'] == 'C':
            self.column += max(numbers[0], 1)
        elif token['command'] == 'D':
            self.column -= max(numbers[0], 1)
        elif token['command'] == 'A':
            self.row -= max(numbers[0], 1)
        elif token['command'] == 'B':
            self.row += max(numbers[0], 1)
        elif token['command'] == 'K' and numbers[0] == 1:
            self.lines[self.row][:self.column + 1] = ' ' * (self.column + 1)
        elif token['command'] == 'K':
            self.fill(self.row, self.column)
        elif token['command'] == 'J':
            self.fill(self.row, self.column)
            for row in range(self.row + 1, ROWS):
                self.fill(row, 0)
        elif token[0] == '\r':
            self.column = 0
        elif token['command'] == 'r':
            self.top, self.bottom = numbers[0] - 1, numbers[1]
        elif token[0] == '\n' and self.row == self.bottom - 1:
            self.lines.insert(self.bottom, [' '] * COLUMNS)
            del self.lines[self.top]
        elif token[0] == '\n':
            self.row += 1
        elif token[0] == '\x1bM' and self.row == self.top:
            del self.lines[self.bottom - 1]
            self.lines.insert(self.top, [' '] * COLUMNS)
        elif token[0] == '\x1bM':
            self.row -= 1
        elif token[0] == '\x1b7':
            self.saved = self.row, self.column
        elif token[0] == '\x1b8':
            self.row, self.column = self.saved
        elif token[0] == '\t':
            self.column += 8 - self.column % 8
        elif token[0] == '\b':
            self.column -= 1
        elif token[0].isprintable():
            self.lines[self.row][self.column] = token[0]
            self.column += 1

    def fill(self, row, column):
        self.lines[row][column:] = ' ' * (COLUMNS - column)

    def screen(self):
        self.read(0.1)
        return '\n'.join(''.join(line).rstrip() for line in self.lines)

    def wait_screen(self, pattern):
        """Wait until the screen has it; return the match, or None"""
        text = ''

        def found():
            nonlocal text
            text = self.screen()
            return re.search(pattern, text, re.MULTILINE)

        try:
            return wait_for(pattern, found)
        except MachineError:
            for line in text.splitlines():
                print(f'# screen: {line}')
            return None

    def send(self, keys):
        os.write(self.fd, keys)

    def status(self):
        """Its exit status when it has ended; the signal's number, negative"""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        return None


def check_screen(tap, terminal, machine):
    found = terminal.wait_screen(r'^busy +active since 20\S+ \S+, API 3\.0, '
                                 r'0 guest errors')
    tap.fact(found, 'it shows that VMI is active', found and found[0])
    found = terminal.wait_screen(r'^ +0 +[1-9]\d+ +0 +[1-9]\d* +0 +<\d+ \ws '
                                 r'+\d+\.\d%')
    tap.fact(found, 'it shows the rates of CPU 0', found and found[0].strip())
    found = terminal.wait_screen(r'GetCycleFrequency [1-9]\d+')
    tap.fact(found, 'it names the busiest calls', found and found[0])
    found = terminal.wait_screen(r'^nobody +not there: ')
    tap.fact(found, 'it tells of a machine that is not there',
             found and found[0])
    machine.kill()
    found = terminal.wait_screen(r'^monitor +not there: |^busy +not there: ')
    tap.fact(found, 'it tells when a machine has gone', found and found[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--vmi-top', required=True)
    args = parser.parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        monitor = f'{directory}/monitor'
        console = Console(directory)
        command = [
            args.qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', *console.args(), '-kernel', args.guest, '-append',
            'paging32 busy', '-device', 'vmi-pci', '-name', 'busy',
            '-qmp', f'unix:{monitor},server=on,wait=off']
        with Machine(directory, command) as machine:
            terminal = Terminal([args.vmi_top, '-d', '0.2', monitor,
                                 f'{directory}/nobody'])
            check_screen(tap, terminal, machine)
            terminal.send(b'q')
            status = terminal.status()
            tap.fact(status == 0, '"q" ends it', f'status {status}')
    tap.end()


main()
