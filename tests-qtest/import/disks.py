# Disks and other files as VMware has them, small ones, made for a test.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import random
import re
import struct
import subprocess

SECTORS = 2048
DESCRIPTOR = '''\
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="{0}"

# Extent description
{1}

# The Disk Data Base
#DDB
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "4"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
'''


def content(path):
    return random.Random(path.name).randbytes(SECTORS * 512)


def convert(path, kind):
    """By qemu-img, from a raw disk"""
    raw = path.with_suffix('.raw')
    raw.write_bytes(content(path))
    subprocess.run(['qemu-img', 'convert', '-q', '-f', 'raw', '-O', 'vmdk', '-o', f'subformat={kind}', raw, path],
                   check=True)
    raw.unlink()


def make_disk(folder, words):
    name, rest = re.fullmatch(r'(.+?\.vmdk) (.+)', words, re.IGNORECASE).groups()
    path = folder / name
    kind, _, more = rest.partition(' ')
    if kind == 'vmfs':
        # As ESX has them: a small text, and the content
        flat = path.with_name(f'{path.stem}-flat.vmdk')
        flat.write_bytes(content(path))
        path.write_text(DESCRIPTOR.format('vmfs', f'RW {SECTORS} VMFS "{flat.name}"'), encoding='utf-8')
    elif kind == 'text':
        path.write_text(DESCRIPTOR.format(*more.split(' ', 1)), encoding='utf-8')
    elif kind == 'snapshot':
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'vmdk', '-b', folder / more, '-F', 'vmdk', path], check=True)
        # qemu-img writes the whole name, VMware only the last part
        path.write_bytes(path.read_bytes().replace(str(folder / more).encode(), more.encode()))
    elif kind == 'hidden-parent':
        # The header says that there is no descriptor, and QEMU reads it all the same
        convert(path, 'monolithicSparse')
        image = bytearray(path.read_bytes())
        image[0x1c:0x2c] = bytes(16)
        hidden = b'CID=fffffffe\nparentCID=ffffffff\nparentFileNameHint="/etc/passwd"\n\0'
        image[0x200:0x200 + len(hidden)] = hidden
        path.write_bytes(image)
    elif kind == 'cowd-parent':
        # As above, in the form of ESX Server 2
        hint = b'parentFileNameHint="/etc/passwd"\n'
        path.write_bytes(b'COWD' + struct.pack('<III', 1, 3, SECTORS).ljust(508, b'\0') + hint.ljust(20 * 512, b'\0'))
    elif kind == 'other-size':
        # The text says twice as much as the header of the part has
        convert(path.with_name('part.vmdk'), 'monolithicSparse')
        path.write_text(DESCRIPTOR.format('twoGbMaxExtentSparse', f'RW {2 * SECTORS} SPARSE "part.vmdk"'),
                        encoding='utf-8')
    elif kind == 'two-readings':
        # In the encoding that it names it is a disk beside it; QEMU reads the bytes
        path.with_name('guest-flat.vmdk').write_bytes(content(path))
        path.write_bytes(DESCRIPTOR.format('monolithicFlat', f'RW {SECTORS} FLAT "guest-flat.vmdk" 0')
                         .encode('cp037') + b'\n.encoding = "cp037"\nparentCID=ffffffff\nCID=fffffffe\n'
                         b'createType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n')
    else:
        convert(path, kind)


def make_file(folder, name, text):
    if text == 'ISO':
        image = bytes(0x8001) + b'CD001' + bytes(0x7ffa)
    elif text == 'FLOPPY':
        image = bytes(1474560)
    else:
        image = f'{text}\n'.encode()
    (folder / name).write_bytes(image)
