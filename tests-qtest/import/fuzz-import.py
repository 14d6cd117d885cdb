#!/usr/bin/python3
"""Import what nobody should have written. Each input is taken over or refused in one line, whatever is in it.

Inputs are the guests of guests/ and their disks, spoiled; random bytes; long lines; odd encodings. Their seed is fixed.

usage: import/fuzz-import.py TOP

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import io
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as ET

import disks
from vmi_import.__main__ import main as import_guest
from vmi_import.text import Refused
from vmitest.tap import Tap

ROUNDS = 1500
WHOLE = 10                      # of so many disks, one is given to qemu-img
KINDS = ('monolithicSparse', 'twoGbMaxExtentSparse', 'monolithicFlat', 'streamOptimized')
# What is put in the place of something else, or between
SPICES = (b'\0', b'\r', b'\n', b'"', b'=', b'#', b'|0', b'|00', b'|0A', b'|7f', b'../', b'\\', b'%s', b',', b'$(x)', b"'", b'<&>',
          b']]>', b'\xff\xfe', b'\xfe\xff', b'\xef\xbb\xbf', b'\xed\xa0\x80', b'\x1b[2J', '\u202e\u0661'.encode(), b'-1', b'0',
          b'99999999999999999999', b'TRUE', b'FALSE', b'x' * 70000, b'.encoding = "unicode_escape"\n', b'\\ud800',
          b'.encoding = "utf-7"\n', b'.encoding = "idna"\n', b'.encoding = "utf-16"\n', b'ethernet9.present = "TRUE"\n',
          b'scsi3:15.present = "TRUE"\n', b'displayName = "a\'$(x)`x`|22;x|5C,x #"\n',
          b'ide1:1.present = "TRUE"\nide1:1.fileName = "a\'$(x)`x`|22;x,x.iso"\n', b'ide0:1.present = "TRUE"\n',
          b'serial3.present = "TRUE"\n')


def spoil(seed, data):
    """Some of it replaced, left out, doubled, moved, or with something between"""
    data = bytearray(data)
    for _ in range(seed.choice((1, 1, 2, 5, 40))):
        at, size = seed.randrange(len(data) + 1), seed.choice((1, 2, 8, 60))
        way = seed.randrange(5)
        if way == 0:
            data[at:at + 1] = seed.randbytes(1)
        elif way == 1:
            del data[at:at + size]
        elif way == 2:
            data[at:at] = data[at:at + size]
        elif way == 3:
            data[at:at + seed.choice((0, size))] = seed.choice(SPICES)
        else:
            other = seed.randrange(len(data) + 1)
            data[other:other] = data[at:at + size]
    return bytes(data)


class Fuzz:
    def __init__(self, folder, guests):
        self.folder, self.guests = folder, guests
        self.emulator = folder / 'emulator'
        self.emulator.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n', encoding='utf-8')
        self.emulator.chmod(0o755)
        self.seed = random.Random(20071031)
        self.taken = self.refused = 0
        self.wrong = []

    def check_script(self, text, root):
        """The shell gives the emulator what was meant, and does nothing else"""
        script = self.folder / 'run.sh'
        script.write_text(text, encoding='utf-8')
        said = subprocess.run(['sh', script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              encoding='utf-8', check=True).stdout
        words = said.split('\0')
        if words[words.index('-name') + 1] != f'guest={root.find("name").text}'.replace(',', ',,'):
            raise ValueError(f'a name that the shell has changed: {words}')
        if not all(re.match(r'-\w', words[at]) or re.match(r'-\w', words[at - 1]) for at in range(1, len(words) - 1)):
            raise ValueError(f'a word that the shell has split: {words}')
        discs = {source.get('file') for source in root.iter('source') if source.get('file').startswith(str(self.folder))}
        if any(f'file={disc},'.replace(',', ',,')[:-1] not in said for disc in discs):
            raise ValueError(f'a file that the shell has changed: {words}')

    def inputs(self):
        """Yield names, and the bytes of a .vmx"""
        for round_ in range(ROUNDS):
            yield f'a guest, spoiled ({round_})', spoil(self.seed, self.seed.choice(self.guests))
        for round_ in range(ROUNDS // 10):
            yield f'random bytes ({round_})', self.seed.randbytes(self.seed.randrange(2000))
        for key in (b'displayName', b'memsize', b'ide0:0.fileName', b'x' * 500000, b'guestOS', b'ethernet0.address'):
            yield 'a long line', b'config.version = "8"\nide0:0.present = "TRUE"\n' + key + b' = "' + b'a' * 900000 + b'"\n'
        for text in (b'=' * 900000, b'\n' * 900000, b'"' * 900000, b'a=b\n' * 250000, b'|22' * 300000,
                     b'ethernet0.present="1"\n' * 40000, ''.join(f'k{n}="1"\n' for n in range(90000)).encode()):
            yield 'many of something', b'config.version = "8"\n' + text

    def one(self, name, content):
        """Import it without writing anything"""
        path = self.folder / 'guest.vmx'
        path.write_bytes(content)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                import_guest(['--dry-run', '--output', '/nonexistent/machine', '--emulator', str(self.emulator), str(path)])
            text = out.getvalue()
            root = ET.fromstring(text[text.index('<domain'):text.index('</domain>') + 9])
            self.check_script(text[text.index('#!/bin/sh\n# A guest'):], root)
            if any(not char.isprintable() and char != '\n' for char in text):
                raise ValueError('something that no terminal can show')
            self.taken += 1
        except Refused as error:
            self.refused += 1
            if not str(error).isprintable() or len(str(error)) > 1000:
                self.wrong.append((name, content, f'said {str(error)[:1000]!r}'))
        except BaseException:       # pylint: disable=broad-except
            self.wrong.append((name, content, traceback.format_exc()))

    def whole(self, name):
        """Import the guest whose disk is spoiled, by qemu-img, too; if it is refused, nothing is left"""
        machine = self.folder / 'machine'
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                import_guest(['--output', str(machine), str(self.folder / 'guest.vmx')])
            shutil.rmtree(machine)
        except Refused as error:
            if not str(error).isprintable() or machine.exists():
                self.wrong.append((name, b'', f'{error}, and left: {machine.exists()}'))
        except BaseException:       # pylint: disable=broad-except
            self.wrong.append((name, b'', traceback.format_exc()))

    def spoil_disks(self):
        """Yield names, after some bytes of a disk's first 64 KiB, or of its descriptor, are others"""
        for kind in KINDS:
            for file in self.folder.glob('*.vmdk'):
                file.unlink()
            disks.make_disk(self.folder, f'guest.vmdk {kind}')
            disk = self.folder / 'guest.vmdk'
            whole = disk.read_bytes()
            for round_ in range(ROUNDS // 10):
                disk.write_bytes(spoil(self.seed, whole[:65536]) + whole[65536:])
                yield f'a disk, {kind}, spoiled ({round_})'


def check_command(tap, top, folder):
    """The command itself: one line and status 1"""
    def refused(what, path):
        done = subprocess.run([top / 'vmi', 'import', path], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                              encoding='utf-8', check=False)
        tap.fact(done.returncode == 1 and not done.stdout and done.stderr.startswith('vmi import: ') and
                 done.stderr.count('\n') == 1, f'{what}: refused in one line', done.stderr.strip()[:200])

    # As in a folder from anybody, which is the current directory
    for module in 'argparse', 'json', 'vmi_import':
        (folder / f'{module}.py').write_text('import sys\nsys.exit("this has run")\n', encoding='utf-8')
    (folder / 'empty.vmx').touch()
    (folder / 'random.vmx').write_bytes(random.Random(1).randbytes(4096))
    (folder / 'long.vmx').write_bytes(b'a' * (2 << 20))
    os.mkfifo(folder / 'pipe.vmx')
    for what, path in (('an empty file', 'empty.vmx'), ('random bytes', 'random.vmx'), ('two megabytes', 'long.vmx'),
                       ('a pipe', 'pipe.vmx'), ('a directory', '.'), ('a device', '/dev/zero'), ('no file', 'none.vmx'),
                       ('a name that is too long', 'a' * 300), ('a name with a line end', 'a\nb\x1b[2J')):
        refused(what, path)
    (folder / 'guest.vmx').write_text('config.version = "8"\n', encoding='utf-8')
    done = subprocess.run([top / 'vmi', 'import', '--output', 'a\nb', 'guest.vmx'], cwd=folder, capture_output=True,
                          encoding='utf-8', check=False)
    tap.fact(done.returncode == 1 and 'cannot have' in done.stderr and done.stderr.count('\n') == 1,
             'a directory with a line end in its name: refused in one line', done.stderr.strip()[:200])
    with subprocess.Popen([top / 'vmi', 'import', '--dry-run', 'guest.vmx'], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding='utf-8') as process:
        process.stdout.close()
        said = process.stderr.read()
    tap.fact(not said, 'if nobody reads what is printed, nothing is said about it', said[:200])


def main():
    top = pathlib.Path(sys.argv[1]).absolute()
    if not shutil.which('qemu-img'):
        print('1..0 # SKIP this Debian package is not installed: qemu-utils')
        return
    tap = Tap()
    guests = [path.read_bytes() for path in sorted(pathlib.Path(__file__).with_name('guests').glob('*.vmx'))]
    with tempfile.TemporaryDirectory(prefix='vmi-import-') as name:
        fuzz = Fuzz(pathlib.Path(name), guests)
        for disk in 'disk.vmdk', 'guest.vmdk', 'a.vmdk', 'b.vmdk', 'mail.vmdk':
            disks.make_disk(fuzz.folder, f'{disk} monolithicSparse')
        disks.make_file(fuzz.folder, 'a\'$(x)`x`";x,x.iso', 'ISO')
        for what, content in fuzz.inputs():
            fuzz.one(what, content)
        plain = b'config.version = "8"\nide0:0.present = "TRUE"\nide0:0.fileName = "guest.vmdk"\n'
        taken = fuzz.taken
        for number, what in enumerate(fuzz.spoil_disks()):
            fuzz.one(what, plain)
            if number % WHOLE == 0:
                fuzz.whole(what)
        tap.fact(not fuzz.wrong, 'each input is taken over, or refused in one line',
                 f'{fuzz.taken} taken over, {fuzz.refused} refused')
        for what, content, why in fuzz.wrong[:3]:
            tap.comment([what, repr(content[:2000]), *why.splitlines()])
        tap.fact(taken > ROUNDS // 10 and fuzz.taken > taken and fuzz.refused > ROUNDS // 10,
                 'some are taken over, some refused', f'{fuzz.taken} and {fuzz.refused}')
    with tempfile.TemporaryDirectory(prefix='vmi-import-') as name:
        check_command(tap, top, pathlib.Path(name))
    tap.end()


main()
