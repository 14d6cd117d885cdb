#!/usr/bin/python3
"""
Make the Debian packages and a repository of them; then type what docs/howto/package.rst tells a user to type: install
with apt, run what there is, upgrade, and purge. This happens in a mount namespace, where all that is written to the
system ends up in memory and is gone with it, and where the sources are out of sight.

usage: run-package.py TOP

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from vmitest.commands import commands, missing_output
from vmitest.root import as_root
from vmitest.tap import Tap, pass_points

PACKAGES = ('qemu-system-vmi', 'vmi-tools', 'qemu-vmi-doc')
# What dpkg and apt write to
SYSTEM = ('/etc', '/usr', '/var')
# Anybody's, dpkg's and apt's own, and what is made anew from all packages that are installed
NOT_OURS = ('/var/tmp/', '/var/lib/dpkg/', '/var/lib/apt/', '/var/cache/apt/', '/var/cache/man/', '/var/log/',
            '/var/cache/ldconfig/', '/etc/ld.so.cache')
EMULATORS = ('qemu-system-vmi-i386', 'qemu-system-vmi-x86_64')
PLACE = re.compile(r'/usr/bin/(vmi|qemu-system-vmi)[-\w]*|/usr/lib/qemu-vmi/.+'
                   rf'|/usr/share/doc/({"|".join(PACKAGES)})/.+|(/usr/share|/var/lib)/doc-base/.*qemu-vmi.*'
                   r'|/usr/share/man/man[17]/(vmi|qemu-system-vmi)[-\w]*\.[17]\.gz|/usr/share/qemu/vmi\.rom'
                   r'|/usr/share/bash-completion/completions/vmi|/usr/share/python3/runtime\.d/vmi-tools\.rtupdate'
                   r'|/etc/apparmor\.d/abstractions/libvirt-qemu\.d/qemu-system-vmi')
# Every system that builds Debian packages has these
BUILD_ESSENTIAL = {'dpkg-dev', 'gcc', 'libc6-dev', 'make', 'patch', 'xz-utils'}
DOCUMENT = 'docs/howto/package.rst'
TYPED_HERE = 'a test of its own'
# What the document calls the repository
REPOSITORY = 'build/repository'


def run(*command, timeout=240, **kwargs):
    """Return whether it succeeded, and what it said"""
    process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors='replace', timeout=timeout, check=False, **kwargs)
    return process.returncode == 0, process.stdout.strip()


def fact(tap, result, text):
    """Whether a command succeeded; what it said if it did not"""
    ok, output = result
    tap.fact(ok, text)
    if not ok:
        tap.comment(output.splitlines()[-20:])
    return output


def type_commands(tap, top, repository, wanted):
    """Type the commands of the document that the pattern matches; return what the last one printed"""
    output = ''
    for command in commands(top / DOCUMENT):
        if not (command.not_run or '').startswith(TYPED_HERE) or not wanted.match(command.text):
            continue
        text = ' '.join(command.text.split())
        ok, output = run('bash', '-c', command.text.replace(REPOSITORY, f'"{repository}"'))
        missing = missing_output(command, output)
        tap.fact(ok and not missing, f'{command.place}: {text}', f'not printed: {missing}' if missing else '')
        if not ok or missing:
            tap.comment(output.splitlines()[-20:])
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
    document = (top / DOCUMENT).read_bytes()
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', top], check=True)
    (top / DOCUMENT).parent.mkdir(parents=True)
    (top / DOCUMENT).write_bytes(document)


def prepare_apt(memory):
    """No repository but ours, no questions, and a sudo that works: this is root already"""
    for path in pathlib.Path('/etc/apt/sources.list'), *pathlib.Path('/etc/apt/sources.list.d').iterdir():
        path.unlink(missing_ok=True)
    pathlib.Path('/etc/apt/apt.conf.d/99-test').write_text('APT::Get::Assume-Yes "true";\n', encoding='utf-8')
    sudo = memory / 'bin/sudo'
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\nexec "$@"\n', encoding='utf-8')
    sudo.chmod(0o755)
    os.environ.update(PATH=f'{sudo.parent}:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND='noninteractive',
                      LC_ALL='C.UTF-8')


def install_old(memory):
    """As packages were before these: one with all in it"""
    old = memory / 'old'
    (old / 'DEBIAN').mkdir(parents=True)
    (old / 'DEBIAN/control').write_text('Package: qemu-system-vmi\nVersion: 10.0.13+vmi1\nArchitecture: amd64\n'
                                        'Maintainer: nobody <nobody@qemu-vmi.invalid>\nDescription: old\n',
                                        encoding='utf-8')
    for name in ('usr/bin/vmi', 'usr/bin/vmi-top', 'usr/lib/qemu-vmi/vmi', 'usr/lib/qemu-vmi/bin/qemu-system-i386'):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).touch()
    run('dpkg-deb', '--build', old, memory / 'old.deb')
    return run('dpkg', '--install', memory / 'old.deb')


def installed_versions():
    output = run('dpkg-query', '--show', '--showformat', '${db:Status-Status} ${Version}\n', *PACKAGES)[1]
    return {line.partition(' ')[2] for line in output.splitlines() if line.startswith('installed ')}


def look_at_installed(tap, memory):
    for command in EMULATORS:
        version = fact(tap, run(f'/usr/bin/{command}', '--version'), f'{command} runs')
        tap.fact('qemu-vmi' in version, f'{command} is ours', version.partition('\n')[0])
    ok, output = run('/usr/bin/vmi', 'build')
    tap.fact(not ok and 'needs the sources' in output, 'vmi build says that it is for the sources')
    ok, output = run('/usr/bin/vmi', '--help')
    tap.fact(ok and 'vmi run' in output and 'vmi build' not in output, 'vmi --help is about the installed one')
    guest = memory / 'guest.vmx'
    guest.write_text('config.version = "8"\ndisplayName = "guest"\nvmi.present = "TRUE"\n', encoding='utf-8')
    fact(tap, run('/usr/bin/vmi', 'import', '--output', memory / 'machine', guest), 'vmi import takes a guest over')
    version = fact(tap, run(memory / 'machine/run.sh', '-version'), 'its script runs')
    tap.fact('qemu-vmi' in version, 'with our emulator', version.partition('\n')[0])
    helps = ''.join(fact(tap, run('/usr/bin/vmi', name, '--help'), f'vmi {name} has a help')
                    for name in ('run', 'import', 'bench'))
    top_help = fact(tap, run('/usr/bin/vmi-top', '--help'), 'vmi-top runs')
    for section, name, words in ((1, 'vmi', re.findall(r'--\w[\w-]*', helps)),
                                 (1, 'vmi-top', re.findall(r'--\w[\w-]*', top_help)),
                                 (1, 'qemu-system-vmi-i386', ['-device vmi-pci']),
                                 (1, 'qemu-system-vmi-x86_64', ['-device vmi-pci']),
                                 (7, 'vmi-pci', ['cycle-frequency'])):
        page = pathlib.Path(f'/usr/share/man/man{section}/{name}.{section}.gz')
        text = run('zcat', page)[1].replace('\\', '')
        missing = [word for word in words if word not in text]
        tap.fact(words and not missing, f'the man page {name}({section}) has all that it should', ' '.join(missing))
    tap.fact(pathlib.Path('/usr/share/doc/qemu-vmi-doc/html/index.html').exists(), 'there are documents')
    completion = '/usr/share/bash-completion/completions/vmi'
    offered = run('bash', '-c', f'. {completion}; COMP_WORDS=(vmi "") COMP_CWORD=1; _vmi vmi; echo "${{COMPREPLY[@]}}"')
    tap.fact(set(offered[1].split()) == {'run', 'import', 'bench', '--help', '--version'}, 'the shell completes its commands',
             offered[1])
    # What autopkgtest would run on a machine of its own
    for script in sorted((memory / 'tests').iterdir()):
        if os.access(script, os.X_OK):
            temporary = memory / f'{script.name}-tmp'
            temporary.mkdir()
            fact(tap, run(script, env={**os.environ, 'AUTOPKGTEST_TMP': str(temporary)}),
                 f'debian/tests/{script.name} passes')


def inside(top, repository):
    tap = Tap()
    memory = pathlib.Path(tempfile.mkdtemp())
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', memory], check=True)
    shutil.copytree(top / 'debian/tests', memory / 'tests')
    hide_system(memory, top)
    prepare_apt(memory)
    os.chdir('/')
    tap.fact(not top.joinpath('hw-vmi').exists(), 'the sources are out of sight')

    before = files()
    fact(tap, install_old(memory), 'an older package with all in it is installed')
    type_commands(tap, top, repository, re.compile(r'sudo (cp|apt-get update|apt-get install)'))
    first = installed_versions()
    tap.fact(len(first) == 1, 'all packages are installed, in one version', ' '.join(first))
    new = files() - before - {'/etc/apt/sources.list.d/qemu-vmi.sources'}
    odd = sorted(path for path in new if not PLACE.fullmatch(path) and not path.endswith(('vmi', 'vmi-doc', 'vmi-tools')))
    tap.fact(len(new) > 20 and not odd, 'they have files in places of their own only',
             ' '.join(odd) or f'{len(new)} files')
    type_commands(tap, top, repository, re.compile('vmi run'))
    look_at_installed(tap, memory)

    os.rename(repository, f'{repository}.first')
    os.rename(f'{repository}.newer', repository)
    packages = repository / 'dists' / os.listdir(repository / 'dists')[0] / 'main/binary-amd64/Packages.xz'
    good = packages.read_bytes()
    packages.write_bytes(good[:-1] + b'!')
    ok, output = run('apt-get', 'update')
    tap.fact(not ok, 'apt refuses a list that is not what was signed', output.splitlines()[-1] if output else '')
    packages.write_bytes(good)
    type_commands(tap, top, repository, re.compile('sudo apt-get (update|upgrade)'))
    second = installed_versions()
    tap.fact(len(second) == 1 and second != first, 'all packages are upgraded', ' '.join(second))
    type_commands(tap, top, repository, re.compile('vmi run'))

    type_commands(tap, top, repository, re.compile('sudo (apt-get purge|rm)'))
    left = files() ^ before
    tap.fact(not left, 'nothing is left', ' '.join(sorted(left)))
    tap.end()


def host_state():
    """What dpkg says of them here, and whether they are there"""
    return run('dpkg-query', '--show', *PACKAGES), os.path.exists('/usr/lib/qemu-vmi')


def names_of(text):
    return {re.sub('[^-a-z0-9.+].*', '', name) for name in re.split(r'[\s,]+', text)} - {''}


def check_build_depends(tap, top):
    """debian/control and scripts/debian.sh both say what a build needs"""
    lists = dict(re.findall(r"^(\w+_packages)='([^']*)'", (top / 'scripts/debian.sh').read_text(encoding='utf-8'),
                            re.MULTILINE))
    control = (top / 'debian/control').read_text(encoding='utf-8')
    depends = names_of(re.search(r'^Build-Depends:\n((?: .*\n)*)', control, re.MULTILINE)[1])
    missing = names_of(lists['build_packages'] + ' ' + lists['new_packages']) - BUILD_ESSENTIAL - depends
    tap.fact(not missing, 'debian/control asks for all that ./vmi build would install', ' '.join(sorted(missing)))


def raise_version(packages, directory):
    """Packages as those of the next version"""
    directory.mkdir()
    for number, package in enumerate(packages):
        tree = directory / str(number)
        subprocess.run(['dpkg-deb', '--raw-extract', package, tree], check=True)
        control = tree / 'DEBIAN/control'
        text = control.read_text(encoding='utf-8')
        version = re.search('^Version: (.*)$', text, re.MULTILINE)[1]
        control.write_text(text.replace(version, f'{version}+next'), encoding='utf-8')
        subprocess.run(['dpkg-deb', '--root-owner-group', '--build', tree, directory], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)


def check_own_key(tap, top, directory, suite):
    """A key of the user's signs, and no other one is made"""
    home = directory / 'gnupg'
    home.mkdir(mode=0o700)
    env = {**os.environ, 'GNUPGHOME': str(home)}
    run('gpg', '--batch', '--passphrase', '', '--quick-generate-key', 'me <me@qemu-vmi.invalid>', 'ed25519', 'sign', env=env)
    repository = directory / 'own key'
    fact(tap, run(top / 'scripts/make-repository', '--suite', suite, '--key-directory', directory / 'no-key',
                  '--key', 'me@qemu-vmi.invalid', repository, directory / 'next', env=env),
         'a repository can be signed with a key of one\'s own')
    ok, output = run('gpg', '--verify', repository / 'dists' / suite / 'InRelease', env=env)
    tap.fact(ok and 'me@qemu-vmi.invalid' in output and not (directory / 'no-key').exists(), 'and is signed with that')
    run('gpgconf', '--kill', 'gpg-agent', env=env)


