#!/usr/bin/python3
#
# Run guest programs under KVM: on this machine if it can, or else in a machine of TCG that can.
#
# usage: run-kvm.py --build DIR --probe FILE [OPTIONS] [NAME...]
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import importlib
import os
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
import tempfile
import time

import exits
import nested
import vmitest
from vmitest import abi
from vmitest.guest import judge, run
from vmitest.guests import Table
from vmitest.machine import DEBUG_EXIT
from vmitest.tap import Tap

# Drivers, in the nested machine, get the modules that are loaded here
for library in pkgutil.iter_modules(vmitest.__path__):
    importlib.import_module(f'vmitest.{library.name}')

TESTS = pathlib.Path(__file__).resolve().parents[1]

# By name, as guests.cfg calls them: what makes a nested machine special for one command
HOSTS = {'shadow-paging': nested.with_shadow_paging, 'bad-tsc': nested.with_bad_tsc}

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


def script(guest):
    return str(TESTS / f'drivers/{guest.driver}.py')


def guest_command(guest, qemu, program, monitor):
    """monitor: a chardev for the one who counts exits"""
    counting = ['-device', 'pvpanic', '-action', 'panic=pause', '-chardev', f'{monitor},id=monitor',
                '-mon', 'chardev=monitor,mode=control'] if guest.count_exits else []
    return [qemu, '-accel', f'kvm,kernel-irqchip={guest.irqchip}', '-nodefaults', '-vga', 'none', '-m', '64',
            '-display', 'none', '-chardev', 'stdio,id=console',
            # A string of output is one exit, where the serial line has several for each byte
            '-device', 'isa-debugcon,iobase=0xe9,chardev=console', *DEBUG_EXIT,
            '-kernel', program, '-append', f'kvm {guest.append}'.strip(), *guest.qemu_args(), *counting]


def driver_command(guest, qemu, program):
    append = ['--append', f'kvm {guest.append}'] if guest.append else []
    accel = ['-accel', f'kvm,kernel-irqchip={guest.irqchip}'] if guest.irqchip != 'none' else []
    python_path = ':'.join(map(os.path.abspath, os.environ['PYTHONPATH'].split(':')))
    return ['env', f'PYTHONPATH={python_path}', str(pathlib.Path(sys.executable).resolve()), '-S', script(guest),
            '--qemu', qemu, '--guest', program, *append, *guest.options, '--', *accel, *guest.qemu_args()]


def command_for(guest, qemu, program, monitor):
    if guest.driver == 'run_guest':
        return guest_command(guest, qemu, program, monitor)
    return driver_command(guest, qemu, program)


def load_guests(path, rom):
    guests = Table(path, {'ROM': rom}).guests('kvm')
    for guest in guests:
        driven = guest.driver != 'run_guest'
        # A driver has several QEMUs on one processor, and ends as a program does
        guest.timeout = guest.timeout or (240 if driven else 90)
        guest.status = 0 if driven else guest.status
    return guests


def run_here(guests, args, monitor):
    for guest in [guest for guest in guests if not guest.host]:
        command = command_for(guest, str(args.emulator), program(args.build, guest), f'socket,path={monitor}')
        output, status = run(command, guest.timeout)
        yield guest, status, output, command


def run_nested(guests, args, monitor, directory):
    machine = nested.Nested(qemu=args.build / 'bin/qemu-system-x86_64', emulator=args.emulator, rom=args.build / ROM,
                            packages=args.build / 'nested/root')
    for path in abi.HEADERS:
        machine.archive.file(str(path), path.read_bytes())
    commands = {}
    for guest in guests:
        name = machine.add(program(args.build, guest))
        if guest.driver != 'run_guest':
            machine.add_python(script(guest))
        command = [*command_for(guest, 'qemu', name, 'serial,path=/dev/ttyS2'), '-L', '/firmware']
        if args.counters:
            command = ['env', f'GCOV_PREFIX={COUNTERS}', *command]
        commands[guest.name] = (guest, HOSTS[guest.host](command) if guest.host else command)
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
    probe = subprocess.run([args.probe], capture_output=True, text=True, check=False)
    in_machine = args.nested or probe.returncode != 0
    guests = load_guests(TESTS / 'guest/guests.cfg', '/firmware/vmi.rom' if in_machine else str(args.build / ROM))
    guests = [guest for guest in guests if not args.names or guest.name in args.names]
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
