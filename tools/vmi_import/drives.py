# From the keys of a .vmx to disks, CDs and floppy disks, and the controllers that they are on.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import dataclasses
import os
import pathlib
import re

from . import vmdk
from .machine import SCSI, Controller, Drive
from .text import UNNAMED, Refused, can_be_named, megabytes, plain, shown
from .vmx import Vmx

LARGEST_FLOPPY = 4 << 20
CDS = ('cdrom-image', 'cdrom-raw', 'atapi-cdrom', 'scsi-passthru')
# What is kept, by VMware's name: these are the cards that QEMU has, too
KEPT = {'lsisas1068': 'lsisas1068', 'pvscsi': 'vmpvscsi'}
DRIVERS = {'lsilogic': 'sym53c8xx', 'lsisas1068': 'mptsas', 'vmpvscsi': 'vmw_pvscsi'}
IDE_NEEDS = ('the initial RAM disk must have piix and ide_disk, or ata_piix; where /etc/fstab, the boot loader\'s menu or '
             'its device.map name /dev/sda, it may be /dev/hda now')


@dataclasses.dataclass
class Copy:
    """What goes to the machine's directory"""
    source: pathlib.Path
    drive: Drive
    key: str                    # as the .vmx calls it
    disk: vmdk.Vmdk = None      # None for a floppy disk


@dataclasses.dataclass
class There:
    """A device as the .vmx has it"""
    bus: str
    controller: int
    unit: int
    cd: bool

    @property
    def key(self):
        return f'{self.bus}{self.controller}:{self.unit}'


def find(folder, text):
    """The file that is meant: beside the .vmx, for its own place was on another host; or where it says; or None"""
    # "[datastore] directory/file" is how ESX writes it
    text = re.sub(r'^\[[^\]]*\]\s*', '', text.strip())
    name = re.split(r'[/\\]', text)[-1]
    if not name or '\0' in text or name in ('.', '..'):
        return None
    try:
        for path in folder / name, folder / text.replace('\\', '/'):
            if path.is_file():
                return path
        for path in folder.iterdir():
            if path.name.casefold() == name.casefold() and path.is_file():
                return path
    except (OSError, ValueError):
        pass
    return None


def is_disc(path):
    """Whether it is an image of a CD or DVD, by ISO 9660 or UDF: a .vmx may name any file of the host"""
    try:
        with open(path, 'rb') as file:
            # A file of /proc has no size, and to read it may take for ever
            if not os.fstat(file.fileno()).st_size:
                return False
            file.seek(0x8001)
            return file.read(5) in (b'CD001', b'BEA01')
    except OSError:
        return False


def snapshot_names(vmx):
    """What the user has called the guest's snapshots"""
    path = vmx.path.with_suffix('.vmsd')
    try:
        keys = Vmx(path) if path.is_file() else None
    except Refused:
        keys = None
    names = [keys.get(match[0]) for match in keys.matching(r'snapshot\d+\.displayname')] if keys else []
    return f' ({", ".join(shown(name) for name in names[:5])})' if names else ''


