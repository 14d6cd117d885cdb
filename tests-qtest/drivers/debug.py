#!/usr/bin/python3
#
# Debug the guest program "debug" by gdb's remote protocol: breakpoints at
# patched call sites, behind them and in the ROM, and single-stepping through
# all of it.
#
# usage: drivers/debug.py --qemu QEMU --guest FILE [--append STRING] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import re

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.gdbstub import GDB
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import Machine

IF = 0x200
CALL_LENGTH = {'pointer': 6}    # else 5
LONGEST = 40                    # instructions, of any stub
VMCALL = bytes.fromhex('0f01c1')


def parse_args():
    return guest_parser().parse_args()


class Debugger:
    def __init__(self, gdb, tap, sites):
        self.gdb = gdb
        self.tap = tap
        self.sites = sites

    def run_to(self, address):
        """Continue to a breakpoint there, which is gone afterwards"""
        self.gdb.set_break(address)
        self.gdb.resume()
        self.gdb.clear_break(address)
        return self.gdb.registers()

    def hit_sites(self):
        for name, (site, stub) in self.sites.items():
            behind = site + CALL_LENGTH.get(name, 5)
            at = [self.run_to(address)['eip'] for address in (site, behind)]
            self.tap.fact(at == [site, behind],
                          f'breakpoints at and behind {name} are hit',
                          ' '.join(map(hex, at)))

    def step_through(self, name):
        """Return the registers before, in the stub and behind the call"""
        site, stub = self.sites[name]
        behind = site + CALL_LENGTH.get(name, 5)
        path = [self.run_to(site)]
        while path[-1]['eip'] != behind and len(path) < LONGEST:
            self.gdb.step()
            path.append(self.gdb.registers())
        first, inside, last = path[0], path[1:-1], path[-1]
        return_address = self.gdb.memory(first['esp'] - 4, 4)
        self.tap.fact(
            last['eip'] == behind and inside and inside[0]['eip'] == stub and
            inside[0]['esp'] == first['esp'] - 4 and
            last['esp'] == first['esp'] and last['ebx'] == first['ebx'] and
            int.from_bytes(return_address, 'little') == behind,
            f'single steps go through the stub of {name} and back',
            ' '.join(f'{registers["eip"]:x}' for registers in path))
        return first, last

    def check_effects(self):
        before, after = self.step_through('EnableInterrupts')
        self.tap.fact(not before['eflags'] & IF and after['eflags'] & IF,
                      'IF is set behind EnableInterrupts',
                      f'{before["eflags"]:x} {after["eflags"]:x}')
        before, after = self.step_through('DisableInterrupts')
        self.tap.fact(before['eflags'] & IF and not after['eflags'] & IF,
                      'IF is clear behind DisableInterrupts',
                      f'{before["eflags"]:x} {after["eflags"]:x}')
        counters = []
        for name in ('GetCycleCounter', 'pointer'):
            _, after = self.step_through(name)
            counters.append(after['edx'] << 32 | after['eax'])
        self.tap.fact(0 < counters[0] < counters[1],
                      'GetCycleCounter counts while it is stepped through',
                      f'{counters}')
        self.step_through('SetPxELong')

    def read_code(self):
        site, stub = self.sites['GetCycleCounter']
        call = self.gdb.memory(site, 5)
        target = site + 5 + int.from_bytes(call[1:], 'little', signed=True)
        code = self.gdb.memory(stub, 4)
        self.tap.fact(call[0] == 0xe8 and target & 0xffffffff == stub and
                      code == VMCALL + bytes([67]),
                      'gdb reads the call and the stub', f'{call.hex()} '
                      f'{code.hex()}')

    def break_in_rom(self):
        """With no other breakpoint, for TCG does not carry out calls in
        place in a page that has one"""
        for name in ('pointer', 'DisableInterrupts', 'EnableInterrupts',
                     'SetPxELong'):
            _, stub = self.sites[name]
            self.gdb.set_break(stub)
            hit = self.gdb.resume_for(10)
            at = self.gdb.pc()
            self.gdb.clear_break(stub)
            self.tap.fact(hit and at == stub,
                          f'a breakpoint in the ROM is hit by {name}',
                          f'0x{at:x}')

    def break_far(self, far, rounds):
        """The caller's page has no breakpoint, so its code is as before"""
        for _ in range(3):
            self.gdb.resume_for(0.1)
            before = self.gdb.memory(rounds, 4)
            self.gdb.set_break(far)
            hit = self.gdb.resume_for(10)
            at = self.gdb.pc()
            made = (int.from_bytes(self.gdb.memory(rounds, 4), 'little') -
                    int.from_bytes(before, 'little'))
            self.gdb.clear_break(far)
            self.tap.fact(hit and at == far and made <= 1,
                          'a breakpoint in a page is hit by the next call from '
                          'another page', f'0x{at:x}, after {made} rounds')


def calls(machine):
    """By name, how often each was made"""
    (result,) = machine.qmp.command('query-stats', target='vcpu',
                                    providers=[{'provider': 'vmi'}])
    return {stat['name'].removeprefix('call-'): stat['value']
            for stat in result['stats'] if stat['name'].startswith('call-')}


class Debugged:
    def __init__(self, args, directory):
        self.console = Console(directory)
        self.path = os.path.join(directory, 'gdb')
        self.machine = Machine(directory, guest_command(
            args.qemu, args.guest, self.console.args(), '-append', args.append,
            '-chardev', f'socket,id=gdb,path={self.path},server=on,wait=off',
            '-gdb', 'chardev:gdb', *args.qemu_args))

    def run(self, tap):
        line = self.console.wait_line('# sites', self.machine)
        sites = {name: (int(site, 16), int(stub, 16)) for name, site, stub in
                 re.findall(r'(\w+)=0x(\w+):0x(\w+)', line)}
        end, counter = sites.pop('end')
        far, rounds = sites.pop('far')
        gdb = GDB(self.path)
        debugger = Debugger(gdb, tap, sites)
        debugger.break_far(far, rounds)
        if sites:
            debugger.read_code()
            debugger.hit_sites()
            debugger.check_effects()
            debugger.break_in_rom()
            self.run_free(tap, gdb, counter)
        gdb.command(f'M{end:x},4:01000000')
        gdb.detach()
        judge_end(tap, self.machine, self.console)

    def run_free(self, tap, gdb, counter):
        before, counted = gdb.memory(counter, 4), calls(self.machine)
        gdb.resume_for(0.2)
        tap.fact(gdb.memory(counter, 4) != before,
                 'the guest runs on between stops')
        made = {name: count - counted[name]
                for name, count in calls(self.machine).items()}
        rounds = made.pop('SetPxELong')
        tap.fact(rounds > 0 and
                 abs(made.pop('GetCycleCounter') - 2 * rounds) <= 2 and
                 not any(made.values()),
                 'each call to the host is counted, in place or not',
                 f'{rounds} rounds of three calls, others {made}')


def main():
    args = parse_args()
    drive(lambda directory: Debugged(args, directory),
          'the guest can be debugged')


main()
