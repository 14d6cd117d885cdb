#!/usr/bin/python3
"""
The whole way of a guest of VMware's: from a folder with a .vmx, by "vmi import", to a session's libvirt and to run.sh. Its
disk boots the demo guest by firmware and a boot loader. Both machines have the same devices at the same places.

usage: run-imported.py --top TOP --demo ELF

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

from daemon import Console, Daemon, LibvirtError, become_init, unshare, why_not
from vmitest.bootdisk import DISK_NEEDS, make_disk, missing_packages
from vmitest.machine import Machine, MachineError, wait_for
from vmitest.tap import Tap, pass_points

NEEDED = {**DISK_NEEDS, 'qemu-img': 'qemu-utils'}
BOOTING = 'Booting paravirtualized kernel on vmi'
DONE = 'VMI demo guest: all done'
# Of "info pci"
FUNCTION = r'Bus +(\d+), device +(\d+), function (\d+):\n +[\w -]+: PCI device ([\da-f]+:[\da-f]+)'
VMX = '''\
#!/usr/bin/vmware
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "7"
displayName = "Old mail, of 2007"
guestOS = "rhel5"
memsize = "192"
numvcpus = "2"
vmi.present = "TRUE"
scsi0.present = "TRUE"
scsi0.virtualDev = "{card}"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "guest.vmdk"
ide1:0.present = "TRUE"
ide1:0.deviceType = "atapi-cdrom"
floppy0.present = "TRUE"
floppy0.fileName = "/dev/fd0"
ethernet0.present = "TRUE"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:d6:2b:d3"
ethernet1.present = "TRUE"
ethernet1.virtualDev = "e1000"
serial0.present = "TRUE"
serial1.present = "TRUE"
sound.present = "TRUE"
usb.present = "TRUE"
ehci.present = "TRUE"
usb:0.present = "TRUE"
usb:0.deviceType = "hid"
'''
# By VMware's card: arguments of "vmi import". The disks get to IDE, an LSI 53C895A, and cards as those.
CARDS = {
    'lsilogic': [],
    'buslogic': ['--controller', 'lsilogic'],
    'lsisas1068': [],
    'pvscsi': ['--link'],
}


def parse_args():
    parser = argparse.ArgumentParser()
    for name in ('top', 'demo'):
        parser.add_argument(f'--{name}', type=lambda path: pathlib.Path(path).absolute(), required=True)
    parser.add_argument('--inside', type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def devices(qtree):
    """Of QEMU's tree: what there is, and where it is"""
    found = []
    for line in qtree.splitlines():
        match = re.match(r' *dev: ([\w-]+)', line)
        if match:
            found.append([match[1]])
        match = re.match(r' *((?:addr|mac|unit|scsi-id|bootindex|vgamem_mb|cycle-frequency|chassis_nr) = .*)', line)
        if match and found:
            found[-1].append(match[1])
    return sorted(' '.join(device) for device in found)


def state(folder):
    return sorted((path.name, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
                  for path in folder.iterdir())


class ImportTest:
    def __init__(self, args):
        self.args, self.directory = args, args.inside
        self.tap = Tap()

    def make(self, card, options):
        """The folder of VMware's, and the machine's"""
        folder, machine = self.directory / card, self.directory / f'{card} machine'
        folder.mkdir()
        (folder / 'guest.vmx').write_text(VMX.format(card=card), encoding='utf-8')
        raw = self.directory / 'disk.raw'
        if not raw.exists():
            make_disk(raw, self.args.demo)
        subprocess.run(['qemu-img', 'convert', '-q', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', raw,
                        folder / 'guest.vmdk'], check=True)
        subprocess.run([self.args.top / 'vmi', 'import', *options, '--output', machine, folder / 'guest.vmx'], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return machine

    def script(self, card, machine):
        """Boot it by run.sh, and return its devices"""
        with Machine(str(self.directory), [str(machine / 'run.sh'), '-display', 'none']) as qemu:
            try:
                wait_for(DONE, lambda: DONE in qemu.error_text())
            except MachineError:
                self.tap.comment(qemu.error_text().splitlines()[-20:])
            self.tap.fact(BOOTING in qemu.error_text() and DONE in qemu.error_text(),
                          f'{card}: run.sh boots the disk, and the guest uses VMI')
            return devices(qemu.qmp.hmp('info qtree')), qemu.qmp.hmp('info pci')

    def libvirt(self, daemon, card, machine):
        file = machine / 'domain.xml'
        name = ET.parse(file).find('name').text
        daemon.virsh('define', '--validate', str(file))
        try:
            daemon.virsh('start', name, '--paused')
            with Console(daemon, name) as console:
                daemon.virsh('resume', name)
                seen = console.wait(DONE)
            self.tap.fact(BOOTING in seen, f'{card}: libvirt boots the disk, and the guest uses VMI')
            answer = daemon.virsh('qemu-monitor-command', name, json.dumps({'execute': 'query-vmi'}))
            self.tap.fact(json.loads(answer)['return']['active'], f'{card}: query-vmi says that VMI is active')
            return [daemon.virsh('qemu-monitor-command', name, '--hmp', f'info {what}') for what in ('qtree', 'pci')]
        finally:
            daemon.try_virsh('destroy', name)
            daemon.try_virsh('undefine', name)

    def check_card(self, daemon, card):
        machine = self.make(card, CARDS[card])
        before = state(self.directory / card)
        there, buses = self.script(card, machine)
        self.tap.fact(re.search(r'Bus +2, device +3, function 0:\s+Memory controller', buses),
                      f'{card}: the device is at 02:03.0')
        tree, pci = self.libvirt(daemon, card, machine)
        other = devices(tree)
        self.tap.fact(there == other, f'{card}: both machines have the same devices at the same places',
                      f'{len(there)} devices')
        self.tap.comment(f'only by {who}: {device}' for who, ours, others in (('run.sh', there, other), ('libvirt', other, there))
                         for device in ours if device not in others)
        seen, others = (re.findall(FUNCTION, text.replace('\r', '')) for text in (buses, pci))
        self.tap.fact(len(seen) > 5 and seen == others, f'{card}: the firmware has numbered their buses alike',
                      f'{len(seen)} functions')
        self.tap.fact(state(self.directory / card) == before, f"{card}: the files of VMware's are as they were",
                      'linked' if '--link' in CARDS[card] else 'converted')

    def run(self):
        with Daemon('session', str(self.directory)) as daemon:
            try:
                for card in CARDS:
                    self.check_card(daemon, card)
            except (LibvirtError, MachineError, subprocess.SubprocessError) as error:
                self.tap.fact(False, 'libvirt does what it is told')
                self.tap.comment(f'{error}\n{daemon.log_text()}'.splitlines())


def main():
    args = parse_args()
    if args.inside:
        become_init()
        test = ImportTest(args)
        test.run()
        test.tap.end()
    missing = missing_packages(NEEDED)
    reason = f'these Debian packages are not installed: {missing}' if missing else why_not('session')
    if reason:
        print(f'1..0 # SKIP {reason}')
        return
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-libvirt-') as directory:
        process = subprocess.run([*unshare('session'), sys.executable, *sys.argv, '--inside', directory],
                                 stdout=subprocess.PIPE, text=True, check=False)
    pass_points(tap, process.stdout)
    tap.fact(f'1..{tap.points}' in process.stdout, 'the test comes to its end', f'status {process.returncode}')
    tap.end()


main()
