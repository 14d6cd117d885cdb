#!/usr/bin/python3
"""
Build QEMU after each patch of the series, as a reviewer or "git bisect" would; then run the qtests that it has, and
make the manual.

usage: run-builds.py TOP SOURCE DIRECTORY

SOURCE has QEMU's source under the tag "pristine". All is done in DIRECTORY, which is emptied before, and afterwards
if nothing has failed. i386-softmmu is what the series is about. x86_64-linux-user has the same processors without
the machine, and so finds what needs one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from vmitest.tap import Tap

CONFIGURE = [
    '--target-list=i386-softmmu,x86_64-linux-user', '--enable-kvm', '--enable-werror',
    # Three of four objects are compiled more than once. "./vmi build" compiles the last state as users do.
    '-Doptimization=0', '--disable-debug-info',
]
BINARIES = ['qemu-system-i386', 'qemu-x86_64']
SUBJECT = re.compile(r'^Subject: (.*(?:\n .*)*)', re.MULTILINE)
# What says why a build failed, rather than that it did
REASON = re.compile(r'.*(\b[Ee]rror\b|ERROR|undefined reference|warning: ).*')
GIT = ['git', '-c', 'user.name=qemu-vmi developers', '-c', 'user.email=qemu-vmi@localhost', '-c', 'core.hooksPath=']


class Builder:
    def __init__(self, tap, top, source, directory):
        self.tap = tap
        self.top = top
        self.source = source
        self.directory = directory
        self.tree = directory / 'source'
        self.build = directory / 'build'
        self.mails = directory / 'mails'

    def logged(self, name, *command, cwd=None, env=None):
        """Run a command; return its last and its first telling line if it fails, else None"""
        log = self.directory / f'{name}.log'
        with open(log, 'a', encoding='utf-8') as file:
            status = subprocess.run([str(word) for word in command], cwd=cwd or self.tree, check=False,
                                    env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=file,
                                    stderr=subprocess.STDOUT).returncode
        if not status:
            return None
        lines = [line for line in log.read_text(encoding='utf-8', errors='replace').splitlines() if line.strip()]
        reason = next(filter(REASON.fullmatch, lines), lines[-1] if lines else f'status {status}')
        return f'{log.name}: {reason.strip()}'

    def step(self, text, *reasons):
        """One fact: none of the steps has failed; they are called until one has"""
        reason = next(filter(None, (step() for step in reasons)), None)
        self.tap.fact(not reason, text, reason or '')
        return not reason

    def prepare(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.build.mkdir(parents=True)
        subprocess.run([self.top / 'scripts/make-series', '--source', self.source, '--output', self.mails],
                       check=True, stdout=subprocess.DEVNULL)
        # Not a work tree, because it lives long, and others may prune those of SOURCE
        subprocess.run([*GIT, 'clone', '--quiet', '--shared', '--no-checkout', self.source, self.tree], check=True)
        subprocess.run([*GIT, 'checkout', '--quiet', '--detach', 'pristine'], cwd=self.tree, check=True)
        shutil.copy(self.top / 'scripts/devices.mak', self.tree / 'configs/devices/i386-softmmu/vmi.mak')

    def configure(self):
        compiler = ['--cc=ccache gcc'] if shutil.which('ccache') else []
        return self.logged('configure', self.top / 'scripts/configure-qemu', self.tree, self.build, *CONFIGURE,
                           *compiler)

    def configure_once(self):
        """Debian's source cannot be configured before the first patch"""
        return None if (self.build / 'build.ninja').exists() else self.configure()

    def apply(self, path):
        reason = self.logged(path.name, *GIT, 'am', '--quiet', path)
        if reason:
            subprocess.run([*GIT, 'am', '--abort'], cwd=self.tree, check=False, capture_output=True)
        return reason

    def patch(self, path):
        mail = path.read_text(encoding='utf-8')
        subject = SUBJECT.search(mail)[1].replace('\n ', ' ')
        self.step(f'{subject}: builds',
                  lambda: self.apply(path),
                  self.configure_once,
                  lambda: self.logged(path.name, 'ninja', '-C', self.build, *BINARIES))

    def qtests(self):
        names = [path.stem for path in sorted((self.tree / 'tests/qtest/vmi').glob('*-test.c'))]
        targets = [f'tests/qtest/{name}' for name in names] + ['pc-bios/vmi/vmi.rom']
        self.step('the qtests build', lambda: self.logged('qtests', 'ninja', '-C', self.build, *targets))
        meson = self.build / 'pyvenv/bin/meson'
        for name in [*names, 'vmstate']:
            self.step(f'{name} passes',
                      lambda name=name: self.logged(f'run-{name}', meson, 'test', '--no-rebuild', '--timeout-multiplier',
                                                    '4', '--print-errorlogs', f'qtest-i386/vmi/{name}',
                                                    cwd=self.build))

    def manual(self):
        """Not a word about documents of ours; what other versions of Sphinx say about QEMU's is not our affair"""
        if subprocess.run(['/usr/bin/python3', '-c', 'import sphinx, sphinx_rtd_theme'], capture_output=True,
                          check=False).returncode:
            self.tap.skip("QEMU's manual", 'no python3-sphinx-rtd-theme here')
            return
        failed = self.logged('manual', '/usr/bin/python3', '-m', 'sphinx', '-q', '-j', 'auto', '-b', 'html',
                             '-d', self.build / 'doctrees', self.tree / 'docs', self.build / 'manual',
                             env={'CONFDIR': '/etc/qemu', 'PYTHONDONTWRITEBYTECODE': '1'})
        text = (self.directory / 'manual.log').read_text(encoding='utf-8', errors='replace')
        ours = [line for line in text.splitlines() if re.search(r'\bvmi\b|vmi[-_]', line)]
        self.tap.fact(not failed and not ours, "QEMU's manual is made, with no warning about VMI's pages",
                      failed or '; '.join(ours))
        pages = ['specs/vmi.html', 'specs/vmi-threats.html', 'system/devices/vmi.html',
                 'system/devices/vmi-debug.html']
        missing = [page for page in pages if not (self.build / 'manual' / page).exists()]
        index = (self.build / 'manual/specs/index.html').read_text(encoding='utf-8') if not failed else ''
        self.tap.fact(not missing and 'href="vmi.html"' in index, "VMI's pages are in the manual",
                      ', '.join(missing))


def main():
    top, source, directory = (pathlib.Path(arg).resolve() for arg in sys.argv[1:])
    tap = Tap()
    builder = Builder(tap, top, source, directory)
    builder.prepare()
    for patch in sorted(builder.mails.glob('*.patch'))[1:]:
        builder.patch(patch)
    builder.qtests()
    builder.manual()
    if not tap.failed:
        shutil.rmtree(directory)
    tap.end()


main()
