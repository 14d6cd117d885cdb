#!/usr/bin/python3
"""Boot the demo guest from a disk by "./vmi run --disk": firmware, boot loader, option ROM and kernel, as a user's.

The disk is made here, by Debian's SYSLINUX. A disk of another format is made of it by qemu-img.

usage: drivers/vmi_disk.py TOP DEMO

SPDX-License-Identifier: GPL-2.0-or-later
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from vmitest.machine import DEBUG_EXIT
from vmitest.run import vmi_run
from vmitest.tap import Tap

NEEDED = {'syslinux': 'syslinux', 'mformat': 'mtools', 'mcopy': 'mtools', 'qemu-img': 'qemu-utils'}
MODULES = pathlib.Path('/usr/lib/syslinux/modules/bios')
CONFIG = '''\
SERIAL 0
DEFAULT demo
LABEL demo
    KERNEL mboot.c32
    APPEND demo.elf
'''
PATIENCE = 120                  # seconds, for a boot
DEMO_STATUS = 33                # of a QEMU that the demo guest ends


def make_disk(path, demo):
    """16 MiB, one FAT file system with no partition table"""
    config = path.with_name('syslinux.cfg')
    config.write_text(CONFIG, encoding='utf-8')
    with open(path, 'wb') as file:
        file.truncate(16 << 20)
    for command in (['mformat', '-i', path, '-t', '32', '-h', '16', '-s', '63', '::'],
                    ['syslinux', '--install', path],
                    ['mcopy', '-i', path, MODULES / 'mboot.c32', MODULES / 'libcom32.c32', demo, config, '::']):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def check_boot(tap, top, what, *options):
    status, output = vmi_run(top, *options, '--', *DEBUG_EXIT, timeout=PATIENCE)
    lines = output.strip().splitlines()
    ok = status == DEMO_STATUS and 'Booting paravirtualized kernel on vmi' in output and \
        lines[-1].startswith('VMI demo guest: all done')
    tap.fact(ok, f'the demo guest boots from {what}, and uses VMI', f'status {status}, {lines[-1] if lines else ""}')
    if not ok:
        tap.comment(lines[-20:])


def check_refused(tap, top, what, text, *options):
    status, output = vmi_run(top, *options, timeout=PATIENCE)
    tap.fact(status in (1, 2) and text in output, f'{what} is refused', f'status {status}')


def main():
    top, demo = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    missing = {package for program, package in NEEDED.items() if not shutil.which(program)}
    if not (MODULES / 'mboot.c32').exists():
        missing.add('syslinux-common')
    if missing:
        print(f'1..0 # SKIP these Debian packages are not installed: {" ".join(sorted(missing))}')
        return
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as name:
        disk = pathlib.Path(name) / 'disk, of a guest'
        make_disk(disk, demo)
        check_boot(tap, top, 'a raw disk whose name has a comma and spaces', '--disk', disk)
        for kind in 'qcow2', 'vmdk':
            other = disk.with_suffix(f'.{kind}')
            subprocess.run(['qemu-img', 'convert', '-q', '-f', 'raw', '-O', kind, disk, other], check=True)
            check_boot(tap, top, f'a {kind} disk', '--disk', other, '--nic', 'none')
        empty, disc = disk.with_name('empty'), disk.with_name('disc.iso')
        for file in empty, disc:
            file.write_bytes(bytes(1 << 20))
        check_boot(tap, top, 'the first of two disks, with a CD and a card', '--disk', disk, '--disk', empty, '--cdrom',
                   disc, '--nic', 'e1000', '--boot', 'disk')
        status, output = vmi_run(top, '--disk', empty, '--', '-boot', 'reboot-timeout=1000', timeout=20,
                                 VMI_PATIENCE='3')
        tap.fact(status is None and 'after 3 s this guest does not use VMI' in output,
                 'of a disk with nothing to boot, a line says that VMI is not in use', f'status {status}')
        check_refused(tap, top, 'a third disk', 'there are two disks at most',
                      *['--disk', empty, '--disk', empty, '--disk', empty])
    check_refused(tap, top, 'a disk that is not there', 'cannot read /nonexistent', '--disk', '/nonexistent')
    check_refused(tap, top, 'to boot from what is not given', '--boot cdrom needs --cdrom', '--boot', 'cdrom')
    check_refused(tap, top, 'to boot from something else', '--boot is disk or cdrom', '--boot', 'net')
    check_refused(tap, top, 'a network card with options', '--nic is a model', '--nic', 'e1000,mac=1')
    tap.end()


main()
