#!/usr/bin/python3
#
# Feed the fuzz program inputs for a while, in QEMU as users have it.
#
# The inputs come from a generator with a fixed seed, and from calls that real
# guests made, which a trace of them tells. The guest destroys itself now and
# then, or strays; then QEMU must still answer its monitor, and it goes on with
# the input behind, in a new QEMU. That QEMU dies or does not answer is a
# failure, and so is that it grows.
#
# usage: drivers/fuzz.py --qemu QEMU --guest FILE --demo FILE --seconds N
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import os
import random
import re
import struct
import tempfile
import time

from vmitest.console import Console
from vmitest.machine import DEBUG_EXIT, PATIENCE, Machine, MachineError
from vmitest.tap import Tap

FUZZ_INPUT = 0x400000           # as in fuzz-input.h
BATCH = 100                     # inputs for one QEMU
STRAYED = 3                     # seconds without an input carried out
VMCALL, AP = 0, 5               # as in guest/fuzz/main.c
START = b'\x8f\2\0\0\0'         # the other CPU, with the state that is there
GROWTH = 256                    # MiB that a QEMU may grow by: memory, code

CALL = re.compile(rb'vmi_call cpu (\d+) call (\d+) \w+, \d+ args:((?: \w+)+)')


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--guest', required=True)
    parser.add_argument('--demo', required=True)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--corpus', help='write the recorded inputs here')
    return parser.parse_args()


def guest_args(guest, append):
    return ['-nodefaults', '-vga', 'none', '-m', '64', '-display', 'none',
            '-kernel', guest, '-append', append, '-device', 'vmi-pci',
            *DEBUG_EXIT, '-no-reboot']


def call_input(call):
    """The bytes for which guest/fuzz/main.c makes a recorded call"""
    number = int(call[2])
    words = [int(word, 0) for word in call[3].split()]
    op = AP if call[1] != b'0' else VMCALL
    data = bytes((op, 0xff, number, 0))
    for word in words:
        data += b'\x01' + struct.pack('<I', word)
    return data


def record(qemu, demo, directory):
    """Inputs from the calls that the demo guest makes, each kind in turn"""
    log = os.path.join(directory, 'trace')
    console = Console(directory)
    with Machine(directory, [qemu, *guest_args(demo, ''), *console.args(),
                             '-d', 'trace:vmi_call', '-D', log]) as machine:
        machine.wait()
    with open(log, 'rb') as file:
        calls = CALL.finditer(file.read())
    kinds = {}
    for call in calls:
        kinds.setdefault(call[2], []).append(call_input(call))
    inputs = [b'\1' + START]
    for turn in range(16):
        some = [calls[turn] for calls in kinds.values() if turn < len(calls)]
        inputs.append(bytes((turn % 3,)) + b''.join(some))
    return inputs


def mutate(rng, seeds):
    """An input: random, or a recorded one that is cut and spoiled"""
    if rng.random() < 0.6:
        return rng.randbytes(rng.randrange(8, 300))
    data = bytearray(rng.choice(seeds) + rng.choice(seeds))
    start = rng.randrange(len(data))
    data = data[start:start + rng.randrange(8, 300)]
    for _ in range(rng.randrange(8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def resident(machine):
    """MiB"""
    with open(f'/proc/{machine.process.pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 20


class Fuzzer:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.rng = random.Random(args.seed)
        self.seeds = record(args.qemu, args.demo, directory)
        self.inputs = self.finished = self.lost = self.growth = 0

    def command(self, path, console):
        mode = ('', 'paging32', 'pae')[self.finished % 3]
        cpus = 1 + self.finished // 3 % 2
        append = f'{mode} cpus={cpus} tame verbose'
        return [self.args.qemu, *guest_args(self.args.guest, append),
                *console.args(), '-smp', str(cpus),
                '-accel', 'tcg,thread=multi', '-device',
                f'loader,file={path},addr={FUZZ_INPUT:#x},force-raw=on']

    @staticmethod
    def end(machine):
        """The guest has strayed: QEMU must answer, or have ended just now"""
        try:
            machine.status()
            machine.quit()
        except MachineError:
            machine.process.wait(PATIENCE)

    def wait(self, machine, console):
        """Return how many inputs were begun and whether the guest ended"""
        begun = -1
        progress = time.monotonic()
        first = None
        while machine.process.poll() is None:
            now = console.text().count('# input ')
            if now and first is None:
                first = resident(machine)
            if now != begun:
                begun, progress = now, time.monotonic()
                if first is not None:
                    self.growth = max(self.growth, resident(machine) - first)
            elif begun > 0 and time.monotonic() - progress > STRAYED:
                self.end(machine)
                break
            time.sleep(0.02)
        return console.text().count('# input ')

    def batch(self, inputs):
        """Carry some out; return those that are left if the guest is lost"""
        path = os.path.join(self.directory, 'inputs')
        with open(path, 'wb') as file:
            for data in inputs:
                file.write(struct.pack('<I', len(data)) + data)
            file.write(struct.pack('<I', 0))
        console = Console(self.directory)
        with Machine(self.directory, self.command(path, console)) as machine:
            begun = self.wait(machine, console)
            status = machine.process.poll()
            errors = machine.error_text()
        text = console.text()
        self.inputs += begun
        self.finished += 1
        self.lost += 'not ok' in text or '1..' not in text
        if status not in (0, 1, 3) or not begun:
            raise MachineError(f'QEMU ended with {status} in input '
                               f'{inputs[max(begun - 1, 0)].hex()}: {errors}')
        if 'calls still work' in text:
            return []
        return inputs[begun:]

    def run(self):
        end = time.monotonic() + self.args.seconds
        left = []
        while time.monotonic() < end:
            left = left or [mutate(self.rng, self.seeds)
                            for _ in range(BATCH)]
            left = self.batch(left)


def main():
    args = parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        fuzzer = Fuzzer(args, directory)
        tap.fact(len(fuzzer.seeds[1]) > 100,
                 'the demo guest makes calls to start from',
                 f'{sum(map(len, fuzzer.seeds))} bytes')
        if args.corpus:
            for number, data in enumerate(fuzzer.seeds):
                path = os.path.join(args.corpus, f'recorded-{number}')
                with open(path, 'wb') as file:
                    file.write(data)
        try:
            fuzzer.run()
            error = ''
        except MachineError as problem:
            error = str(problem).replace('\n', ' ')
        tap.fact(not error, 'QEMU survives hostile guests',
                 error or f'{fuzzer.inputs} inputs, {fuzzer.finished} guests, '
                 f'{fuzzer.lost} of which destroyed themselves')
        tap.fact(fuzzer.growth < GROWTH, 'and does not grow by them',
                 f'{fuzzer.growth} MiB')
    tap.end()


if __name__ == '__main__':
    main()
