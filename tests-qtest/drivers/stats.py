#!/usr/bin/python3
#
# Run the guest program "stats", and compare what it does with what QEMU's
# monitor says of it. See guest/stats.c.
#
# usage: drivers/stats.py --qemu QEMU --guest FILE [OPTIONS] -- QEMU-ARGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

import re
import time

from vmitest.console import Console
from vmitest.drive import drive, judge_end
from vmitest.guest import guest_command, guest_parser
from vmitest.machine import Machine, MachineError, wait_for

FLOOD = 100000


def parse_args():
    parser = guest_parser()
    parser.set_defaults(append='paging32')
    parser.add_argument('--off', action='append', default=[],
                        help='a group that is switched off')
    return parser.parse_args()


class Host:
    """What the monitor says"""

    def __init__(self, machine, console, tap):
        self.machine = machine
        self.qmp = machine.qmp
        self.console = console
        self.tap = tap

    def wait(self, name):
        """The guest has come to a step"""
        line = self.console.wait_line('# step ', self.machine)
        if line != f'# step {name}':
            raise MachineError(f'"{line}" instead of step {name}')

    def go_on(self):
        self.machine.press_key()

    def info(self):
        return self.qmp.command('query-vmi')

    def stats(self, target):
        """A dictionary for each result"""
        results = self.qmp.command('query-stats', target=target,
                                   providers=[{'provider': 'vmi'}])
        return [{stat['name']: stat['value'] for stat in result['stats']}
                for result in results]

    def events(self, name):
        self.qmp.command('query-name')          # what is there is read
        found = [event for event in self.qmp.events if event['event'] == name]
        return [event['data'] for event in found]

    def error_event(self):
        """Wait for the one that tells of the last error"""
        count = self.stats('vm')[0]['guest-errors']
        return wait_for('event of the last error', lambda: next(
            (event for event in self.events('VMI_GUEST_ERROR')
             if event['count'] == count), None))

    def changes(self, before):
        """What is other than it was, by CPU"""
        found = [{name: value if isinstance(value, list) else
                  value - old[name] for name, value in new.items()
                  if value != old[name]}
                 for new, old in zip(self.stats('vcpu'), before)]
        for changed in found:
            changed.pop('stolen-time', None)
        return found

    def expect_changes(self, step, expected, fact):
        """Pass a step: what the CPUs' numbers grow by, and nothing else"""
        before = self.stats('vcpu')
        self.go_on()
        self.wait(step)
        changes = self.changes(before)
        self.tap.fact(changes == expected, fact, f'{changes}')


def check_before(host):
    info = host.info()
    host.tap.fact(info['present'] and not info['active'] and
                  'calls' not in info,
                  'VMI is there and not active before VMI_Init', f'{info}')
    host.expect_changes('undefined', [{'calls-refused': 3}, {}],
                        'calls before VMI_Init are counted as refused')
    errors = host.stats('vm')[0]['guest-errors']
    host.tap.fact(errors == 3, 'they are errors of the guest', f'{errors}')
    event = host.error_event()
    host.tap.fact(event['message'] == 'call 66 before VMI_Init',
                  'an event tells of them', f'{event}')
    host.tap.fact(not host.events('VMI_ACTIVE'),
                  'no event tells that VMI is active', '')


def check_active(host, start, halt='host'):
    host.go_on()
    host.wait('active')
    info = host.info()
    told = {'native': 1, 'host': 1, 'nop': 1, 'shared': 1}
    calls = {(call['number'], call['name'], told[call['service']])
             for call in info.get('calls', [])}
    asked = {(int(nr), name, int(kind)) for nr, name, kind in re.findall(
        r'^# relocation (\d+) (\w+) type (\d+)$', host.console.text(),
        re.MULTILINE)}
    host.tap.fact(info['active'] and calls == asked and
                  (info['api-major'], info['api-minor']) == (3, 0),
                  'query-vmi has the calls that the guest was told of, '
                  'and their types', f'{len(calls)} and {len(asked)}')
    host.tap.fact(info.get('rom-linear') ==
                  0xc0000000 + info.get('rom-address', 0) and
                  0xc0000 <= info['rom-address'] < 0xe0000,
                  'it says where the ROM is', f'{info.get("rom-address"):#x}')
    host.tap.fact(start <= info['active-since'] <= time.time(),
                  'it says since when VMI is active',
                  f'{info["active-since"] - start} s after the start')
    events = host.events('VMI_ACTIVE')
    host.tap.fact(events == [{'qom-path': info['qom-path'],
                              'rom-address': info['rom-address']}],
                  'one event has told that VMI is active', f'{events}')
    text = host.qmp.hmp('info vmi')
    host.tap.fact('active: since 20' in text and
                  re.search(rf'^ +35 Halt +{halt}\r?$', text, re.MULTILINE),
                  '"info vmi" says it to people',
                  text.splitlines()[1] if '\n' in text else text)
    return info


def check_shared(host, info):
    """KVM: time is read without QEMU"""
    shared = {call['name'] for call in info['calls']
              if call['service'] == 'shared'}
    text = host.qmp.hmp('info vmi')
    host.tap.fact(shared == {'RDTSC', 'GetCycleCounter'} and
                  all(re.search(rf'^ +\d+ {name} +shared\r?$', text,
                                re.MULTILINE) for name in shared),
                  'both say which calls read what QEMU shares',
                  ', '.join(sorted(shared)))


