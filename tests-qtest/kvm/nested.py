"""A Linux with kvm-amd under TCG, in which commands run QEMU with KVM.

The machine is an EPYC of TCG, the kernel Debian's. Its initial RAM disk has QEMU, the libraries and firmware that
QEMU needs, the guests, and a list of commands. It reports on its second serial line. If it stands still, it is ended,
and says where it stood.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import base64
import copy
import io
import lzma
import pathlib
import py_compile
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time

from vmitest.machine import QMP, MachineError

MODULES = ['kvm-amd']
CLOCK_SOURCE = '/sys/devices/system/clocksource/clocksource0/current_clocksource'
FIRMWARE = ['bios-256k.bin', 'vgabios-stdvga.bin', 'kvmvapic.bin', 'linuxboot.bin', 'linuxboot_dma.bin',
            'multiboot.bin', 'multiboot_dma.bin']

# Seconds that a machine has to boot, and for each command above its time limit
BOOT = 60
MARGIN = 15

# Asked of a machine that stands still, with a second in between; NMI makes Linux say where it is
QUESTIONS = ['info status', 'info registers -a', 'info registers -a', 'info pic', 'info lapic', 'nmi', 'info registers -a']

INIT = '''#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
{modules}
exec >/dev/ttyS1
stty raw -echo <&1
while read -r name limit command; do
    # Not straight to the serial line, because QEMU writes each byte alone
    timeout -s KILL $limit sh -c "$command" </dev/null >/tmp/output 2>&1
    status=$?
    echo "=== begin $name"
    cat /tmp/output
    echo "=== end $name $status"
done </commands
poweroff -f
'''


class Archive:
    """An initial RAM disk: cpio, format newc"""

    def __init__(self):
        self.data = bytearray()
        self.names = set()
        self.number = 0

    def _entry(self, name, mode, content=b''):
        self.number += 1
        encoded = name.encode() + b'\0'
        fields = [self.number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        self.data += b'070701' + b''.join(b'%08x' % field for field in fields) + encoded
        self.data += bytes(-len(self.data) % 4)
        self.data += content
        self.data += bytes(-len(self.data) % 4)

    def directory(self, name):
        if name and name not in self.names:
            self.directory(name.rpartition('/')[0])
            self.names.add(name)
            self._entry(name, 0o040755)

    def file(self, name, content):
        name = name.strip('/')
        if name not in self.names:
            self.directory(name.rpartition('/')[0])
            self.names.add(name)
            self._entry(name, 0o100755, content)

    def link(self, name, target):
        self.directory(name.rpartition('/')[0])
        self._entry(name, 0o120777, target.encode())

    def end(self):
        self._entry('TRAILER!!!', 0)
        return bytes(self.data)


def find(directory, *names):
    """A file of one of these names. Debian moves files from release to release: /bin became /usr/bin."""
    for name in names:
        for path in sorted(pathlib.Path(directory).rglob(name)):
            if path.is_file():
                return path
    raise FileNotFoundError(f'{directory} has no {" or ".join(names)}')


def read_module(path):
    """A kernel module as insmod of busybox takes it; Debian 13 compresses them"""
    return lzma.decompress(path.read_bytes()) if path.suffix == '.xz' else path.read_bytes()


def module_order(directory, names):
    """The modules that these need, and they, by file name, in the order to load them"""
    order = {}
    for name in names:
        path = find(directory, f'{name}.ko', f'{name}.ko.xz')
        module = read_module(path)
        depends = re.search(rb'\0depends=([^\0]*)\0', module)[1].decode()
        # A module's name has underscores where its file may have dashes
        order |= module_order(directory, [need.replace('_', '[-_]') for need in depends.split(',') if need])
        order[path.name.removesuffix('.xz')] = module
    return order


def libraries(program):
    output = subprocess.run(['ldd', program], check=True, capture_output=True, text=True).stdout
    return re.findall(r'(/\S+) \(', output)


def firmware(name):
    for directory in ('/usr/share/seabios', '/usr/share/qemu'):
        path = pathlib.Path(directory, name)
        if path.exists():
            return path
    raise FileNotFoundError(name)


def ask(path, questions):
    """What a machine's monitor answers to human commands"""
    answers = ''
    try:
        qmp = QMP(path)
        qmp.monitor.settimeout(10)
        for question in questions:
            answers += f'(qemu) {question}\n'
            answers += re.sub(r'(FPR|YMM|XMM).*\n', '', qmp.hmp(question).replace('\r', ''))
            time.sleep(1)
        qmp.close()
    except (MachineError, *QMP.ERRORS) as error:
        answers += f'no answer: {error!r}\n'
    return answers


def changed(change, undo, command):
    """A command that runs with something of the machine changed, and undone afterwards"""
    return ['sh', '-c', f'{change}; "$@"; status=$?; {undo}; exit $status', 'sh', *command]


def with_shadow_paging(command):
    remove, insert = f'rmmod {MODULES[-1]}', f'insmod /modules/{MODULES[-1]}.ko'
    return changed(f'{remove}; {insert} npt=0', f'{remove}; {insert}', command)


def with_bad_tsc(command):
    """Linux does not use the TSC, so KVM does not vouch for it"""
    return changed(f'echo acpi_pm >{CLOCK_SOURCE}', f'echo tsc >{CLOCK_SOURCE}', command)