def outside(top):
    command = as_root(['unshare', '--mount', '--propagation', 'private'])
    ok, output = run(*command, 'true') if command else (False, 'sudo would ask for a password')
    if not ok:
        print(f'1..0 # SKIP dpkg needs root, and a mount namespace: {output}')
        return
    tap = Tap()
    state = host_state()
    check_build_depends(tap, top)
    # Packages for a moment need not be small
    os.environ.update(DPKG_DEB_COMPRESSOR_TYPE='gzip', DPKG_DEB_COMPRESSOR_LEVEL='1', DEB_BUILD_OPTIONS='noautodbgsym')
    with tempfile.TemporaryDirectory(prefix='vmi package ') as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        repository = directory / 'repository'
        os.chdir(top)
        type_commands(tap, top, repository, re.compile('./vmi package --repo'))
        packages = list(repository.glob('pool/*/*.deb'))
        tap.fact(len(packages) == len(PACKAGES), 'there are packages in the repository', str(len(packages)))
        if len(packages) == len(PACKAGES):
            # lintian finds nothing where a directory has letters beyond ASCII
            shutil.copytree(top / 'build/package', directory / 'lint')
            changes, = (directory / 'lint').glob('*_amd64.changes')
            lint = run('lintian', '--allow-root', '--fail-on', 'error,warning', changes)
            fact(tap, lint, 'lintian has nothing to say of them')
            emulators, = repository.glob('pool/*/qemu-system-vmi_*.deb')
            depends = run('dpkg-deb', '--field', emulators, 'Depends')[1]
            tap.fact('libc6 (>=' in depends and 'libsdl2' in depends and 'seabios' in depends,
                     'QEMU depends on libraries and firmware', depends)
            shutil.copytree(repository, f'{repository}.newer')
            raise_version(packages, directory / 'next')
            suite, = os.listdir(repository / 'dists')
            fact(tap, run(top / 'scripts/make-repository', '--suite', suite, '--key-directory',
                          top / 'build/repository-key', f'{repository}.newer', directory / 'next'),
                 'the next version gets into the repository')
            check_own_key(tap, top, directory, suite)
            process = subprocess.run([*command, sys.executable, __file__, str(top), str(repository)],
                                     stdout=subprocess.PIPE, text=True, check=False)
            pass_points(tap, process.stdout)
            tap.fact(re.search(r'^1\.\.\d+$', process.stdout, re.MULTILINE), 'the test comes to its end',
                     f'status {process.returncode}')
        # Root has renamed what is in there
        subprocess.run([*command[:-4], 'rm', '-rf', *directory.iterdir()], check=True)
    tap.fact(host_state() == state, 'the host is as it was', state[0][1].replace('\n', '; '))
    tap.end()


def main():
    top = pathlib.Path(sys.argv[1]).absolute()
    if len(sys.argv) > 2:
        inside(top, pathlib.Path(sys.argv[2]))
    else:
        outside(top)


main()
