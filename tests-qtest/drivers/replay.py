#!/usr/bin/python3
#
# Record a guest program, replay it, and go back and forth in it by gdb.
#
# The replay must print the same, execute as many instructions, and end with
# the same registers and the same memory.
#
# usage: drivers/replay.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import hashlib
import os
import shlex
import tempfile

from vmitest import abi
from vmitest.console import Console
from vmitest.gdbstub import GDB
from vmitest.guest import guest_parser
from vmitest.machine import Machine, MachineError, wait_for
from vmitest.tap import Tap

MEMORY = 32 << 20               # of 64 MiB, the guest uses half
STEPS = 10
# GetCycleCounter's stub, which has VMCALL
STUB = abi.slot('VMCALL', abi.CALLS['GetCycleCounter'])


def parse_args():
    parser = guest_parser()
    parser.add_argument('--end', default='1..',
                        help='how the last line that the guest prints begins')
    parser.add_argument('--rom', type=lambda number: int(number, 0),
                        default=0xc0000, help='linear address of the ROM')
    parser.add_argument('--shift', default='auto')
    return parser.parse_args()


class Run(Machine):
    """A machine that records or replays"""

    def __init__(self, args, directory, mode, *more):
        self.console = Console(directory)
        super().__init__(directory, [
            args.qemu, '-nodefaults', '-vga', 'none', '-m', '64', '-display',
            'none', *self.console.args(), '-net', 'none',
            '-kernel', args.guest, '-append', args.append,
            '-drive', f'file={directory}/image,format=qcow2,if=none,id=drive,'
            'node-name=image',
            '-icount', f'shift={args.shift},rr={mode},'
            f'rrfile={directory}/record,rrsnapshot=init',
            # QEMU 10.0's aid for the APIC's TPR dead-locks when a snapshot of
            # a running guest is loaded in a replay
            '-global', 'apic-common.vapic=off',
            '-device', 'vmi-pci', *more, *args.qemu_args])

    def icount(self):
        return self.qmp.command('query-replay')['icount']

    def final_icount(self):
        """The guest has halted for good when nothing is executed any more"""
        last = []

        def settled():
            last.append(self.icount())
            return len(last) > 20 and last[-20] == last[-1]

        wait_for('end of the guest', settled)
        return last[-1]

    def state(self):
        """Registers and memory"""
        path = os.path.join(self.directory, 'memory')
        self.qmp.command('pmemsave', val=0, size=MEMORY, filename=path)
        with open(path, 'rb') as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        os.unlink(path)
        return self.qmp.hmp('info registers'), digest

    def stop_at(self, icount):
        """Replay up to that instruction; from a stop"""
        self.qmp.command('replay-break', icount=icount)
        self.qmp.command('cont')
        self.wait_stopped()

    def wait_stopped(self):
        wait_for('stop', lambda: self.status() != 'running')


def record(args, directory, tap):
    with Machine(directory, [args.qemu, '-machine', 'none', '-display',
                             'none']) as machine:
        machine.create_image(os.path.join(directory, 'image'))
        machine.quit()
    with Run(args, directory, 'record') as run:
        wait_for(f'line "{args.end}"',
                 lambda: run.console.new_line(args.end))
        icount = run.final_icount()
        state = run.state()
        text = run.console.text()
        run.quit()
    failed = [line for line in text.splitlines() if line.startswith('not ok')]
    tap.fact(not failed, 'the guest passes while it is recorded',
             f'{len(text.splitlines())} lines, {icount} instructions')
    for line in failed:
        print(f'# {line}')
    return text, icount, state


def replay(args, directory, tap, recorded):
    text, icount, state = recorded
    with Run(args, directory, 'replay', '-S') as run:
        run.stop_at(icount)
        again = run.console.text()
        tap.fact(again == text, 'the replay prints the same',
                 f'{len(again.splitlines())} lines')
        for one, two in zip(text.splitlines(), again.splitlines()):
            if one != two:
                print(f'# recorded: {one}\n# replayed: {two}')
        tap.fact(run.icount() == icount,
                 'the replay executes as many instructions',
                 f'{run.icount()}')
        registers, digest = run.state()
        tap.fact(registers == state[0], 'the replay ends with the same '
                 'registers')
        tap.fact(digest == state[1], 'the replay ends with the same memory',
                 digest[:16])
        run.quit()


def step_both_ways(run, gdb, tap, stub):
    """Through VMCALL, the return and some of the caller, and back"""
    places = [(run.icount(), gdb.registers())]
    for _ in range(STEPS):
        gdb.step()
        places.append((run.icount(), gdb.registers()))
    eips = ' '.join(f'{registers["eip"]:x}' for _, registers in places)
    tap.fact(places[0][1]['eip'] == stub and
             all(after[0] == before[0] + 1
                 for before, after in zip(places, places[1:])),
             'each step is an instruction, into the stub and out of it', eips)
    wrong = 0
    for place in reversed(places[:-1]):
        gdb.step_back()
        wrong += (run.icount(), gdb.registers()) != place
    tap.fact(not wrong, f'{STEPS} steps back go through the same registers',
             f'{wrong} differ')


def go_back(run, gdb, tap, stub, icount):
    """From the end to the last two calls, and forth to the last one"""
    places = []
    gdb.set_break(stub)
    for _ in range(2):
        gdb.resume_back()
        places.append((gdb.pc(), run.icount()))
    last, before = places
    tap.fact(last[0] == before[0] == stub and before[1] < last[1] < icount,
             'reverse-continue finds the last calls of a stub',
             f'at {last[1]} and {before[1]} of {icount}')
    gdb.step()                  # off the breakpoint, as gdb does itself
    gdb.resume()
    again = gdb.pc(), run.icount()
    tap.fact(again == last, 'continuing from there comes to the same place',
             f'{again[1]}')
    gdb.clear_break(stub)


def debug(args, directory, tap, recorded):
    text, icount, state = recorded
    path = os.path.join(directory, 'gdb')
    stub = args.rom + STUB
    with Run(args, directory, 'replay', '-S', '-chardev',
             f'socket,id=gdb,path={path},server=on,wait=off',
             '-gdb', 'chardev:gdb') as run:
        gdb = GDB(path)
        gdb.set_break(stub)
        gdb.resume()
        # Steps back begin here instead of at the start
        run.job('snapshot-save', tag='here', vmstate='image',
                devices=['image'])
        step_both_ways(run, gdb, tap, stub)
        gdb.clear_break(stub)
        run.qmp.command('replay-break', icount=icount)
        gdb.resume()
        go_back(run, gdb, tap, stub, icount)

        # Whatever has been done to it, it ends as it was recorded.
        run.qmp.command('replay-break', icount=icount)
        gdb.resume()
        registers, digest = run.state()
        tap.fact(registers == state[0] and digest == state[1] and
                 run.icount() == icount,
                 'after that it ends with the same registers and memory')
        run.quit()


def main():
    args = parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        try:
            recorded = record(args, directory, tap)
            replay(args, directory, tap, recorded)
            debug(args, directory, tap, recorded)
        except MachineError as error:
            tap.fact(False, 'the record can be replayed and debugged',
                     str(error))
        if tap.failed:
            print(f'# command: {shlex.join([args.qemu, *args.qemu_args])}')
    tap.end()


main()
