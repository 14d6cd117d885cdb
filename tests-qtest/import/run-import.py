#!/usr/bin/python3
"""Import each guest of guests/, by "vmi import", and look at the domain, the script, the table and the source's folder.

What is expected stands in the .vmx files themselves, in lines that begin with "#= ":

  disk: FILE KIND       there is such a disk: a subformat of QEMU's, or one of disks.py
  file: FILE TEXT       there is such a file; ISO and FLOPPY are an image of a CD and of a floppy disk
  encoding:, ends:      the file is written so
  open: FILE            somebody has it open for writing
  args: ARGS            of "vmi import"; a file is one of the guest's folder
  table: KIND: ROW      the table has it, as its beginning
  option:, no option:   the script has this, or not
  xml:, no xml:         the domain has this element, or not
  domain: TEXT          the domain has this text
  backing: DISK FILE    the disk is on top of that file
  error: TEXT           it is refused for this, and nothing is written

usage: import/run-import.py TOP QEMU

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import hashlib
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

import disks
from vmitest.machine import Machine, MachineError
from vmitest.tap import Tap

NEEDED = {'qemu-img': 'qemu-utils', 'virt-xml-validate': 'libvirt-clients', 'xmllint': 'libxml2-utils'}
ENDS = {'crlf': '\r\n', 'cr': '\r'}
KINDS = ('Taken over:', 'Changed:', 'Dropped:')


class Guest:
    """One of the files, with what it expects"""

    def __init__(self, path):
        self.name = path.stem
        self.lines = path.read_text(encoding='utf-8').splitlines()
        self.expected = [tuple(line[3:].split(': ', 1)) for line in self.lines if line.startswith('#= ')]

    def all(self, key):
        return [value for name, value in self.expected if name == key]

    def one(self, key, default=''):
        return (self.all(key) or [default])[0]

    def write(self, folder):
        """The folder as VMware has left it; return the .vmx"""
        for value in self.all('file'):
            disks.make_file(folder, *value.split(' ', 1))
        for value in self.all('disk'):
            disks.make_disk(folder, value)
        lines = [line for line in self.lines if not line.startswith('#= ')]
        text = ENDS.get(self.one('ends'), '\n').join([*lines, ''])
        path = folder / f'{self.name}.vmx'
        path.write_bytes(text.encode(self.one('encoding', 'utf-8')))
        return path


def state(folder):
    return sorted((str(path), path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
                  for path in folder.rglob('*') if path.is_file())


def rows(table):
    """The table as lines "KIND: WHAT TEXT", however it was wrapped"""
    found, kind = [], ''
    for line in table.splitlines():
        if line in KINDS:
            kind = line
        elif re.match(r'  \S', line):
            found.append(f'{kind} {" ".join(line.split())}')
        elif line.startswith('   ') and found:
            found[-1] += ' ' + ' '.join(line.split())
    return found


def slots(text):
    return sorted(int(slot, 16) for slot in re.findall(r'bus=pci\.0,addr=0x([0-9a-f]+)', text))


def same_machine(root, script):
    """What of the two descriptions differs, or nothing"""
    pairs = {
        'slots': (sorted(int(address.get('slot'), 16) for address in root.iter('address')
                         if address.get('type') == 'pci'), slots(script)),
        'MACs': ([mac.get('address') for mac in root.iter('mac')], re.findall(r',mac=([0-9a-f:]+)', script)),
        'disks': (sorted(pathlib.Path(source.get('file')).name for source in root.iter('source')),
                  sorted(pathlib.Path(name).name for name in re.findall(r',file=([^,\' ]+)', script))),
        'order': ({disk.find('target').get('dev'): disk.find('boot').get('order')
                   for disk in root.iter('disk') if disk.find('boot') is not None},
                  dict(re.findall(r'id=(\w+)(?:,drive=[\w-]+)?,bootindex=(\d+)', script))),
        'memory': ([root.find('memory').text], re.findall(r'-m (\d+)', script)),
        'UUID': ([root.find('uuid').text], re.findall(r'-uuid (\S+)', script)),
    }
    return '; '.join(f'{what}: {ours} {others}' for what, (ours, others) in pairs.items() if ours != others)


class Test:
    def __init__(self, top, qemu):
        self.top, self.qemu = top, qemu
        self.tap = Tap()

    def run_import(self, guest, vmx, output):
        args = [str(vmx.parent / word) if (vmx.parent / word).exists() else word
                for word in shlex.split(guest.one('args'))]
        done = subprocess.run([self.top / 'vmi', 'import', *args, '--output', output, vmx], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8', check=False)
        return done.returncode, done.stdout, done.stderr

    def check(self, guest):
        with tempfile.TemporaryDirectory(prefix='vmi-import-') as name, contextlib.ExitStack() as stack:
            folder, output = pathlib.Path(name) / 'guest', pathlib.Path(name) / 'a machine'
            folder.mkdir()
            vmx = guest.write(folder)
            for file in guest.all('open'):
                stack.enter_context(open(folder / file, 'r+b'))
            before = state(folder)
            status, said, errors = self.run_import(guest, vmx, output)
            if guest.one('error'):
                self.check_refused(guest, status, errors, output)
            else:
                self.tap.fact(status == 0 and not errors, f'{guest.name}: it is imported', errors.strip()[:200])
                if status == 0:
                    self.check_table(guest, said)
                    self.check_machine(guest, output)
            self.tap.fact(state(folder) == before, f"{guest.name}: the guest's folder is as it was")

    def check_refused(self, guest, status, errors, output):
        wanted = f'vmi import: {guest.one("error")}'
        self.tap.fact(status == 1 and errors.startswith(wanted) and errors.count('\n') == 1 and not output.exists(),
                      f'{guest.name}: one line says why not', errors.strip())

    def check_table(self, guest, said):
        found = rows(said)
        for wanted in guest.all('table'):
            self.tap.fact(any(row.startswith(wanted) for row in found), f'{guest.name}: {wanted}')
        if any(not any(row.startswith(wanted) for row in found) for wanted in guest.all('table')):
            self.tap.comment(found)

    def check_machine(self, guest, output):
        text, script = ((output / name).read_text(encoding='utf-8') for name in ('domain.xml', 'run.sh'))
        root = ET.fromstring(text)
        done = subprocess.run(['virt-xml-validate', output / 'domain.xml'], capture_output=True, text=True, check=False)
        self.tap.fact(done.returncode == 0, f"{guest.name}: the domain is one by libvirt's schema")
        self.tap.comment(done.stderr.splitlines() if done.returncode else [])
        for wanted in guest.all('xml'):
            self.tap.fact(root.find(wanted) is not None,
                          f'{guest.name}: the domain has {wanted}')
        for wanted in guest.all('no xml'):
            self.tap.fact(root.find(wanted) is None, f'{guest.name}: the domain has no {wanted}')
        for wanted in guest.all('domain'):
            self.tap.fact(wanted in text.replace('&quot;', '"'), f'{guest.name}: the domain has {wanted}')
        for wanted in guest.all('option'):
            self.tap.fact(wanted in script, f'{guest.name}: the script has {wanted}')
        for wanted in guest.all('no option'):
            self.tap.fact(wanted not in script, f'{guest.name}: the script has no {wanted}')
        different = same_machine(root, script)
        self.tap.fact(not different, f'{guest.name}: domain and script are the same machine', different)
        for wanted in guest.all('backing'):
            disk, file = wanted.split()
            info = json.loads(subprocess.run(['qemu-img', 'info', '--output=json', output / disk], capture_output=True,
                                             check=True).stdout)
            self.tap.fact(pathlib.Path(info.get('backing-filename', '')).name == file,
                          f'{guest.name}: {disk} is on top of {file}')
            # As the guest does; check() looks whether the folder has changed
            subprocess.run(['qemu-io', '-f', 'qcow2', '-c', 'write -P 7 0 64k', output / disk], stdout=subprocess.DEVNULL,
                           check=True)
        self.check_start(guest, output)

    def check_start(self, guest, output):
        """QEMU takes the command, and has the device where it should be. With KVM, which may not be here, it may not."""
        if '-accel kvm' in (output / 'run.sh').read_text(encoding='utf-8'):
            self.tap.skip(f'{guest.name}: QEMU starts', 'the machine wants KVM')
            return
        try:
            with Machine(str(output), [str(output / 'run.sh'), '-S', '-display', 'none', '-serial', 'null',
                                       '-monitor', 'none']) as machine:
                devices = machine.qmp.hmp('info qtree')
                ok = ('dev: vmi-pci' in devices) == ('vmi-pci' in (output / 'run.sh').read_text(encoding='utf-8'))
                self.tap.fact(ok, f'{guest.name}: QEMU starts')
        except MachineError as error:
            self.tap.fact(False, f'{guest.name}: QEMU starts')
            self.tap.comment(str(error).splitlines())


def main():
    top, qemu = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    missing = {package for program, package in NEEDED.items() if not shutil.which(program)}
    if missing:
        print(f'1..0 # SKIP these Debian packages are not installed: {" ".join(sorted(missing))}')
        return
    test = Test(top, qemu)
    for path in sorted(pathlib.Path(__file__).with_name('guests').glob('*.vmx')):
        test.check(Guest(path))
    test.tap.end()


main()
