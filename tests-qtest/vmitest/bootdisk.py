# A disk or a CD that boots a guest program, as an installed system does: by firmware and a boot loader. The boot loader is
# Debian's SYSLINUX.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import pathlib
import shutil
import subprocess

MODULES = pathlib.Path('/usr/lib/syslinux/modules/bios')
ISOLINUX = pathlib.Path('/usr/lib/ISOLINUX/isolinux.bin')
# By Debian's package
DISK_NEEDS = {'syslinux': 'syslinux', 'mformat': 'mtools', 'mcopy': 'mtools', MODULES / 'mboot.c32': 'syslinux-common'}
CD_NEEDS = {'xorriso': 'xorriso', ISOLINUX: 'isolinux', MODULES / 'mboot.c32': 'syslinux-common'}
CONFIG = '''\
SERIAL 0
DEFAULT guest
LABEL guest
    KERNEL mboot.c32
    APPEND guest.elf
'''


def missing_packages(*needs):
    """Names of Debian packages, in one text"""
    return ' '.join(sorted({package for need in needs for what, package in need.items()
                            if not (what.exists() if isinstance(what, pathlib.Path) else shutil.which(what))}))


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def make_disk(path, program):
    """16 MiB, one FAT file system with no partition table"""
    config = path.with_name('syslinux.cfg')
    config.write_text(CONFIG, encoding='utf-8')
    with open(path, 'wb') as file:
        file.truncate(16 << 20)
    run('mformat', '-i', path, '-t', '32', '-h', '16', '-s', '63', '::')
    run('syslinux', '--install', path)
    run('mcopy', '-i', path, MODULES / 'mboot.c32', MODULES / 'libcom32.c32', config, '::')
    run('mcopy', '-i', path, program, '::guest.elf')


def make_cd(path, program):
    tree = path.with_name(f'{path.name}.d')
    tree.mkdir()
    (tree / 'isolinux.cfg').write_text(CONFIG, encoding='utf-8')
    for file in ISOLINUX, MODULES / 'mboot.c32', MODULES / 'libcom32.c32', MODULES / 'ldlinux.c32':
        shutil.copy(file, tree)
    shutil.copy(program, tree / 'guest.elf')
    run('xorriso', '-report_about', 'SORRY', '-as', 'mkisofs', '-o', path, '-b', 'isolinux.bin', '-c', 'boot.cat',
        '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', tree)
    shutil.rmtree(tree)
