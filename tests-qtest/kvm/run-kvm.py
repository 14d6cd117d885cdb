#!/usr/bin/python3
#
# Run guest programs under KVM: on this machine if it can, or else in a machine of TCG that can.
#
# usage: run-kvm.py --build DIR --probe FILE [OPTIONS] [NAME...]
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import importlib
import pathlib
import pkgutil
import re
import shlex
import subprocess
import tempfile
import time

import exits
from kvm_guests import GUESTS, Driven
import nested
import vmitest
from vmitest.guest import judge, run
from vmitest.tap import Tap

# Drivers, in the nested machine, get the modules that are loaded here
for library in pkgutil.iter_modules(vmitest.__path__):
    importlib.import_module(f'vmitest.{library.name}')

# Seconds for all that runs in nested machines, and how many there may be if they stand still
TIMEOUT = 840
MACHINES = 3

ROM = 'qemu/pc-bios/vmi/vmi.rom'
COUNTERS = '/tmp/counters'


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('--probe', required=True, help='prints what is wrong with KVM here, and fails')
    parser.add_argument('--nested', action='store_true', help='even if KVM works here')
    parser.add_argument('--emulator', type=pathlib.Path, help='QEMU for the guests')
    parser.add_argument('--counters', type=pathlib.Path,
                        help='directory for what a QEMU compiled with --coverage leaves behind')
    parser.add_argument('names', nargs='*', help='run these only')
    return parser.parse_args()


def run_here(guests, args, monitor):
    for guest in [guest for guest in guests if not guest.host]:
        command = guest.command(str(args.emulator), program(args.build, guest), str(args.build / ROM),
                                f'socket,path={monitor}')
        output, status = run(command, guest.timeout)
        yield guest, status, output, command


def run_nested(guests, args, monitor, directory):
    machine = nested.Nested(qemu=args.build / 'bin/qemu-system-x86_64', emulator=args.emulator, rom=args.build / ROM,
                            packages=args.build / 'nested/root')
    commands = {}
    for guest in guests:
        name = machine.add(program(args.build, guest))
        if isinstance(guest, Driven):
            machine.add_python(guest.script)
        command = [*guest.command('qemu', name, '/firmware/vmi.rom', 'serial,path=/dev/ttyS2'), '-L', '/firmware']
        if args.counters:
            command = ['env', f'GCOV_PREFIX={COUNTERS}', *command]
        commands[guest.name] = (guest, guest.host(command) if guest.host else command)
    last = [('counters', 60, nested.read_back(COUNTERS))] if args.counters else []
    end = time.monotonic() + TIMEOUT
    for _ in range(MACHINES):
        for name, status, output in machine.run(
                [(name, guest.timeout, command) for name, (guest, command) in commands.items()] + last,
                end - time.monotonic(), directory, monitor):
            if name == 'counters':
                nested.unpack(output, args.counters)
                break
            guest, command = commands.pop(name)
            # What timeout -s KILL makes of it
            yield guest, None if status == 137 else status, output, command
        if not commands or time.monotonic() > end:
            break
        # The others first, next time
        name = next(iter(commands))
        print(f'# the nested machine ended or stood still in "{name}"; {len(commands)} guests go to another one')
        print('\n'.join(f'# machine: {line}' for line in machine.log.splitlines()), flush=True)
        commands[name] = commands.pop(name)
    for name, (guest, command) in commands.items():
        print(f'# no nested machine ran "{name}" to its end')
        yield guest, None, '', command


def program(build, guest):
    return str(build / f'project/tests-qtest/guest/{guest.program}.elf')


def main():
    args = parse_args()
    args.emulator = args.emulator or args.build / 'bin/qemu-system-i386'
    guests = [guest for guest in GUESTS if not args.names or guest.name in args.names]
    probe = subprocess.run([args.probe], capture_output=True, text=True, check=False)
    in_machine = args.nested or probe.returncode != 0
    print(f'# {probe.stdout.strip()}' + ('; the guests run in a nested machine' if in_machine else ''))
    tap = Tap()
    with tempfile.TemporaryDirectory() as directory:
        monitor = f'{directory}/monitor'
        counter = exits.Counter(monitor)
        counter.start()
        results = (run_nested(guests, args, monitor, directory) if in_machine else
                   run_here(guests, args, monitor))
        for guest, status, output, command in results:
            print(f'# {guest.name}')
            failed = tap.failed
            judge(tap, guest, output, status)
            for pattern in guest.log:
                tap.fact(any(re.fullmatch(pattern, line) for line in output.splitlines()), f'QEMU prints {pattern}')
            if guest.count_exits:
                exits.judge(tap, output, counter.exits)
            if tap.failed > failed:
                print(f'# command: {shlex.join(command)}')
                print('\n'.join(f'# output: {line}' for line in output.splitlines()[-20:]))
    tap.end()


main()
