#!/usr/bin/python3
"""
Test that ./vmi run --accel kvm looks at KVM first and says what is wrong. It is a copy of ./vmi with stand-ins for
the build, the probe, QEMU and /dev/kvm; and the true probe must know when there is no KVM at all.

usage: detection.py VMI PROBE

SPDX-License-Identifier: GPL-2.0-or-later
"""

import pathlib
import subprocess
import sys
import tempfile

from vmitest.tap import Tap

VMI, PROBE = sys.argv[1:]
REASON = 'KVM cannot run 32-bit guests here: made up'


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(top, accel='kvm'):
    return subprocess.run([top / 'vmi', 'run', '--accel', accel, '--kernel', top / 'vmi'], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def said(result):
    return f'status {result.returncode}: {(result.stdout + result.stderr).splitlines()}'


def test_run(tap, top):
    text = pathlib.Path(VMI).read_text(encoding='utf-8')
    dispatch = "[ $# -gt 0 ] || usage_error 'no command'\n"
    assert dispatch in text and '/dev/kvm' in text
    write(top / 'vmi', text.replace(dispatch, 'build_demo() { :; }\n' + dispatch).replace('/dev/kvm', f'{top}/kvm'))
    # What tells a tree of sources from an installed vmi, and what that one needs
    (top / 'hw-vmi').mkdir()
    (top / 'scripts').symlink_to(pathlib.Path(VMI).parent / 'scripts')
    write(top / 'build/bin/qemu-system-i386', '#!/bin/sh\necho "QEMU with $*"\n')

    result = run(top)
    tap.fact(result.returncode == 1 and f'vmi: no {top}/kvm here' in result.stderr and
             'use --accel tcg' in result.stderr and not result.stdout,
             'without /dev/kvm, ./vmi run --accel kvm says so and what to do', said(result))

    write(top / 'kvm', '')
    write(top / 'build/project/kvm-probe', f'#!/bin/sh\necho "{REASON}"\nexit 1\n')
    result = run(top)
    tap.fact(result.returncode == 1 and result.stderr == f'vmi: {REASON}; use --accel tcg\n' and
             'QEMU with' not in result.stdout,
             'with a KVM that cannot run 32-bit guests, it gives the reason in one line and does not start QEMU',
             said(result))
    result = run(top, 'tcg')
    tap.fact(result.returncode == 0 and ' -accel tcg ' in result.stdout, 'with --accel tcg, it does not ask',
             said(result))

    write(top / 'build/project/kvm-probe', '#!/bin/sh\nexit 0\n')
    result = run(top)
    tap.fact(result.returncode == 0 and ' -accel kvm ' in result.stdout and '-device vmi-pci' in result.stdout,
             'with a KVM that can, it starts QEMU', said(result))


def test_probe(tap):
    result = subprocess.run([PROBE], capture_output=True, text=True, check=False)
    able = 'KVM runs 32-bit guests here: ' if result.returncode == 0 else 'KVM cannot run 32-bit guests here: '
    tap.fact(result.returncode in (0, 1) and result.stdout.startswith(able) and result.stdout.count('\n') == 1,
             'kvm-probe says in one line whether KVM runs 32-bit guests here', said(result))


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        test_run(tap, pathlib.Path(directory))
    test_probe(tap)
    tap.end()


main()
