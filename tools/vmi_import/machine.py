# The machine that a guest gets. It is written as a domain of libvirt's and as a command of QEMU's, which have to be the
# same machine: so each device's place is said here, not left to either.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import dataclasses
import pathlib

# On PCI's first bus. The bridges are those of docs/config/vmi-esx35.cfg: the firmware numbers buses in the order of
# their slots, and vmi-pci at 03.0 behind the second is at 02:03.0, as on ESX Server.
VIDEO_SLOT = 0x2
FREE_SLOTS = [*range(0x3, 0x10), *range(0x12, 0x1f)]
BRIDGE_SLOTS = (0x10, 0x11)
VMI_BUS, VMI_SLOT = 'pci.2', 0x3

# Controllers by libvirt's name: QEMU's, and how many disks they take
SCSI = {'lsilogic': ('lsi53c895a', 7), 'lsisas1068': ('mptsas1068', 8), 'vmpvscsi': ('pvscsi', 15)}
# Sound cards, likewise
SOUND = {'es1370': 'ES1370', 'sb16': 'sb16', 'ich6': 'intel-hda'}


@dataclasses.dataclass
class Drive:
    """A disk, a CD or a floppy disk in its drive"""
    device: str                 # disk, cdrom or floppy
    bus: str                    # ide, scsi or fdc
    controller: int             # of SCSI
    channel: int                # of IDE
    unit: int
    file: pathlib.Path = None   # None for an empty drive; relative to the machine's directory, or absolute
    format: str = 'raw'
    boot: int = 0               # its place in the order, from 1

    @property
    def name(self):
        """What libvirt calls it, and its files are called after"""
        if self.bus == 'ide':
            return 'hd' + 'abcd'[self.channel * 2 + self.unit]
        if self.bus == 'fdc':
            return 'fd' + 'ab'[self.unit]
        first, second = divmod(self.controller * 16 + self.unit, 26)
        return 'sd' + (chr(ord('a') + first - 1) if first else '') + chr(ord('a') + second)


@dataclasses.dataclass
class Nic:
    model: str
    mac: str
    slot: int


@dataclasses.dataclass
class Controller:
    model: str                  # libvirt's name
    slot: int


@dataclasses.dataclass
class Machine:
    name: str
    uuid: str = ''
    description: str = ''
    memory: int = 256           # MiB
    cpus: int = 1
    cores: int = 1              # of a socket
    vmi: bool = False
    frequency: int = 0          # Hz; 0 for the device's own choice
    accel: str = 'tcg'
    emulator: str = ''
    video_memory: int = 16      # MiB
    drives: list = dataclasses.field(default_factory=list)
    nics: list = dataclasses.field(default_factory=list)
    scsi: list = dataclasses.field(default_factory=list)
    serials: int = 0
    sound: str = ''             # libvirt's name
    sound_slot: int = 0
    usb: bool = False
    usb2_slot: int = 0          # 0 for none
    tablet: bool = False
    free_slots: list = dataclasses.field(default_factory=lambda: list(FREE_SLOTS))

    def take_slot(self):
        return self.free_slots.pop(0)
