"""How often calls leave the guest, by KVM's statistics.

The guest program "exits" stops the machine before and after a number of calls of one kind.

QMP is read by hand here, and not by qemu.qmp, because it may come over a serial line of the nested machine, which
connects again and begins with noise.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import re
import socket
import threading

# Exits of a call, where not 0, on a processor with nested paging; docs/specs/vmi.rst has this table.
EXPECTED = {
    'SetCR4': 1,
    'GetCR4': 1,
    'WBINVD': 1,
    'FlushTLB(3)': 3,
    'GetCycleFrequency': 1,
    'SetAlarm': 1,
    'CancelAlarm': 1,
    'GetWallclockTime': 1,
    'WallclockUpdated': 1,
}


class Counter(threading.Thread):
    """Note KVM's count of exits at each stop, and let the machine go on"""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.exits = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(1)

    def run(self):
        # One machine after the other
        while True:
            connection, _ = self.server.accept()
            self.exits = []
            with connection, connection.makefile('rw') as stream:
                self.count(stream)

    def count(self, stream):
        for line in stream:
            # A serial line may begin with noise
            start = line.find('{')
            message = json.loads(line[start:]) if start >= 0 else {}
            if 'QMP' in message:
                self.send(stream, 'qmp_capabilities')
            elif message.get('event') == 'STOP':
                self.send(stream, 'query-stats', {
                    'target': 'vcpu', 'providers': [{'provider': 'kvm', 'names': ['exits']}]})
            elif isinstance(message.get('return'), list):
                self.exits.append(message['return'][0]['stats'][0]['value'])
                self.send(stream, 'cont')

    @staticmethod
    def send(stream, command, arguments=None):
        json.dump({'execute': command, **({'arguments': arguments} if arguments else {})}, stream)
        stream.write('\n')
        stream.flush()


def judge(tap, output, exits):
    """Compare what was counted with what is documented"""
    cases = re.findall(r'^# (\d+) of (\S+)$', output, re.MULTILINE)
    tap.fact(len(exits) == 2 * len(cases), 'the machine stopped before and after the calls of each kind',
             f'{len(exits)} stops, {len(cases)} kinds')
    for (calls, name), before, after in zip(cases, exits[::2], exits[1::2]):
        each = (after - before) / int(calls)
        expected = EXPECTED.get(name, 0)
        tap.fact(expected <= each < expected + 0.5, f'{name} leaves the guest {expected} times', f'{each:.2f}')