def read_back(directory):
    """A command that prints what is in a directory, for unpack()"""
    return ['sh', '-c', f'tar -c -C {directory} . | gzip | base64']


def unpack(output, directory):
    """All files end up in the directory itself"""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(output))) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            (directory / pathlib.PurePath(member.name).name).write_bytes(archive.extractfile(member).read())


class Nested:
    def __init__(self, *, qemu, emulator, rom, packages):
        """Where QEMU for the machine is, QEMU for its guests, their ROM, and the unpacked Debian packages"""
        self.qemu = qemu
        self.packages = packages
        self.log = ''
        self.archive = Archive()
        for name in ('proc', 'sys', 'dev', 'tmp'):
            self.archive.directory(name)
        self.archive.file('bin/busybox', find(packages, 'bin/busybox').read_bytes())
        for name in 'sh mount insmod stty timeout poweroff cat rmmod env tar gzip base64'.split():
            self.archive.link(f'bin/{name}', 'busybox')
        self.modules = module_order(packages, MODULES)
        for name, module in self.modules.items():
            self.archive.file(f'modules/{name}', module)
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(['strip', '-o', stripped.name, emulator], check=True)
            self.archive.file('bin/qemu', pathlib.Path(stripped.name).read_bytes())
        for path in libraries(emulator):
            self.archive.file(path, pathlib.Path(path).read_bytes())
        self.archive.file('firmware/vmi.rom', pathlib.Path(rom).read_bytes())
        for name in FIRMWARE:
            self.archive.file(f'firmware/{name}', firmware(name).read_bytes())

    def add(self, path):
        """Put a guest's file there; return its name"""
        name = f'/guests/{pathlib.Path(path).name}'
        self.archive.file(name, pathlib.Path(path).read_bytes())
        return name

    def add_python(self, script):
        """Put a script, Python, and all modules that are loaded here there, each where it is here"""
        self.archive.file(script, pathlib.Path(script).read_bytes())
        program = str(pathlib.Path(sys.executable).resolve())
        if program.strip('/') in self.archive.names:
            return
        paths = {getattr(module, '__file__', None) for module in list(sys.modules.values())} - {None}
        with tempfile.NamedTemporaryFile() as compiled:
            for path in paths:
                if path.endswith('.py'):
                    # In place of the source, because it takes long to translate there
                    py_compile.compile(path, compiled.name, doraise=True)
                    self.archive.file(f'{path}c', pathlib.Path(compiled.name).read_bytes())
                else:
                    self.archive.file(path, pathlib.Path(path).read_bytes())
        for path in [program, *(path for path in paths if not path.endswith('.py'))]:
            for library in libraries(path):
                self.archive.file(library, pathlib.Path(library).read_bytes())
        self.archive.file(program, pathlib.Path(program).read_bytes())

    def run(self, commands, timeout, directory, monitor):
        """Run (name, time limit, command) and yield (name, status, output) of each as it ends

        The third serial line goes to the Unix socket "monitor".
        A machine ends after "timeout" seconds, or if a command does not end though its time is over.
        A command that was still running, or had not begun, when the machine ended is not reported.
        """
        insmod = '\n'.join(f'insmod /modules/{name}' for name in self.modules)
        archive = copy.deepcopy(self.archive)
        archive.file('init', INIT.format(modules=insmod).encode())
        archive.file('commands', ''.join(
            f'{name} {limit:g} {shlex.join(command)}\n' for name, limit, command in commands).encode())
        initrd = pathlib.Path(directory, 'initrd')
        initrd.write_bytes(archive.end())
        console = pathlib.Path(directory, 'console')
        report = pathlib.Path(directory, 'report')
        report.write_bytes(b'')
        kernel = find(self.packages, 'boot/vmlinuz-*')
        command = [self.qemu, '-nodefaults', '-display', 'none', '-no-reboot', '-machine', 'q35', '-accel', 'tcg',
                   '-cpu', 'EPYC', '-m', '1G', '-kernel', kernel, '-initrd', initrd,
                   '-append', 'console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check '
                   'unknown_nmi_panic rdinit=/init',
                   '-qmp', f'unix:{directory}/qmp,server=on,wait=off',
                   '-serial', f'file:{console}', '-serial', f'file:{report}', '-serial', f'unix:{monitor}']
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            try:
                yield from self._follow(process, report, [limit for _, limit, _ in commands],
                                        time.monotonic() + timeout)
                self.log = '' if process.poll() is not None else ask(f'{directory}/qmp', QUESTIONS)
            finally:
                process.kill()
                self.log += process.stdout.read().decode(errors='replace') + console.read_text(errors='replace')

    @staticmethod
    def _follow(process, report, limits, end):
        ended = re.compile(rb'=== begin (\S+)\n(.*?)=== end \1 (\d+)\n', re.DOTALL)
        position = 0
        running = True
        limits = limits + [0]                   # to power off
        due = time.monotonic() + BOOT + limits.pop(0) + MARGIN
        while running:
            running = process.poll() is None and time.monotonic() < min(due, end)
            for match in ended.finditer(report.read_bytes(), position):
                position = match.end()
                due = time.monotonic() + limits.pop(0) + MARGIN
                yield match[1].decode(), int(match[3]), match[2].decode(errors='replace').replace('\r', '')
            time.sleep(0.2)
