# Take a guest of VMware's over: its disks, a domain for libvirt, and a script that runs the same machine.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import os
import pathlib
import signal
import sys

from .command import script
from .domain import domain
from .drives import Drives
from .folder import check_free, make
from .guest import take, take_rest
from .machine import SCSI
from .table import Table
from .text import UNNAMED, Refused, can_be_named, plain, shown
from .vmx import Vmx

DESCRIPTION = '''\
Take a guest of ESX, Workstation, Server or Fusion over: convert its disks, and write domain.xml, for libvirt, and
run.sh, which are the same machine. The guest's own files are only read. A table says what was taken over,
what is different and what the guest must have for it, and what is not there any more.'''


def parse_args(argv):
    parser = argparse.ArgumentParser(prog='vmi import', description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('guest', metavar='GUEST.vmx', type=pathlib.Path)
    parser.add_argument('--output', metavar='DIR', type=pathlib.Path,
                        help='gets the machine; it must not be there, or be empty (default: the guest\'s name)')
    parser.add_argument('--link', action='store_true',
                        help='leave the disks where they are: what the guest writes goes to disks on top of them')
    parser.add_argument('--dry-run', action='store_true', help='print the table, the domain and the script only')
    parser.add_argument('--vmi', action='store_true', help='give it VMI even if vmi.present is not TRUE')
    parser.add_argument('--log', metavar='FILE', type=pathlib.Path,
                        help='what the guest has printed on VMware: its clock gets the frequency that it had there')
    parser.add_argument('--controller', choices=['ide', *SCSI], default='',
                        help='for the disks on SCSI (default: ide, except for cards that QEMU has)')
    parser.add_argument('--accel', choices=['tcg', 'kvm'], default='tcg', help='default: tcg')
    # "vmi" knows where it is
    parser.add_argument('--emulator', default='/usr/bin/qemu-system-vmi-i386', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None):
    """Raise Refused if it cannot be done"""
    args = parse_args(argv)
    table = Table()
    vmx = Vmx(args.guest)
    machine = take(vmx, table, vmi=args.vmi, log=args.log)
    machine.accel, machine.emulator = args.accel, args.emulator
    drives = Drives(vmx, machine, table, controller=args.controller)
    drives.take()
    take_rest(vmx, table)
    directory = (args.output or pathlib.Path(plain(machine.name) or 'guest')).resolve()
    for path in directory, args.emulator:
        if not can_be_named(path):
            raise Refused(f'{shown(path)}: {UNNAMED}')
    check_free(drives.copies)
    texts = {'domain.xml': domain(machine, directory), 'run.sh': script(machine), 'table.txt': table.text(120)}
    if args.dry_run:
        print(table.text())
        for name in 'domain.xml', 'run.sh':
            print(f'{directory / name}:\n\n{texts[name]}')
        return
    make(directory, drives.copies, texts, link=args.link)
    print(table.text())
    print(f'==> Ready: {directory}/run.sh runs it; virsh define {directory}/domain.xml gives it to libvirt')


if __name__ == '__main__':
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors='backslashreplace')
    # As Ctrl-C, after which nothing is left
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read it has seen enough; Python would try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Refused as error:
        sys.exit(f'vmi import: {error}')
    except KeyboardInterrupt:
        sys.exit('vmi import: interrupted, and nothing is left of it')
