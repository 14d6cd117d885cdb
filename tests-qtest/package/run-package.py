#!/usr/bin/python3
"""
Make the Debian package, install it with dpkg, run what it has, and remove it. This happens in a mount namespace,
where all that is written to the system ends up in memory and is gone with it, and where the sources are out of
sight.

usage: run-package.py TOP

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from vmitest.root import as_root
from vmitest.tap import Tap, pass_points

NAME = 'qemu-system-vmi'
# What dpkg writes to
SYSTEM = ('/etc', '/usr', '/var')
# Anybody's, dpkg's own, and what is made anew from all packages that are installed
NOT_OURS = ('/var/tmp/', '/var/lib/dpkg/', '/var/cache/man/', '/var/log/', '/var/cache/ldconfig/', '/etc/ld.so.cache')
EMULATORS = ('qemu-system-vmi-i386', 'qemu-system-vmi-x86_64')
PLACE = re.compile(rf'/usr/(bin/(vmi|qemu-system-vmi)[-\w]*|lib/qemu-vmi/.+|share/doc/{NAME}/.+|share/lintian/.*'
                   r'|share/man/man[17]/(vmi|qemu-system-vmi)[-\w]*\.[17]\.gz)')


def run(*command, timeout=120):
    """Return whether it succeeded, and what it said"""
    process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors='replace', timeout=timeout, check=False)
    return process.returncode == 0, process.stdout.strip()


def fact(tap, result, text):
    """Whether a command succeeded; what it said if it did not"""
    ok, output = result
    tap.fact(ok, text)
    if not ok:
        print('\n'.join(f'# {line}' for line in output.splitlines()[-20:]))
    return output


def files():
    """Files and links of the system"""
    found = set()
    for top in SYSTEM:
        for directory, directories, names in os.walk(top):
            found |= {os.path.join(directory, name) for name in names}
            # Empty directories of ours would be left-overs, too
            found |= {os.path.join(directory, name) for name in directories if 'vmi' in name}
    return {path for path in found if not path.startswith(NOT_OURS)}


def hide_system(directory, top):
    for number, place in enumerate(SYSTEM):
        upper, work = directory / f'upper{number}', directory / f'work{number}'
        upper.mkdir()
        work.mkdir()
        subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o',
                        f'lowerdir={place},upperdir={upper},workdir={work}', place], check=True)
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', top], check=True)


def inside(top, package):
    tap = Tap()
    memory = pathlib.Path(tempfile.mkdtemp())
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', memory], check=True)
    deb = memory / package.name
    deb.write_bytes(package.read_bytes())
    hide_system(memory, top)
    os.chdir('/')

    before = files()
    fact(tap, run('dpkg', '--install', deb), 'dpkg installs it, with what it depends on')
    new = files() - before
    odd = sorted(path for path in new if not PLACE.fullmatch(path) and not path.endswith('vmi'))
    tap.fact(len(new) > 20 and not odd, 'it has files in places of its own only', odd or f'{len(new)} files')
    tap.fact(not top.joinpath('hw-vmi').exists(), 'the sources are out of sight')

    for command in EMULATORS:
        version = fact(tap, run(f'/usr/bin/{command}', '--version'), f'{command} runs')
        tap.fact('qemu-vmi' in version, f'{command} is ours', version.partition('\n')[0])
    output = fact(tap, run('/usr/bin/vmi', 'run'), 'vmi run boots the demo guest')
    tap.fact('Booting paravirtualized kernel on vmi' in output and 'VMI demo guest: all done' in output,
             'the demo guest runs on VMI', output.splitlines()[-1])
    example = f'/usr/share/doc/{NAME}/examples/vmi-esx35.cfg'
    output = fact(tap, run('/usr/bin/vmi', 'run', '--', '-readconfig', example), 'vmi run takes the example')
    tap.fact('VMI demo guest: all done' in output, 'the demo guest runs on VMI with it')
    ok, output = run('/usr/bin/vmi', 'build')
    tap.fact(not ok and 'needs the sources' in output, 'vmi build says that it is for the sources')
    ok, output = run('/usr/bin/vmi', '--help')
    tap.fact(ok and 'usage: vmi run' in output and 'bench' not in output, 'vmi --help is about the installed one')
    guest = memory / 'guest.vmx'
    guest.write_text('config.version = "8"\ndisplayName = "guest"\nvmi.present = "TRUE"\n', encoding='utf-8')
    fact(tap, run('/usr/bin/vmi', 'import', '--output', memory / 'machine', guest), 'vmi import takes a guest over')
    version = fact(tap, run(memory / 'machine/run.sh', '-version'), 'its script runs')
    tap.fact('qemu-vmi' in version, 'with our emulator', version.partition('\n')[0])
    ok, output = run('/usr/bin/vmi', 'import', '--help')
    page = run('zcat', '/usr/share/man/man1/vmi.1.gz')[1].replace('\\', '')
    missing = [word for word in re.findall(r'--\w[\w-]*', output) if word not in page]
    tap.fact(ok and not missing, 'the man page vmi(1) has all options of import', missing)
    ok, output = run('/usr/bin/vmi', '--help')
    top_help = fact(tap, run('/usr/bin/vmi-top', '--help'), 'vmi-top runs')
    for section, name, words in ((1, 'vmi', re.findall(r'--\w[\w-]*', output)),
                                 (1, 'vmi-top', re.findall(r'--\w[\w-]*', top_help)),
                                 (7, 'vmi-pci', ['cycle-frequency'])):
        page = pathlib.Path(f'/usr/share/man/man{section}/{name}.{section}.gz')
        text = run('zcat', page)[1].replace('\\', '')
        missing = [word for word in words if word not in text]
        tap.fact(words and not missing, f'the man page {name}({section}) has all that it should', missing)
    tap.fact(pathlib.Path(f'/usr/share/doc/{NAME}/html/index.html').exists(), 'there are documents')

    fact(tap, run('dpkg', '--purge', NAME), 'dpkg removes it')
    left = files() ^ before
    tap.fact(not left, 'nothing is left', ' '.join(sorted(left)))
    tap.end()


def host_state():
    """What dpkg says of it here, and whether it is there"""
    return run('dpkg-query', '--show', NAME), os.path.exists('/usr/lib/qemu-vmi')


def outside(top):
    command = as_root(['unshare', '--mount', '--propagation', 'private'])
    ok, output = run(*command, 'true') if command else (False, 'sudo would ask for a password')
    if not ok:
        print(f'1..0 # SKIP dpkg needs root, and a mount namespace: {output}')
        return
    tap = Tap()
    state = host_state()
    with tempfile.TemporaryDirectory(prefix='vmi-package-') as directory:
        # dpkg-deb's own variables: a package for a moment need not be small
        os.environ.update(DPKG_DEB_COMPRESSOR_TYPE='gzip', DPKG_DEB_COMPRESSOR_LEVEL='1')
        ok, output = run(str(top / 'scripts/make-package'), directory, timeout=240)
        packages = list(pathlib.Path(directory).glob(f'{NAME}_*_amd64.deb'))
        fact(tap, (ok and len(packages) == 1, output), 'there is a package')
        if packages:
            depends = run('dpkg-deb', '--field', packages[0], 'Depends')[1]
            tap.fact('libc6 (>=' in depends and 'libsdl2' in depends and 'seabios' in depends,
                     'it depends on libraries and firmware', depends)
            process = subprocess.run([*command, sys.executable, __file__, str(top), str(packages[0])],
                                     stdout=subprocess.PIPE, text=True, check=False)
            pass_points(tap, process.stdout)
            tap.fact(re.search(r'^1\.\.\d+$', process.stdout, re.MULTILINE), 'the test comes to its end',
                     f'status {process.returncode}')
    tap.fact(host_state() == state, 'the host is as it was', state[0][1])
    tap.end()


def main():
    top = pathlib.Path(sys.argv[1]).absolute()
    if len(sys.argv) > 2:
        inside(top, pathlib.Path(sys.argv[2]))
    else:
        outside(top)


main()
