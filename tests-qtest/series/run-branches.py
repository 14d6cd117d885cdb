#!/usr/bin/python3
"""
Compare the patches for another version of QEMU with those for QEMU 10.0, by "git range-diff", and see that they differ
where docs/howto/upstream.rst says so, in as many lines: a change that went into one of them only is noticed.

usage: run-branches.py TOP SOURCE OTHER-SOURCE VERSION

Each source is a git repository with QEMU's own source under the tag "pristine".

SPDX-License-Identifier: GPL-2.0-or-later
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from vmitest.tap import Tap

GIT = ['git', '-c', 'user.name=qemu-vmi developers', '-c', 'user.email=qemu-vmi@localhost', '-c', 'core.hooksPath=']
# What range-diff says of a pair: number and commit in each branch, with a mark in between
PAIR = re.compile(r' *(\d+|-): +\S+ ([=!<>]) +(\d+|-): +\S+ (.*)')
# In the difference of two patches: a line that only one of them adds or removes
CHANGED = re.compile(r' {4}[-+][-+](?![-+]{2} )')
ROW = re.compile(r'   \* - (\d{4})\n     - (none|\d+)\n', re.MULTILINE)


def git(directory, *args, **kwargs):
    return subprocess.run([*GIT, *map(str, args)], cwd=directory, check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs).stdout


def listed(directory):
    lines = (directory / 'series').read_text(encoding='utf-8').splitlines()
    return [directory / name for name in filter(None, (line.partition('#')[0].strip() for line in lines))]


def number(patch):
    return patch.name[:4]


def make_branch(repository, name, source, patches):
    """The patches on the files that they change, alone, as QEMU has them"""
    named = {line.split(' b/', 1)[1].strip() for patch in patches
             for line in patch.read_text(encoding='utf-8').splitlines() if line.startswith('diff --git a/')}
    there = git(source, 'ls-tree', '-r', '--name-only', 'pristine', '--', *sorted(named)).split()
    git(repository, 'checkout', '--quiet', '--orphan', name)
    git(repository, 'read-tree', '--empty')
    with subprocess.Popen([*GIT, 'archive', 'pristine', *there], cwd=source, stdout=subprocess.PIPE) as archive:
        subprocess.run(['tar', '-x', '-C', repository], stdin=archive.stdout, check=True)
    git(repository, 'add', '--force', '--', *there)
    git(repository, 'commit', '--quiet', '-m', 'pristine')
    git(repository, 'clean', '--quiet', '--force', '-d', '-x')
    git(repository, 'tag', f'{name}-pristine')
    for patch in patches:
        git(repository, 'am', '--quiet', *(['-C1'] if '..' in patch.parts else []), patch)


def compare(repository, ours, theirs):
    """By the number of a patch for 10.0: how many lines differ, None without a counterpart"""
    text = git(repository, 'range-diff', '--no-color', '--creation-factor=99', 'ours-pristine..ours',
               'theirs-pristine..theirs')
    found, extra, current = {}, [], None
    for line in text.splitlines():
        pair = PAIR.fullmatch(line)
        if pair:
            current = number(ours[int(pair[1]) - 1]) if pair[1] != '-' else None
            if current:
                found[current] = 0 if pair[3] != '-' else None
            else:
                extra.append(number(theirs[int(pair[3]) - 1]))
        elif current and CHANGED.match(line):
            found[current] += 1
    return found, extra


def main():
    top, source, other, version = sys.argv[1:]
    top, other = pathlib.Path(top), pathlib.Path(other)
    if not other.is_dir():
        print(f"1..0 # SKIP Debian's archive has no source of QEMU {version}")
        return
    tap = Tap()
    ours, theirs = listed(top / 'patches-upstream'), listed(top / f'patches-upstream/qemu-{version}')
    with tempfile.TemporaryDirectory(prefix='vmi-') as repository:
        git(repository, '-c', 'init.defaultBranch=main', 'init', '--quiet')
        make_branch(repository, 'ours', source, ours)
        make_branch(repository, 'theirs', other, theirs)
        found, extra = compare(repository, ours, theirs)
    document = (top / 'docs/howto/upstream.rst').read_text(encoding='utf-8')
    intended = {match[1]: None if match[2] == 'none' else int(match[2]) for match in ROW.finditer(document)}
    tap.fact(not extra, f'each patch for QEMU {version} is one for QEMU 10.0, too', ', '.join(extra))
    for name, lines in sorted(found.items()):
        if name in intended:
            tap.fact(lines == intended[name], f'{name} differs as docs/howto/upstream.rst says',
                     f'{lines} lines, intended {intended[name]}')
        else:
            tap.fact(lines == 0, f'{name} changes the same lines', f'{lines} differ')
    tap.fact(intended.keys() <= found.keys(), 'docs/howto/upstream.rst lists patches that are there',
             ', '.join(intended.keys() - found.keys()))
    tap.end()


main()
