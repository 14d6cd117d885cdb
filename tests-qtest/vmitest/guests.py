#!/usr/bin/python3
"""The table of guest programs and how they run, guest/guests.cfg.

As a program it prints the tests under TCG, for meson.build: a line each, in which the test's name, suite, time limit
and driver are separated by tabs, and by a form feed from the driver's arguments, which are separated by tabs, too.

usage: vmitest/guests.py GUESTS-CFG BIN NAME=VALUE...

BIN is where QEMU is; @NAME@ in the table stands for VALUE.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import configparser
import dataclasses
import pathlib
import re
import shlex
import sys

# Unless the table says otherwise, for run_guest; a driver knows its device
DEVICES = {'tcg': ['vmi-pci'], 'kvm': ['vmi-pci,cycle-frequency=1000000000']}
NOT_TESTS = ('names',)
KEYS = {'program', 'append', 'target', 'device', 'cpus', 'qemu', 'accel', 'irqchip', 'host', 'count-exits', 'versions',
        'expect', 'log', 'plans', 'status', 'driver', 'options', 'timeout', 'suite'}


@dataclasses.dataclass
class Guest:
    """One that runs under the accelerator that it was asked for"""
    name: str
    program: str
    append: str
    target: str
    device: list
    cpus: int
    qemu: list
    irqchip: str
    host: str
    count_exits: bool
    versions: bool
    expect: list
    log: list
    plans: int
    status: int
    driver: str
    options: list
    timeout: float
    suite: str

    def qemu_args(self):
        """What comes with the table: processors, devices, others"""
        words = ['-smp', str(self.cpus)] if self.cpus else []
        for device in self.device:
            words += ['-device', device]
        return [*words, *self.qemu]


def program_of(name, programs):
    """The longest that begins the name"""
    return max((program for program in programs if f'{name}-'.startswith(f'{program}-')), key=len)


class Table:
    def __init__(self, path, values=()):
        """Values: what @NAME@ stands for, by NAME"""
        self.values = dict(values)
        self.parser = configparser.ConfigParser(interpolation=configparser.ExtendedInterpolation(), delimiters='=')
        with open(path, encoding='utf-8') as file:
            self.parser.read_file(file)
        # Each program's sources are a file or a directory beside the table
        self.programs = {entry.stem for entry in pathlib.Path(path).parent.iterdir()
                         if entry.suffix == '.c' or (entry / 'main.c').exists()}

    def replace(self, text):
        return re.sub('@([A-Z_]+)@', lambda match: self.values.get(match[1], match[0]), text)

    def guest(self, name, accel):
        section = self.parser[name]
        unknown = {key.partition('.')[0] for key in section} - KEYS
        if unknown:
            raise ValueError(f'guests.cfg: {name} has {", ".join(unknown)}')

        def get(key, default=''):
            return self.replace(section.get(f'{key}.{accel}', section.get(key, default)))

        def lines(key):
            return [line for line in get(key).splitlines() if line]

        driver = get('driver', 'run_guest')
        device = lines('device') or (DEVICES[accel] if driver == 'run_guest' else [])
        return Guest(name=name, program=get('program') or program_of(name, self.programs), append=get('append'),
                     target=get('target', 'i386'), device=[] if device == ['none'] else device,
                     cpus=int(get('cpus', '0')), qemu=shlex.split(get('qemu')), irqchip=get('irqchip', 'on'),
                     host=get('host'), count_exits=get('count-exits') == 'yes', versions=get('versions') == 'yes',
                     expect=lines('expect'), log=lines('log'), plans=int(get('plans', '1')),
                     status=int(get('status', '1')), driver=driver, options=shlex.split(get('options')),
                     timeout=float(get('timeout', '0')), suite=get('suite', 'guest'))

    def guests(self, accel):
        return [self.guest(name, accel) for name in self.parser.sections()
                if name not in NOT_TESTS and accel in self.parser[name].get('accel', 'tcg').split()]


def driver_args(guest, binaries, directory):
    """The driver's command line under TCG"""
    words = ['--qemu', f'{binaries}/qemu-system-{guest.target}', '--guest', f'{directory}/{guest.program}.elf']
    if guest.append:
        words += ['--append', guest.append]
    for key in ('expect', 'log'):
        for pattern in getattr(guest, key):
            words += [f'--{key}', pattern]
    for key in ('plans', 'status'):
        if getattr(guest, key) != 1:
            words += [f'--{key}', str(getattr(guest, key))]
    more = guest.qemu_args()
    return [*words, *guest.options, *(['--', *more] if more else [])]


def main():
    path, binaries, *values = sys.argv[1:]
    table = Table(path, (value.split('=', 1) for value in values))
    for guest in table.guests('tcg'):
        name = f'guest-{guest.name}' if guest.suite == 'guest' else guest.name
        fields = [name, guest.suite, str(int(guest.timeout) or 180), guest.driver]
        print('\t'.join(fields) + '\f' + '\t'.join(driver_args(guest, binaries, table.values['GUESTS'])))


if __name__ == '__main__':
    main()
