#!/usr/bin/python3
"""
Run the domains of docs/libvirt on Debian's libvirtd, with the paths in them replaced by those of the test.

The demo guest shows on libvirt's console that it runs on VMI. The guest program "migrate" then waits for the
host to save, restore and revert it, and checks from inside that VMI went on as if nothing had happened.

usage: run-libvirt.py --mode system|session --qemu QEMU --domains DIR --demo ELF --migrate ELF --probe FILE

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET


from daemon import (PATIENCE, SYSTEM_PLACES, Console, Daemon, LibvirtError,
                    become_init, unshare, wait_for, why_not)
from vmitest.commands import commands, missing_output
from vmitest.machine import Machine, MachineError
from vmitest.root import as_root
from vmitest.tap import Tap, pass_points

FOUND = 'VMI: Found VMware, Inc. Hypervisor OPROM, API version 3.0, ROM version 1.0'
BOOTING = 'Booting paravirtualized kernel on vmi'
NATIVE = 'Booting paravirtualized kernel on bare hardware'
DONE = 'VMI demo guest: all done'


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--mode', choices=('system', 'session'), required=True)
    for name in ('qemu', 'domains', 'demo', 'migrate', 'probe'):
        parser.add_argument(f'--{name}', type=lambda path: pathlib.Path(path).absolute(), required=True)
    parser.add_argument('--inside', help=argparse.SUPPRESS)
    return parser.parse_args()


class Domain:
    """One of the documents, with paths of the test, defined; use it as a context, which undefines it"""

    def __init__(self, test, document, kernel, *, cmdline=None, kind='qemu'):
        self.virsh, self.daemon = test.daemon.virsh, test.daemon
        file = test.directory / f'{document}.xml'
        tree = test.adapt(document, kernel)
        tree.find('os/cmdline').text = cmdline or tree.find('os/cmdline').text
        tree.getroot().set('type', kind)
        tree.write(file, encoding='unicode')
        self.name = tree.find('name').text
        self.virsh('define', '--validate', str(file))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.daemon.try_virsh('destroy', self.name)
        self.daemon.try_virsh('undefine', self.name, '--managed-save', '--snapshots-metadata')

    def state(self):
        return self.virsh('domstate', self.name)

    def boot(self, until):
        """Start it, and return what its console shows up to a line"""
        self.virsh('start', self.name, '--paused')
        return self.go_on(until)

    def go_on(self, until):
        with Console(self.daemon, self.name) as console:
            self.virsh('resume', self.name)
            return console.wait(until)

    def qmp(self, command, **arguments):
        answer = self.virsh('qemu-monitor-command', self.name,
                            json.dumps({'execute': command, 'arguments': arguments}))
        return json.loads(answer).get('return')

    def vmi(self, name):
        return self.qmp('qom-get', path='/machine/peripheral/vmi', property=name)

    def vmi_places(self):
        """Bus and slot of each VMI function, as the firmware has numbered them"""
        return [f'{device["bus"]:02x}:{device["slot"]:02x}' for device in self.pci_devices()
                if (device['id']['vendor'], device['id']['device']) == (0x15ad, 0x801)]

    def pci_devices(self):
        todo = [device for bus in self.qmp('query-pci') for device in bus['devices']]
        while todo:
            device = todo.pop()
            todo += device.get('pci_bridge', {}).get('devices', [])
            yield device


class LibvirtTest:
    def __init__(self, args, directory):
        self.args, self.directory = args, pathlib.Path(directory)
        self.tap = Tap()
        self.said = ''
        # The demo guest does not look at it
        (self.directory / 'initrd').write_bytes(bytes(512))

    def run(self):
        with Daemon(self.args.mode, str(self.directory)) as self.daemon:
            try:
                self.create_disk()
                self.check_demo('vmi-esx35', '02:03', 'qemu')
                self.check_off()
                self.check_demo('vmi-plain', '00:1e', 'qemu')
                self.check_kvm()
                self.check_moves()
                self.check_document()
            except (LibvirtError, MachineError, subprocess.TimeoutExpired) as error:
                self.tap.fact(False, 'libvirt does what it is told')
                for line in f'{error}\n{self.daemon.log_text()}'.splitlines():
                    print(f'# {line}')
            left = self.daemon.virsh('list', '--all', '--name')
            self.tap.fact(not left, 'no domain is left', left or 'none')

    def adapt(self, document, kernel):
        """The document with paths of the test"""
        ET.register_namespace('qemu', 'http://libvirt.org/schemas/domain/qemu/1.0')
        tree = ET.parse(self.args.domains / f'{document}.xml')
        for path, file in (('devices/emulator', self.args.qemu), ('os/kernel', kernel),
                           ('os/initrd', self.directory / 'initrd')):
            tree.find(path).text = str(file)
        tree.find('devices/disk/source').set('file', str(self.directory / 'disk.qcow2'))
        return tree

    def create_disk(self):
        command = [str(self.args.qemu), '-machine', 'none', '-nodefaults', '-display', 'none']
        with Machine(str(self.directory), command) as machine:
            machine.create_image(str(self.directory / 'disk.qcow2'))

    def check_demo(self, document, place, kind):
        with Domain(self, document, self.args.demo, kind=kind) as domain:
            what = f'{document}, {kind}'
            seen = domain.boot(DONE)
            self.tap.fact(FOUND in seen and BOOTING in seen, f'{what}: the console shows that the guest is on VMI',
                          seen.strip().splitlines()[-1])
            self.tap.fact(domain.vmi('active') is True, f'{what}: qemu-monitor-command says that VMI is active')
            self.tap.fact(domain.vmi_places() == [place], f'{what}: the device is where it shall be',
                          ' '.join(domain.vmi_places()))
            xml = domain.virsh('dumpxml', domain.name)
            self.tap.fact('"driver":"vmi-pci"' in xml.replace('&quot;', '"') and f"<domain type='{kind}'" in xml,
                          f'{what}: dumpxml has the device')
            domain.virsh('destroy', domain.name)
            self.tap.fact(domain.state() == 'shut off', f'{what}: destroyed')

    def check_off(self):
        """The same domain without the device, defined over the one with it"""
        with Domain(self, 'vmi-esx35', self.args.demo) as domain:
            before = domain.virsh('domuuid', domain.name)
            off = Domain(self, 'vmi-esx35-off', self.args.demo)
            self.tap.fact(off.virsh('domuuid', off.name) == before and
                          domain.virsh('list', '--all', '--name') == off.name, 'off: it is the same domain', before)
            seen = off.boot(DONE)
            self.tap.fact(NATIVE in seen and FOUND not in seen, 'off: the guest finds no VMI')
            self.tap.fact(not off.vmi_places(), 'off: there is no device')

    def check_kvm(self):
        probe = subprocess.run([self.args.probe], capture_output=True, text=True, check=False)
        if probe.returncode:
            self.tap.point(True, f'# SKIP {probe.stdout.strip()}')
        else:
            self.check_demo('vmi-esx35', '02:03', 'kvm')

    def check_moves(self):
        """Round after round the guest waits to be moved, then checks itself"""
        file = str(self.directory / 'saved')
        with Domain(self, 'vmi-esx35', self.args.migrate, cmdline='rounds=3 paging32') as domain:
            domain.boot('# round 1')
            domain.virsh('save', domain.name, file)
            self.tap.fact(domain.state() == 'shut off', 'moves: saved')
            domain.virsh('restore', file, '--paused')
            domain.go_on('# round 2')
            self.tap.fact(domain.vmi('active') is True, 'moves: restored, and goes on')

            # The guest is stopped while it is saved, which makes a round, and is then taken back before that
            with Console(domain.daemon, domain.name) as console:
                domain.virsh('snapshot-create-as', domain.name, 'before')
                console.wait('# round 3')
            domain.virsh('snapshot-revert', domain.name, 'before', '--paused')
            domain.go_on('# round 3')
            self.tap.fact(domain.virsh('snapshot-list', domain.name, '--name') == 'before',
                          'moves: reverted to a snapshot, and goes on')

            domain.virsh('managedsave', domain.name)
            self.tap.fact(domain.state() == 'shut off', 'moves: saved by managedsave')
            domain.virsh('start', domain.name, '--paused')
            points, failed = pass_points(self.tap, self.tap_lines(domain.go_on('1..')))
            self.tap.fact(points > 0 and not failed, 'moves: started where it was, and nothing was lost',
                          f'{points} facts of the guest')

    def check_document(self):
        """What docs/libvirt.rst tells a user to type"""
        for name in ('vmi-esx35', 'vmi-esx35-off'):
            self.adapt(name, self.args.demo).write(self.directory / f'{name}.xml', encoding='unicode')
        for command in commands(self.args.domains.with_suffix('.rst')):
            if command.not_run:
                continue
            try:
                # A query is tried again, because the guest needs a moment to get there
                patience = PATIENCE if 'qemu-monitor-command' in command.text else 0
                wait_for(command.text, lambda command=command: self.document_holds(command), patience)
            except LibvirtError:
                pass
            self.tap.fact(not self.said, f'document: {" ".join(command.text.split())}')
            for line in self.said.splitlines():
                print(f'# {line}')

    def document_holds(self, command):
        """Whether it does what the document shows; if not, self.said tells what it does"""
        ok, output = self.daemon.try_virsh(*shlex.split(command.text)[1:], quiet=False, cwd=self.directory)
        missing = missing_output(command, output)
        self.said = '' if ok and not missing else f'{output}\nexpected: {missing}'
        return not self.said

    @staticmethod
    def tap_lines(output):
        return '\n'.join(line for line in output.splitlines() if re.match(r'(not )?ok ', line))


def inside(args):
    become_init()
    test = LibvirtTest(args, args.inside)
    test.run()
    return test.tap


def host_state():
    """What the host's libvirt has, by name"""
    home = pathlib.Path.home()
    places = [pathlib.Path(place) / 'libvirt' if place != '/etc/libvirt' else pathlib.Path(place)
              for place in SYSTEM_PLACES]
    places += [home / '.config/libvirt', home / '.cache/libvirt', home / '.local/share/libvirt']
    return sorted(str(path) for place in places if place.exists() for path in [place, *place.rglob('*')])


def outside(args):
    tap = Tap()
    reason = why_not(args.mode)
    if reason:
        print(f'1..0 # SKIP {reason}')
        return
    before = host_state()
    with tempfile.TemporaryDirectory(prefix='vmi-libvirt-') as directory:
        process = subprocess.run([*unshare(args.mode), sys.executable, *sys.argv, '--inside', directory],
                                 stdout=subprocess.PIPE, text=True, check=False)
    pass_points(tap, process.stdout)
    tap.fact(f'1..{tap.points}' in process.stdout, 'the test comes to its end', f'status {process.returncode}')
    tap.fact(host_state() == before, "the host's libvirt has what it had")
    tap.end()


def main():
    args = parse_args()
    command = as_root([sys.executable, *sys.argv]) if args.mode == 'system' and os.geteuid() else None
    if command:
        os.execvp(command[0], command)
    if args.inside:
        inside(args).end()
    else:
        outside(args)


main()
