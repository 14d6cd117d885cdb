#!/usr/bin/python3
"""What "./vmi run" says, and its exit status, when something is wrong: with its options, QEMU's, or the kernel.

usage: drivers/vmi_run.py TOP DEMO

SPDX-License-Identifier: GPL-2.0-or-later
"""

import pathlib
import struct
import sys
import tempfile

from vmitest.run import vmi_run
from vmitest.tap import Tap

# As startup_32 of a 64-bit Linux turns long mode on: mov $MSR_EFER, %ecx; rdmsr; bts $8, %eax
LONG_MODE = bytes.fromhex('b9800000c00f320fbae808')
PATIENCE = 60                   # seconds
# By what is wrong: the options, the exit status if it is one of ours, and what is said
WRONG = (
    ('--memory is no size', ['--memory', 'nonsense'], 2, '--memory is a size'),
    ('--memory is 0', ['--memory', '0'], 2, '--memory is a size'),
    ('there are no processors', ['--smp', '0'], 2, '--smp is a number'),
    ('the accelerator is another one', ['--accel', 'xen'], 2, '--accel is tcg or kvm'),
    ('an option is not known', ['--nonsense'], 2, 'unknown option --nonsense'),
    ('an option lacks its value', ['--kernel'], 2, '--kernel needs a value'),
    ('a kernel is missing', ['--kernel', '/nonexistent'], 1, 'cannot read /nonexistent'),
    ('an initial RAM disk has no kernel', ['--initrd', '/dev/null'], 2, '--initrd needs --kernel'),
    ('there is no display for a window', ['--display', 'sdl'], 1, 'there is no display for a window here'),
    ('the device is there twice', ['--', '-device', 'vmi-pci', '-device', 'vmi-pci'], 1,
     'at most one vmi-pci device is permitted'),
    ('the machine has no PCI', ['--', '-machine', 'microvm'], 1, 'the demo guest failed, or did not start'),
    ('QEMU has no such option', ['--', '-nonsense'], 1, 'the demo guest failed, or did not start'),
)


def bzimage(path, version, code=b''):
    """What can be seen of a kernel from outside: its header, its version, its first instructions"""
    image = bytearray(8192)
    image[0x1fe:0x200] = b'\x55\xaa'
    image[0x202:0x206] = b'HdrS'
    struct.pack_into('<H', image, 0x206, 0x020a)
    struct.pack_into('<H', image, 0x20e, 0x400 - 0x200)
    image[0x400:0x400 + len(version)] = version
    image[0x1000:0x1000 + len(code)] = code
    path.write_bytes(image)
    return path


def last(output):
    lines = output.strip().splitlines()
    return lines[-1] if lines else 'nothing'


def check_kernels(tap, top, demo, directory):
    kernel = bzimage(directory / 'long', b'2.6.32 (me@here)', LONG_MODE)
    status, output = vmi_run(top, '--kernel', kernel, timeout=PATIENCE)
    tap.fact(status == 1 and 'is a 64-bit kernel, and VMI is for 32-bit ones' in output,
             'if a kernel is a 64-bit one, one line says so', f'status {status}, {last(output)}')
    kernel = bzimage(directory / 'new', b'2.6.37 (me@here)')
    # It is no kernel, so it does nothing; QEMU's -version ends it at once.
    status, output = vmi_run(top, '--kernel', kernel, '--', '-version', timeout=PATIENCE)
    tap.fact('Linux 2.6.37 has no VMI: the last one that had it is 2.6.36' in output,
             'if a kernel is too new for VMI, one line says so', f'status {status}')
    # One that does not run does not use VMI.
    status, output = vmi_run(top, '--kernel', demo, '--', '-S', timeout=20, VMI_PATIENCE='2')
    tap.fact(status is None and 'after 2 s this guest does not use VMI' in output,
             'if a guest does not use VMI, a line says so, and why that may be', f'status {status}')


def main():
    top, demo = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    tap = Tap()
    for what, options, wanted, text in WRONG:
        status, output = vmi_run(top, *options, timeout=PATIENCE)
        tap.fact(status == wanted and text in output, f'if {what}, it ends with status {wanted} and says so',
                 f'status {status}, {last(output)}')
    for option in '-h', '--help':
        status, output = vmi_run(top, option, timeout=PATIENCE)
        tap.fact(status == 0 and output.startswith('usage: ./vmi run'), f'{option} is help', f'status {status}')
    with tempfile.TemporaryDirectory(prefix='vmi-') as name:
        check_kernels(tap, top, demo, pathlib.Path(name))
    tap.end()


main()
