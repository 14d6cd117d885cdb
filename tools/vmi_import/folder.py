# Make a machine's directory: convert disks by qemu-img, write its two descriptions. The source is only read.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

from .text import Refused, megabytes, shown

QEMU_IMG = 'qemu-img'


def lock_of(path):
    """What VMware leaves beside a disk while it has it open"""
    lock = path.with_name(f'{path.name}.lck')
    if lock.is_dir():
        return lock if any(lock.iterdir()) else None
    return lock if lock.exists() else None


def opened_by(path):
    """Name the process that has a file open for writing, if it may be seen"""
    state = path.stat()
    for link in pathlib.Path('/proc').glob('[0-9]*/fd/*'):
        try:
            other = link.stat()
            if (other.st_dev, other.st_ino) != (state.st_dev, state.st_ino):
                continue
            info = (link.parent.parent / 'fdinfo' / link.name).read_text()
            if int(info.split('flags:')[1].split()[0], 8) & os.O_ACCMODE != os.O_RDONLY:
                process = link.parent.parent
                return f'{shown((process / "comm").read_text().strip())}, process {process.name},'
        except (OSError, IndexError, ValueError):
            continue
    return None


def leased(path):
    """Whether nobody writes to it, as far as the kernel can tell: it grants a lease for reading only then"""
    # What comes if somebody opens it for writing meanwhile; it would end this program
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(path, 'rb') as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return False
        except OSError:
            pass                # another user's file, or a file system that has no leases
    return True


def check_free(copies):
    """Refuse what somebody else may be writing to"""
    for file in dict.fromkeys(file for copy in copies for file in (copy.disk.files if copy.disk else [copy.source])):
        lock = lock_of(file)
        if lock:
            raise Refused(f'{shown(file.name)} is in use: VMware has left {shown(lock.name)} beside it; shut the guest '
                          'down, or remove that if VMware does not run')
        try:
            who = opened_by(file) or ('' if leased(file) else 'a process')
        except OSError as error:
            raise Refused(f'{shown(file.name)}: {error.strerror}') from error
        if who:
            raise Refused(f'{shown(file.name)} is in use: {who} has it open for writing')


def last_line(text):
    lines = [line.strip() for line in text.strip().splitlines()]
    return shown(lines[-1]) if lines else 'no reason given'


def run_img(*words):
    done = subprocess.run([QEMU_IMG, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors='replace', check=False)
    if done.returncode:
        raise Refused(f'qemu-img {words[0]}: {last_line(done.stderr)}')
    return done.stdout


def check_room(copies, directory):
    """The converted disks have to fit"""
    needed = sum(json.loads(run_img('measure', '-f', 'vmdk', '-O', 'qcow2', '--output=json', copy.source))['required']
                 for copy in copies if copy.disk)
    room = shutil.disk_usage(directory).free
    if needed > room:
        raise Refused(f'the disks take {megabytes(needed)} in {shown(directory)}, and there is room for '
                      f'{megabytes(room)}')


def check_seen(copy):
    """QEMU reads a disk's description by rules of its own: it has to find the same size, the same files, and no more"""
    info = json.loads(run_img('info', '-f', 'vmdk', '--output=json', copy.source))
    extents = info.get('format-specific', {}).get('data', {}).get('extents', [])
    strange = {extent.get('filename') for extent in extents} - {str(file) for file in copy.disk.files}
    if strange or 'backing-filename' in info or info.get('virtual-size') != copy.disk.size:
        raise Refused(f'{shown(copy.source.name)}: qemu-img finds another disk in it ('
                      f'{shown(", ".join(map(str, sorted(strange)))) or megabytes(info.get("virtual-size", 0))})')


def convert(copy, target):
    """With a line of progress on a terminal, or the beginning and the end"""
    show = sys.stdout.isatty()
    print(f'==> Converting {shown(copy.source.name)}, {megabytes(copy.disk.size)}, to {copy.drive.file}', flush=True)
    command = [QEMU_IMG, 'convert', *(['-p'] if show else []), '-f', 'vmdk', '-O', 'qcow2', copy.source, target]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          errors='replace') as process:
        try:
            said = process.stderr.read()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise Refused(f'{shown(copy.source.name)} cannot be converted: {last_line(said)}')


def put(copy, directory, link):
    target = directory / copy.drive.file
    source = copy.source.absolute()
    if not copy.disk:
        shutil.copyfile(source, target)
    elif link:
        # What the guest writes goes to a disk of its own, on top of that
        run_img('create', '-q', '-f', 'qcow2', '-b', source, '-F', 'vmdk', target)
    else:
        convert(copy, target)


def make(directory, copies, texts, *, link):
    """Fill the directory, or leave nothing"""
    if any(copy.disk for copy in copies) and not shutil.which(QEMU_IMG):
        raise Refused('qemu-img is not here: install the Debian package qemu-utils')
    made, existed = None, directory.exists()
    begun = done = False
    try:
        if existed and (not directory.is_dir() or any(directory.iterdir())):
            raise Refused(f'{shown(directory)} is there already, and not empty: --output names another one')
        for folder in reversed([directory, *directory.parents]):
            if not folder.exists():
                made = made or folder
        directory.mkdir(parents=True, exist_ok=True)
        begun = True
        for copy in copies:
            if copy.disk:
                check_seen(copy)
        if not link and copies:
            check_room(copies, directory)
        for copy in copies:
            put(copy, directory, link)
        for name, text in texts.items():
            path = directory / name
            path.write_text(text, encoding='utf-8', errors='replace')
            if name.endswith('.sh'):
                # Who may read it may run it
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o444) >> 2)
        done = True
    except OSError as error:
        raise Refused(f'{shown(error.filename or directory)}: {error.strerror}') from error
    finally:
        if made and not done:
            shutil.rmtree(made, ignore_errors=True)
        elif begun and not done:
            # It was there, and empty
            for path in directory.iterdir():
                path.unlink()