def check_counts(host):
    host.expect_changes('calls', [
        {'call-GetCycleFrequency': 1500, 'call-SetPxE': 300,
         'call-SetCR3': 40}, {}],
        'calls by pointer and in place are counted, on their CPU')
    host.expect_changes('spaces', [
        {'call-SetCR3': 20, 'spaces-taken-back': 19, 'spaces-kept': 1}, {}],
        'an address space that is kept, and each one that is taken back')
    host.expect_changes('ap-calls', [
        {}, {'call-GetCycleFrequency': 70, 'call-SetPxE': 10,
             'page-table-losses': 5}],
        "another CPU's are its own, and so are its losses")
    host.expect_changes('refused', [{}, {'calls-refused': 7}],
                        'refused calls are counted, by VMCALL and port')
    host.expect_changes('error', [{'call-SetAlarm': 1}, {}],
                        'a call with a bad argument is no refused one')
    errors = host.stats('vm')[0]['guest-errors']
    host.tap.fact(errors == 3 + 7 + 1, 'it is an error of the guest',
                  f'{errors}')


def check_alarms(host):
    host.go_on()
    host.wait('alarms')
    stats = host.stats('vcpu')[0]
    late = stats['alarm-lateness']
    host.tap.fact(stats['alarms-fired'] == 21 and stats['alarms-masked'] == 1,
                  '21 alarms fired, and one of them was masked before',
                  f'{stats["alarms-fired"]}, {stats["alarms-masked"]}')
    host.tap.fact(sum(late) == stats['alarms-fired'] and
                  sum(late[30:]) > 0,
                  'the histogram has each, and those a second late at its '
                  'end', f'{late}')
    host.tap.fact(stats['alarms-armed'] == 1, 'one is armed',
                  f'{stats["alarms-armed"]}')


def check_untaken(host):
    before = host.stats('vcpu')[0]['alarms-fired']
    host.go_on()
    host.wait('untaken')
    fired = host.stats('vcpu')[0]['alarms-fired'] - before
    # 50, 100, 200 us and so on up to 10 ms, in 200 ms; a host that is late looks less often
    host.tap.fact(1 <= fired <= 60,
                  'the host looks less and less often for an alarm each cycle '
                  'that the guest does not take', f'{fired} times')


def check_flood(host):
    host.qmp.events.clear()
    start = time.monotonic()
    host.expect_changes('flood', [{'calls-refused': FLOOD}, {}],
                        f'{FLOOD} refused calls are counted')
    host.error_event()
    events = host.events('VMI_GUEST_ERROR')
    passed = time.monotonic() - start
    host.tap.fact(0 < len(events) <= passed + 2,
                  'events come once a second at most, the last one in the end',
                  f'{len(events)} in {passed:.1f} s')


def check_reset(host):
    host.go_on()
    host.wait('reset')
    before = host.stats('vcpu')
    host.qmp.command('system_reset')
    host.wait('again')
    info = host.info()
    stats = host.stats('vcpu')
    host.tap.fact(not info['active'] and 'rom-address' not in info,
                  'VMI is not active after a reset', f'{info}')
    host.tap.fact(stats[0]['alarms-armed'] == 0, 'no alarm is armed', '')
    lower = [name for old, new in zip(before, stats) for name in old
             if name not in ('alarms-armed', 'spaces-kept') and
             old[name] > new[name]]
    host.tap.fact(not lower and host.stats('vm')[0]['handshakes'] == 1,
                  'what is counted stays', f'lower: {lower}')


def check_all(args, host, start):
    host.wait('before')
    if 'kvm' in args.append.split():
        host.go_on()
        host.wait('undefined')
        info = check_active(host, start, 'native')
        check_shared(host, info)
        return
    check_before(host)
    info = check_active(host, start)
    if args.off:
        return
    names = {call['name'] for call in info['calls']
             if call['service'] == 'host'}
    stats = {name[5:] for name in host.stats('vcpu')[0]
             if name.startswith('call-')}
    host.tap.fact(names - stats == {'IRET'} and stats <= names,
                  'there is a number for each call that the host serves, but '
                  'for IRET', f'{len(stats)}')
    check_counts(host)
    check_alarms(host)
    check_untaken(host)
    check_flood(host)
    check_reset(host)


class Counted:
    def __init__(self, args, directory):
        self.args = args
        off = ''.join(f',{group}=off' for group in args.off)
        self.console = Console(directory)
        self.start = int(time.time())
        self.machine = Machine(directory, guest_command(
            args.qemu, args.guest, self.console.args(), '-append',
            args.append + (' off' if off else ''), '-smp', '2', '-device',
            f'vmi-pci,id=vmi{off}', *args.qemu_args))

    def run(self, tap):
        host = Host(self.machine, self.console, tap)
        check_all(self.args, host, self.start)
        host.go_on()
        once = self.args.off or 'off' in self.args.append.split()
        judge_end(tap, self.machine, self.console, 1 if once else 2)


def main():
    args = parse_args()
    drive(lambda directory: Counted(args, directory), 'the guest goes on')


main()