class Drives:
    """Takes what is on a guest's buses over into a machine"""

    def __init__(self, vmx, machine, table, *, controller=''):
        self.vmx, self.machine, self.table = vmx, machine, table
        self.folder = vmx.path.absolute().parent
        self.choice = controller
        self.copies = []
        self.models = {}        # by the number of a SCSI bus: what it is here, or nothing for IDE
        self.controllers = {}   # likewise: its number here
        self.units = {}         # by that: the units in use
        self.free_ide = [(0, 0), (0, 1), (1, 0), (1, 1)]

    def take(self):
        devices = self.devices()
        places = self.places(devices)
        for there in devices:
            (self.take_cd if there.cd else self.take_disk)(there, places[there.key])
        self.take_floppies()
        self.order()

    def devices(self):
        """IDE first, as BIOSes count"""
        found = []
        for bus in 'ide', 'scsi', 'sata', 'nvme':
            for match in self.vmx.matching(rf'{bus}(\d):(\d{{1,2}})\.present'):
                if self.vmx.flag(match[0]) and self.vmx.flag(f'{bus}{match[1]}.present', True):
                    key = match[0].rpartition('.')[0]
                    kind = self.vmx.get(f'{key}.deviceType').strip().lower()
                    name = self.vmx.get(f'{key}.fileName').strip().lower()
                    cd = kind in CDS or (not kind and (name.endswith('.iso') or name in ('', 'auto detect')))
                    found.append(There(bus, int(match[1]), int(match[2]), cd))
        return found

    def places(self, devices):
        """By key: bus, controller, channel and unit here"""
        places = {}
        rest = []
        for there in devices:
            place = (there.controller, there.unit)
            if there.bus == 'ide' and place in self.free_ide:
                self.free_ide.remove(place)
                places[there.key] = ('ide', 0, *place)
            elif there.bus == 'scsi' and not there.cd and self.model(there):
                places[there.key] = self.scsi_place(self.models[there.controller], there)
            else:
                rest.append(there)
        # A disk that does not find a place on IDE may have one on SCSI, a CD not
        for there in sorted(rest, key=lambda there: not there.cd):
            if self.free_ide:
                places[there.key] = ('ide', 0, *self.free_ide.pop(0))
            elif there.cd:
                raise Refused(f'{there.key}: there are more CD drives than IDE has places')
            else:
                places[there.key] = self.scsi_place('lsisas1068', there)
                self.table.changed(there.key, 'IDE is full: on a SAS controller, for which the guest must have mptsas')
        return places

    def model(self, there):
        """What this SCSI bus is here, or nothing if its disks go to IDE"""
        number = there.controller
        if number not in self.models:
            card = self.vmx.get(f'scsi{number}.virtualDev').strip() or 'buslogic'
            model = self.choice or KEPT.get(card.lower(), 'ide')
            self.models[number] = '' if model == 'ide' else model
            what = f'scsi{number} ({shown(card)})'
            if model == 'ide':
                self.table.changed(what, f'IDE, because QEMU has no such card: {IDE_NEEDS}')
            elif model == KEPT.get(card.lower()):
                self.table.taken(what, SCSI[model][0])
            else:
                self.table.changed(what, f'{SCSI[model][0]}: the guest must have the driver {DRIVERS[model]}')
            if self.vmx.get(f'scsi{number}.sharedBus').strip().lower() not in ('', 'none'):
                self.table.dropped(self.vmx.said(f'scsi{number}.sharedBus'), 'the disks are this guest\'s alone')
        return self.models[number]

    def scsi_place(self, model, there):
        known = there.bus == 'scsi' and self.models.get(there.controller) == model
        key = there.controller if known else 'rest'
        if key not in self.controllers:
            if len(self.machine.scsi) == 4:
                raise Refused(f'{there.key}: there are more disks than this machine has places')
            self.controllers[key] = len(self.machine.scsi)
            self.machine.scsi.append(Controller(model, self.machine.take_slot()))
        number = self.controllers[key]
        units = self.units.setdefault(number, set())
        free = [unit for unit in range(SCSI[model][1]) if unit not in units]
        if not free:
            raise Refused(f'{there.key}: there are more disks than this machine has places')
        unit = there.unit if known and there.unit in free else free[0]
        units.add(unit)
        return 'scsi', number, 0, unit

    def drive(self, device, place, **more):
        bus, controller, channel, unit = place
        drive = Drive(device, bus, controller, channel, unit, **more)
        self.machine.drives.append(drive)
        return drive

    def take_disk(self, there, place):
        key, get = there.key, self.vmx.get
        text = get(f'{key}.fileName')
        if get(f'{key}.deviceType').strip().lower() in ('rawdisk', 'scsi-nonpassthru-rdm', 'scsi-passthru-rdm'):
            raise Refused(f'{key} ({shown(text)}) is a disk of the host, not a file: copy it with vmkfstools or dd first')
        path = find(self.folder, text)
        if not path:
            raise Refused(f'{key}: its disk is missing: {shown(text) or "no name"}')
        disk = vmdk.describe(path)
        if disk.parent:
            raise Refused(f'{key}: {shown(path.name)} is a snapshot, on top of {shown(disk.parent)}'
                          f'{snapshot_names(self.vmx)}: delete the guest\'s snapshots in VMware, which consolidates them')
        if get(f'{key}.redo').strip():
            raise Refused(f'{key}: {self.vmx.said(f"{key}.redo")} has changes that are not in {shown(path.name)} yet: '
                          'commit them in VMware')
        if any(copy.source == path for copy in self.copies):
            raise Refused(f'{key}: {shown(path.name)} is there twice')
        drive = self.drive('disk', place, format='qcow2')
        drive.file = self.output(path, drive, 'qcow2')
        self.copies.append(Copy(path, drive, key, disk))
        # One that is elsewhere may be another guest's
        where = path.name if path.parent == self.folder else path
        what = f'{key}: {shown(where)} ({disk.kind}, {megabytes(disk.size)})'
        said = f'{drive.name}, {"an IDE" if drive.bus == "ide" else "a SCSI"} disk, in {drive.file}'
        (self.table.taken if drive.bus == there.bus else self.table.changed)(what, said)
        if 'nonpersistent' in get(f'{key}.mode').lower() or get(f'{key}.mode').lower() == 'undoable':
            self.table.changed(self.vmx.said(f'{key}.mode'), 'what the guest writes stays')

    def output(self, path, drive, suffix):
        name = pathlib.Path(f'{plain(path.stem) or drive.name}.{suffix}')
        while any(copy.drive.file == name for copy in self.copies):
            name = pathlib.Path(f'{name.stem}-{drive.name}.{suffix}')
        return name

    def take_cd(self, there, place):
        key, get = there.key, self.vmx.get
        drive = self.drive('cdrom', place)
        where = f'{drive.name}, an IDE CD drive'
        note = self.table.taken if there.bus == 'ide' else self.table.changed
        if get(f'{key}.deviceType').strip().lower() != 'cdrom-image' and not get(f'{key}.fileName').strip().lower().endswith('.iso'):
            note(f'{key}: CD drive of the host', f'{where}, empty: the monitor\'s "change" puts a CD in')
            return
        path = find(self.folder, get(f'{key}.fileName'))
        if not self.vmx.flag(f'{key}.startConnected', True):
            note(f'{key}: CD, not connected at start', f'{where}, empty')
        elif path and is_disc(path) and can_be_named(path):
            drive.file = path
            note(f'{key}: {shown(path.name)}', f'{where}, with {shown(path)}')
        else:
            why = 'there is no such file' if not path else UNNAMED if is_disc(path) else 'it is no image of a CD'
            self.table.changed(self.vmx.said(f'{key}.fileName'), f'{where}, empty: {why}')

    def take_floppies(self):
        for number in 0, 1:
            key = f'floppy{number}'
            if not self.vmx.flag(f'{key}.present'):
                continue
            drive = self.drive('floppy', ('fdc', 0, 0, number))
            path = find(self.folder, self.vmx.get(f'{key}.fileName'))
            # Others of the host's files are not for the guest
            if path and self.folder.resolve() not in path.resolve().parents:
                path = None
            is_file = self.vmx.get(f'{key}.fileType').strip().lower() == 'file'
            if not is_file or not path or not self.vmx.flag(f'{key}.startConnected', True):
                self.table.taken(key, f'{drive.name}, empty')
            elif path.stat().st_size > LARGEST_FLOPPY or not path.stat().st_size:
                self.table.dropped(f'{key}: {shown(path.name)}', f'no floppy disk has its size; {drive.name} is empty')
            else:
                drive.file = self.output(path, drive, 'img')
                self.copies.append(Copy(path, drive, key))
                self.table.taken(f'{key}: {shown(path.name)}', f'{drive.name}, in {drive.file}')

    def order(self):
        """What to boot from, first to last: VMware's BIOS asks the disks before CDs, unless it is told otherwise"""
        order = [word.strip().lower() for word in self.vmx.get('bios.bootOrder').split(',')]
        first = [key.strip().lower() for key in self.vmx.get('bios.hddOrder').split(',')]
        disks = [copy for copy in self.copies if copy.disk]
        disks.sort(key=lambda copy: first.index(copy.key) if copy.key in first else len(first))
        disks = [copy.drive for copy in disks]
        cds = [drive for drive in self.machine.drives if drive.device == 'cdrom']
        drives = [*cds, *disks] if order[0] == 'cdrom' else [*disks, *cds]
        for number, drive in enumerate(drives, 1):
            drive.boot = number
        if self.vmx.get('bios.bootOrder'):
            self.table.taken(self.vmx.said('bios.bootOrder'), ', then '.join(drive.name for drive in drives) or 'nothing')
