# What a .vmdk file is, without QEMU: which other files it needs, whether it is a snapshot. What QEMU would open by its
# descriptor must lie beside it, because a descriptor may name any file of the host. So it is read here as QEMU reads
# it: as bytes, whatever encoding it says that it has.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import dataclasses
import os
import pathlib
import re
import struct

from .text import Refused, shown
from .vmx import Vmx

SECTOR = 512
LARGEST_DESCRIPTOR = 1 << 20
SPARSE_HEADER = struct.Struct('<4sIIQQQQ')     # magic, version, flags, capacity, grain size, descriptor's place, size
COMPRESSED = 1 << 16
PARENT_SECTORS = 20
PARENT = re.compile(rb'(parentFileNameHint)')
MONOLITHIC = {b'KDMV': 'sparse', b'COWD': 'ESX sparse'}
EXTENT = re.compile(r'(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+([A-Z_]{1,16})(?:\s+"([^"]*)"(?:\s+(\d{1,18}))?)?\s*', re.ASCII)
ACCESS = re.compile(r'\s*(RW|RDONLY|NOACCESS)\b')
# Kinds of extents that are files, and the others by what they are
IN_FILES = ('FLAT', 'SPARSE', 'VMFS', 'VMFSSPARSE', 'SESPARSE')
NO_PARENT = ('', 'ffffffff')
DEVICES = ('fulldevice', 'partitioneddevice', 'custom', 'vmfsraw', 'vmfsrdm', 'vmfsrawdevicemap',
           'vmfspassthroughrawdevicemap')


@dataclasses.dataclass
class Vmdk:
    path: pathlib.Path
    kind: str                   # as its createType says, or as it looks
    size: int                   # bytes
    files: list                 # all that it is made of
    parent: str                 # file name of what it is a snapshot of, or nothing
    adapter: str


def read_start(path):
    """The first sector, the descriptor, capacity in sectors, flags"""
    with open(path, 'rb') as file:
        # A file of /proc has no size, and to read it may take for ever
        if not os.fstat(file.fileno()).st_size:
            return b'', b'', 0, 0
        start = file.read(SECTOR)
        if start[:4] not in MONOLITHIC:
            return start, start + file.read(LARGEST_DESCRIPTOR), 0, 0
        # QEMU looks for a parent here, whatever the header says
        parent = PARENT.sub(b'\n\\1', file.read(PARENT_SECTORS * SECTOR)).replace(b'\0', b'\n')
        if start.startswith(b'KDMV'):
            _, _, flags, capacity, _, place, size = SPARSE_HEADER.unpack_from(start.ljust(SPARSE_HEADER.size, b'\0'))
            if place * SECTOR > 1 << 50 or size * SECTOR > LARGEST_DESCRIPTOR:
                raise Refused(f'{shown(path.name)}: its header makes no sense')
            file.seek(place * SECTOR)
            text = file.read(size * SECTOR).split(b'\0', 1)[0] if place else b''
            return start, text + b'\n' + parent, capacity, flags
        return start, parent, struct.unpack_from('<I', start.ljust(16, b'\0'), 12)[0], 0


def extents(path, text):
    """Files of the extents, and the size of all of them in sectors"""
    files, sectors = [], 0
    for line in re.split(r'[\r\n\0]+', text):
        if not ACCESS.match(line):
            continue
        match = EXTENT.fullmatch(line.strip())
        if not match:
            raise Refused(f'{shown(path.name)}: its line "{shown(line.strip())}" is not understood')
        access, count, kind, name, offset = match.groups()
        sectors += int(count)
        # QEMU leaves such a part out, and what comes after it would be in another place
        if access != 'RW' or kind == 'ZERO':
            raise Refused(f'{shown(path.name)}: its line "{shown(line.strip())}" is of a kind that QEMU does not read')
        if kind not in IN_FILES:
            raise Refused(f'{shown(path.name)} is a disk of the host ({kind}), not a file: copy it with vmkfstools '
                          'or dd first')
        if not name or '/' in name or '\\' in name or ':' in name or name in ('.', '..'):
            raise Refused(f'{shown(path.name)} is made of "{shown(name)}", which is not beside it')
        file = path.with_name(name)
        if not file.is_file():
            raise Refused(f'{shown(path.name)} is made of {shown(name)}, which is missing')
        if kind in ('FLAT', 'VMFS') and file.stat().st_size < (int(offset or 0) + int(count)) * SECTOR:
            raise Refused(f'{shown(name)} is shorter than {shown(path.name)} says: was it copied as a whole?')
        if file.resolve().parent != path.resolve().parent:
            raise Refused(f'{shown(path.name)} is made of {shown(name)}, which is a link to elsewhere')
        # Without a size, the extent would be a descriptor again
        if 'SPARSE' in kind and not read_start(file)[2]:
            raise Refused(f'{shown(name)} is no extent of a disk')
        files.append(file)
    return files, sectors


def describe(path):
    """What a disk is; raise Refused if it cannot be one"""
    try:
        start, descriptor, capacity, flags = read_start(path)
        text = os.fsdecode(descriptor)
        magic = start[:4]
        if magic not in MONOLITHIC and not re.match(r'\s*#\s*Disk\s+DescriptorFile', text, re.IGNORECASE):
            beside = path.with_name(f'{path.stem.removesuffix("-flat")}.vmdk')
            hint = f'; name {beside.name}, which describes it' if beside != path and beside.is_file() else ''
            raise Refused(f'{shown(path.name)} is no disk of VMware\'s{hint}')
        keys = Vmx(path, text)
        kind = keys.get('createType') or MONOLITHIC.get(magic, 'unknown')
        if flags & COMPRESSED:
            kind = 'streamOptimized'
        if kind.lower() in DEVICES:
            raise Refused(f'{shown(path.name)} is a disk of the host ({shown(kind)}), not a file: copy it with '
                          'vmkfstools or dd first')
        if any(key.startswith('encryption') for key in keys.values):
            raise Refused(f'{shown(path.name)} is encrypted: VMware has to remove that')
        parent = ''
        if keys.get('parentCID').strip().lower() not in NO_PARENT or 'parentFileNameHint' in text:
            parent = keys.get('parentFileNameHint') or 'another disk'
        files, sectors = [path], capacity
        if magic not in MONOLITHIC:
            more, sectors = extents(path, text)
            files += more
        if not sectors:
            raise Refused(f'{shown(path.name)} describes a disk of no size')
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or 'not a name'
        raise Refused(f'{shown(path)}: {reason}') from error
    return Vmdk(path, shown(kind), sectors * SECTOR, files, parent, keys.get('ddb.adapterType'))
