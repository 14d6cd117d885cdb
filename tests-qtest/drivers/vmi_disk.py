#!/usr/bin/python3
"""Boot the demo guest from a disk or a CD by "./vmi run": firmware, boot loader, option ROM and kernel, as a user's.

What boots is made here, by Debian's SYSLINUX. A disk of another format is made of it by qemu-img. The guest program
"shutdown" switches the power off, which ends QEMU. What does not use VMI is named as what it is.

usage: drivers/vmi_disk.py TOP DEMO SHUTDOWN

SPDX-License-Identifier: GPL-2.0-or-later
"""

import pathlib
import subprocess
import sys
import tempfile

from vmitest.bootdisk import CD_NEEDS, DISK_NEEDS, make_cd, make_disk, missing_packages
from vmitest.machine import DEBUG_EXIT
from vmitest.run import vmi_run, vmi_run_until
from vmitest.tap import Tap

NEEDED = {'qemu-img': 'qemu-utils'}
# Boot sectors that do nothing: jmp $; and cli, set PE in CR0, jmp $; and one that prints, by the BIOS, what comes after
REAL_MODE = bytes.fromhex('ebfe')
PROTECTED_MODE = bytes.fromhex('fa 0f20c0 6683c801 0f22c0 ebfe')
PRINT = bytes.fromhex('31c0 8ed8 be177c ac 84c0 7409 b40e bb0700 cd10 ebf2 ebfe')
PATIENCE = 120                  # seconds, for a boot
WAIT = '8'                      # seconds, after which a guest should use VMI
SAYS = f'after {WAIT} s this guest does not use VMI: '
DEMO_STATUS = 33                # of a QEMU that the demo guest ends


def check_boot(tap, top, what, *options):
    status, output = vmi_run(top, *options, '--', *DEBUG_EXIT, timeout=PATIENCE)
    lines = output.strip().splitlines()
    ok = status == DEMO_STATUS and 'Booting paravirtualized kernel on vmi' in output and \
        lines[-1].startswith('VMI demo guest: all done')
    tap.fact(ok, f'the demo guest boots from {what}, and uses VMI', f'status {status}, {lines[-1] if lines else ""}')
    if not ok:
        tap.comment(lines[-20:])


def check_power_off(tap, top, disk, shutdown):
    make_disk(disk, shutdown)
    status, output = vmi_run(top, '--disk', disk, timeout=PATIENCE)
    tap.fact(status == 0 and 'does not use VMI' not in output,
             'a guest on a disk that switches its power off by VMI ends QEMU', f'status {status}')


def check_reasons(tap, top, disk):
    """Why a guest does not use VMI, as it can be seen from outside"""
    loop, firmware = disk.with_name('loop'), disk.with_name('firmware')
    # 64 KiB, whose last 16 bytes are where the processor starts
    firmware.write_bytes(REAL_MODE.rjust(65520 + len(REAL_MODE), b'\0').ljust(65536, b'\0'))
    for what, code, text, options in (
            ('of 64 bits', PRINT + b'This kernel requires an x86-64 CPU, but only detected an i686 CPU.\0',
             'its kernel is a 64-bit one', ()),
            ('in its boot loader', REAL_MODE, 'it has started no kernel yet', ()),
            ('in protected mode', PROTECTED_MODE, 'its kernel may lack CONFIG_VMI (', ()),
            ('on a q35', PROTECTED_MODE, 'or have no driver (ahci)', ('-machine', 'q35', '-drive', f'file={loop},format=raw')),
            ('whose firmware copies no ROM', REAL_MODE, 'has not copied the option ROM', ('-bios', firmware))):
        loop.write_bytes(code.ljust(510, b'\0') + b'\x55\xaa' + bytes(1 << 20))
        first = ('--disk', loop) if '-machine' not in options else ('--cdrom', '/dev/null')
        said = vmi_run_until(top, SAYS, *first, '--', *options, timeout=PATIENCE, VMI_PATIENCE=WAIT)
        tap.fact(text in said, f'a guest {what} gets a line that says so', said)


def check_refused(tap, top, what, text, *options):
    status, output = vmi_run(top, *options, timeout=PATIENCE)
    tap.fact(status in (1, 2) and text in output, f'{what} is refused', f'status {status}')


def main():
    top, demo, shutdown = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    missing = missing_packages(DISK_NEEDS, CD_NEEDS, NEEDED)
    if missing:
        print(f'1..0 # SKIP these Debian packages are not installed: {missing}')
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
        empty.write_bytes(bytes(1 << 20))
        make_cd(disc, demo)
        check_boot(tap, top, 'the first of two disks, with a CD and a card', '--disk', disk, '--disk', empty, '--cdrom',
                   disc, '--nic', 'e1000', '--boot', 'disk')
        check_boot(tap, top, 'a CD', '--cdrom', disc)
        check_boot(tap, top, 'a CD, with an empty disk', '--disk', empty, '--cdrom', disc, '--boot', 'cdrom', '--vga', 'vmware')
        check_power_off(tap, top, disk.with_name('off'), shutdown)
        check_reasons(tap, top, disk)
        said = vmi_run_until(top, SAYS, '--disk', empty, '--nic', 'none', timeout=PATIENCE, VMI_PATIENCE=WAIT)
        tap.fact('there is nothing to boot' in said, 'of a disk with nothing to boot, a line says so', said)
        check_refused(tap, top, 'a third disk', 'there are two disks at most',
                      *['--disk', empty, '--disk', empty, '--disk', empty])
    check_refused(tap, top, 'a disk that is not there', 'cannot read /nonexistent', '--disk', '/nonexistent')
    check_refused(tap, top, 'to boot from what is not given', '--boot cdrom needs --cdrom', '--boot', 'cdrom')
    check_refused(tap, top, 'to boot from something else', '--boot is disk or cdrom', '--boot', 'net')
    check_refused(tap, top, 'a graphics card of which there is none', '--vga is std', '--vga', 'voodoo')
    check_refused(tap, top, 'a network card with options', '--nic is a model', '--nic', 'e1000,mac=1')
    tap.end()


main()
