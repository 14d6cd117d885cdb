#!/usr/bin/python3
"""
The series as it would be sent: it is the whole change and nothing else, the same each time, and in good form.

usage: run-series.py TOP SOURCE

SOURCE has QEMU's source under the tag "pristine", and links to the overlay where QEMU's build finds it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import mailbox
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from vmitest.tap import Tap

GIT = ['git', '-c', 'user.name=qemu-vmi developers', '-c', 'user.email=qemu-vmi@localhost', '-c', 'core.hooksPath=']
# By their places in QEMU's tree; where these are links, to what they are links to
OVERLAY = ['hw/vmi/*', 'include/hw/vmi/*', 'pc-bios/vmi/*', 'tests/qtest/vmi/*', 'tests/qtest/vmi/*/*']
# By their places here
DOCUMENTS = {'docs/specs/*.rst': 'docs/specs', 'docs/system/devices/*.rst': 'docs/system/devices',
             'docs/config/*': 'docs/config', 'docs/vmi_calls.py': 'docs/sphinx'}
# New in QEMU, and of a patch, by their places there
FILES = 'patches-upstream/files'
REROLL = '7'
FINDING = re.compile(r'^(ERROR|WARNING): (.*)\n#\d+: *(?:FILE: )?([^:\n]*)', re.MULTILINE)
# What checkpatch.pl may say: text, file, reason
ALLOWED = [
    # The entry in MAINTAINERS comes with QAPI's part and the wiring, for whole directories
    (r'added, moved or deleted file\(s\), does MAINTAINERS need updating\?', ''),
    # A table that is read by columns
    ('line over 80 characters', 'include/hw/vmi/vmi-calls.h.inc'),
]


def run(directory, *command, **kwargs):
    result = subprocess.run([str(word) for word in command], cwd=directory, capture_output=True, text=True,
                            check=False, **kwargs)
    if result.returncode:
        raise RuntimeError((result.stdout + result.stderr).strip())
    return result.stdout


def make(top, source, output):
    run(top, top / 'scripts/make-series', '--source', source, '--output', output, '-v', REROLL)
    return {path.name: path.read_bytes() for path in output.iterdir()}


def tree_of(source, commit):
    """Return mode and content of each file"""
    lines = run(source, *GIT, 'ls-tree', '-r', '-z', commit).split('\0')[:-1]
    return {line.split('\t')[1]: tuple(line.split('\t')[0].split(' ')[::2]) for line in lines}


def overlay(top, source):
    files = {str(path.relative_to(source)): path for pattern in OVERLAY for path in source.glob(pattern)
             if path.is_file()}
    files |= {f'{place}/{path.name}': path for pattern, place in DOCUMENTS.items() for path in top.glob(pattern)}
    files |= {str(path.relative_to(top / FILES)): path for path in (top / FILES).rglob('*') if path.is_file()}
    hashes = run(source, *GIT, 'hash-object', '--no-filters', '--stdin-paths',
                 input=''.join(f'{path}\n' for path in files.values())).split()
    return {name: ('100755' if os.access(path, os.X_OK) else '100644', content)
            for (name, path), content in zip(files.items(), hashes)}


def applied(source, box, work):
    """Return the commit that "git am" makes of the mailbox, on "pristine" """
    named = {line.split(' b/', 1)[1] for line in box.read_text(encoding='utf-8').splitlines()
             if line.startswith('diff --git a/')}
    run(source, *GIT, 'worktree', 'add', '--quiet', '--no-checkout', '--detach', work, 'pristine')
    try:
        run(work, *GIT, 'sparse-checkout', 'set', '--no-cone', '--stdin',
            input=''.join(f'/{name}\n' for name in sorted(named)))
        run(work, *GIT, 'checkout', '--quiet')
        run(work, *GIT, 'am', '--quiet', '--empty=drop', box)
        return run(work, *GIT, 'rev-parse', 'HEAD').strip()
    finally:
        run(source, *GIT, 'worktree', 'remove', '--force', work)


def differences(seen, wanted):
    both = {name: (seen.get(name), wanted.get(name)) for name in seen.keys() | wanted.keys()}
    return sorted(name for name, (one, other) in both.items() if one != other)


def check_content(tap, top, source, box, work):
    try:
        commit = applied(source, box, work / 'tree')
    except RuntimeError as err:
        tap.fact(False, 'git am accepts the mailbox', str(err).replace('\n', ' '))
        return
    tap.fact(True, 'git am accepts the mailbox')
    wanted = tree_of(source, run(top, top / 'scripts/make-series', '--source', source, '--apply', top / 'patches-upstream').strip()) | overlay(top, source)
    found = differences(tree_of(source, commit), wanted)
    tap.fact(not found, 'the result is QEMU with patches-upstream/ and the overlay, and nothing else',
             ', '.join(found) or f'{len(wanted)} files')


def subject(mail):
    return mail['Subject'].replace('\n', '')


def check_thread(tap, mails):
    count = len(mails) - 1
    digits = len(str(count))
    wrong = [subject(mail) for number, mail in enumerate(mails)
             if not subject(mail).startswith(f'[PATCH v{REROLL} {number:0{digits}}/{count}] ')]
    tap.fact(not wrong, 'the mails are numbered, with the version', '; '.join(wrong) or subject(mails[-1]))
    ids = {mail['Message-Id'] for mail in mails}
    astray = [subject(mail) for mail in mails[1:]
              if not mail['In-Reply-To'] == mail['References'] == mails[0]['Message-Id']]
    tap.fact(len(ids) == count + 1 and not astray, 'each is an answer to the cover letter', '; '.join(astray))


def check_cover(tap, top, text, mails):
    missing = []
    rows = 0
    for path in sorted(top.glob('docs/benchmarks/linux-*/results.json')):
        for row in json.loads(path.read_text(encoding='utf-8'))['rows']:
            number = f'{row["ratios"]["on/off"]["median"]:.2f}'
            rows += 1
            if not re.search(rf'^{row["row"]} .*\b{re.escape(number)}\b', text, re.MULTILINE):
                missing.append(f'{row["row"]} {number}')
    tap.fact(rows and not missing, 'the cover letter has what ./vmi bench has measured',
             ', '.join(missing) or f'{rows} ratios')
    titles = [re.sub(r'\[.*?\] ', '', subject(mail)) for mail in mails[1:]]
    short = re.sub(r'\n {4}', ' ', text)
    absent = [title for title in titles if f'\n  {title}\n' not in short]
    tap.fact(not absent and re.search(r'\d+ files changed, \d+ insertions', text),
             'it has the list of the patches and the diffstat', '; '.join(absent))


def check_style(tap, source, directory):
    """checkpatch.pl on each mail"""
    for path in sorted(directory.glob('*.patch')):
        result = subprocess.run(['scripts/checkpatch.pl', '--no-tree', '--strict', '--no-summary', '--patch', path],
                                cwd=source, capture_output=True, text=True, check=False)
        findings = FINDING.findall(result.stdout)
        bad = [f'{kind}: {text} {file}'.strip() for kind, text, file in findings
               if kind == 'ERROR' or not any(re.fullmatch(allowed, text) and file.strip() == where
                                             for allowed, where in ALLOWED)]
        quiet = result.returncode == 0 or findings
        tap.fact(not bad and quiet, f'checkpatch.pl has no objection to {path.name}', '; '.join(bad) or
                 f'{len(findings)} warnings with a reason')


def main():
    top, source = (pathlib.Path(arg).resolve() for arg in sys.argv[1:])
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-') as name:
        work = pathlib.Path(name)
        try:
            mails = make(top, source, work / 'first')
        except RuntimeError as err:
            tap.fact(False, 'the series can be made', str(err).replace('\n', ' '))
            tap.end()
        tap.fact(True, 'the series can be made', f'{len(mails) - 2} patches and a cover letter')
        again = make(top, source, work / 'second')
        tap.fact(mails == again, 'the same input gives the same bytes', ', '.join(differences(mails, again)))
        box = work / 'first/series.mbox'
        check_content(tap, top, source, box, work)

        messages = list(mailbox.mbox(box))
        check_thread(tap, messages)
        check_cover(tap, top, mails[f'v{REROLL}-0000-cover-letter.patch'].decode(), messages)
        check_style(tap, source, work / 'first')
    tap.end()


main()
