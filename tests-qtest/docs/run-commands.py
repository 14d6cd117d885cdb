#!/usr/bin/python3
"""
Type the commands of a document, in its order, as its reader would: on a terminal, in the directory of the sources.
What the document shows must come. A command whose output ends in "QEMU: Terminated" is ended by Ctrl-A X when the
rest is there.

For CONTRIBUTING.rst the directory is a copy of the sources. For others it is one of links to the sources, with stand-ins for what the reader is to bring: the demo guest as
bzImage, and a disk as ESX has them.

usage: run-commands.py TOP DOCUMENT DEMO

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pexpect

from vmitest.commands import commands, missing_output, unmarked
from vmitest.tap import Tap

PATIENCE = 120                  # seconds, for a command
TERMINATED = 'QEMU: Terminated'
SECTORS = 4096
ESX_DISK = f'''\
# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="vmfs"

# Extent description
RW {SECTORS} VMFS "guest-flat.vmdk"

# The Disk Data Base
#DDB
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "4"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.adapterType = "lsilogic"
'''
GUEST = '''\
config.version = "8"
virtualHW.version = "4"
displayName = "mail"
guestOS = "rhel5"
memsize = "512"
vmi.present = "TRUE"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "guest.vmdk"
ethernet0.present = "TRUE"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:d6:2b:d3"
sharedFolder0.present = "TRUE"
'''


def fill(directory, top, demo):
    for path in top.iterdir():
        (directory / path.name).symlink_to(path)
    (directory / 'bzImage').symlink_to(demo)
    (directory / 'initrd.gz').write_bytes(bytes(512))
    (directory / 'guest.vmx').write_text(GUEST)
    (directory / 'guest.vmdk').write_text(ESX_DISK)
    (directory / 'guest-flat.vmdk').write_bytes(random.Random(1).randbytes(SECTORS * 512))


def copy(directory, top):
    """A copy of the sources that can be changed and built, except QEMU: that is the one of the sources"""
    shutil.copytree(top, directory, dirs_exist_ok=True, ignore=lambda at, _: {'build', '.git'} if at == str(top) else ())
    build = directory / 'build'
    build.mkdir()
    for name in ('bin', 'qemu', 'nested', 'libvirt-src'):
        (build / name).symlink_to(top / 'build' / name)
    (build / 'log').mkdir()
    run_git = ['git', '-c', 'advice.detachedHead=false', '-C']
    subprocess.run([*run_git, top, 'clone', '-q', '--shared', '--sparse', '--branch', 'applied', top / 'build/qemu-src',
                    build / 'qemu-src'], check=True)
    # The tests take qemu.qmp from there
    subprocess.run([*run_git, build / 'qemu-src', 'sparse-checkout', 'set', 'python/qemu'], check=True)
    # Nothing is left to do for "./vmi build"
    os.environ['VMI_LOCK_HELD'] = str(build / 'lock')
    subprocess.run(['meson', 'setup', build / 'project', directory], check=True, stdout=subprocess.DEVNULL)


def run(command, directory):
    """Return the exit status, which is None if it takes too long, and the output"""
    shell = pexpect.spawn('bash', ['-c', command.text], cwd=str(directory), encoding='utf-8', codec_errors='replace',
                          env={**os.environ, 'PATH': f'{directory}/build/bin:{os.environ["PATH"]}'})
    end = time.monotonic() + PATIENCE
    output, told = '', False
    while time.monotonic() < end:
        try:
            output += shell.read_nonblocking(65536, max(0, end - time.monotonic())).replace('\r', '')
        except pexpect.EOF:
            shell.close()
            return shell.exitstatus, output
        except pexpect.TIMEOUT:
            break
        if not told and TERMINATED in command.output and missing_output(command, output) in (TERMINATED, None):
            # Something must have come from the guest
            told = 'kernel on vmi' in output
            if told:
                shell.send('\x01x')
    os.killpg(shell.pid, signal.SIGKILL)
    shell.close(force=True)
    return None, output


def main():
    top, document, demo = (pathlib.Path(argument) for argument in sys.argv[1:])
    tap = Tap()
    loose = unmarked(top / document)
    tap.fact(not loose, f'{document} says of all that is to be typed whether it is run', '; '.join(loose))
    with tempfile.TemporaryDirectory(prefix='vmi-docs-') as name:
        directory = pathlib.Path(name)
        if str(document) == 'CONTRIBUTING.rst':
            copy(directory, top)
        else:
            fill(directory, top, demo.absolute())
        for command in commands(top / document):
            text = ' '.join(command.text.split())
            if command.not_run:
                tap.skip(f'{command.place}: {text}', command.not_run)
                continue
            status, output = run(command, directory)
            missing = missing_output(command, output)
            tap.fact(status == 0 and not missing, f'{command.place}: {text.replace("#", "")}')
            if status != 0 or missing:
                print(f'# exit status {status}; expected: {missing}')
                print('\n'.join(f'# {line}' for line in output.splitlines()[-30:]))
    tap.end()


main()
