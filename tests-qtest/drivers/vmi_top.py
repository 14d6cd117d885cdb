#!/usr/bin/python3
#
# Run vmi-top in a terminal, on a guest that makes calls all the time and on a
# socket where nobody listens, and read its screen.
#
# usage: drivers/vmi_top.py --qemu QEMU --guest FILE --vmi-top FILE
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import subprocess
import tempfile

from vmitest.console import Console
from vmitest.machine import Machine
from vmitest.tap import Tap
from vmitest.terminal import Terminal


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


def check_without_terminal(tap, command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    tap.fact(done.returncode == 1 and
             done.stderr.startswith('vmi-top: it draws on a terminal') and
             done.stderr.count('\n') == 1,
             'without a terminal, one line says that it needs one',
             f'status {done.returncode}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--vmi-top', required=True)
    args = parser.parse_args()
    tap = Tap()
    check_without_terminal(tap, [args.vmi_top, '/nonexistent'])
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
            terminal.send('q')
            status = terminal.status()
            tap.fact(status == 0, '"q" ends it', f'status {status}')
    tap.end()


main()
