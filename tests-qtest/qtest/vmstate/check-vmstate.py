#!/usr/bin/env python3
#
# Compare the migration format of a build with those that guests have been
# saved in: the files vmi-pci-*.json here, each the part of -dump-vmstate that
# is about vmi-pci. QEMU's own checker compares.
#
# It prints TAP itself, because it is part of the series, and QEMU's tree has no
# writer of TAP for a script.
#
# usage: check-vmstate.py --qemu QEMU --checker vmstate-static-checker.py
#
# SPDX-License-Identifier: GPL-2.0-or-later

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

SECTION = 'vmi-pci'


def write_json(content, path):
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(content, file)


def read_json(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


class Checker:
    def __init__(self, script, directory):
        self.script = script
        self.directory = directory
        self.points = 0
        self.failed = 0

    def point(self, ok, text):
        self.points += 1
        self.failed += not ok
        print(f'{"" if ok else "not "}ok {self.points} - {text}')

    def compare(self, old, new):
        """Return the checker's findings, none if a guest can move"""
        result = subprocess.run(
            [sys.executable, self.script, '--src', old, '--dest', new],
            capture_output=True, text=True, check=False)
        output = (result.stdout + result.stderr).splitlines()
        return output or result.returncode

    def accepts(self, old, new):
        found = self.compare(old, new)
        for line in found or []:
            print(f'# {line}')
        self.point(not found, f'this build loads what {os.path.basename(old)} '
                   'describes')

    def notices(self, old, new):
        """Otherwise the facts above say nothing"""
        changed = read_json(new)
        fields = changed[SECTION]['Description']['Fields']
        fields[:] = [f for f in fields if f['field'] != 'rom_linear']
        path = os.path.join(self.directory, 'changed.json')
        write_json(changed, path)
        found = self.compare(old, path)
        self.point(bool(found), f'a field less would be noticed # {found}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--qemu', required=True)
    parser.add_argument('--checker', required=True)
    args = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    recorded = sorted(glob.glob(os.path.join(here, f'{SECTION}-*.json')))

    with tempfile.TemporaryDirectory(prefix='vmi-') as directory:
        whole = os.path.join(directory, 'whole.json')
        new = os.path.join(directory, 'new.json')
        subprocess.run([args.qemu, '-machine', 'pc', '-dump-vmstate', whole],
                       check=True, timeout=60)
        write_json({SECTION: read_json(whole)[SECTION]}, new)
        checker = Checker(args.checker, directory)
        for old in recorded:
            checker.accepts(old, new)
        checker.notices(recorded[-1], new)
    print(f'1..{checker.points}')
    sys.exit(1 if checker.failed else 0)


main()
