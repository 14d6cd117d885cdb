# The commands that documents tell a user to type.
#
# In .rst files they are in "code-block:: console", in Markdown between ```console and ```. A line with "$ " begins
# one, which goes on as a shell would ask for more. Other lines are what it prints, or some of
# it: runs of digits stand for any others, and [...] for anything. Where a line is [...], nothing but what that line
# stands for is left out.
#
# A block is marked as not run by a comment before it, which readers do not see: it begins with "not run: " and says why.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import dataclasses
import re
import subprocess

GAP = '[...]'
RST_BLOCK = re.compile(r'( *)\.\. code-block:: console')
MARKDOWN_BLOCK = re.compile(r'( *)```console')
MARK = re.compile(r'(?:\.\. |<!-- )not run: (.+?)(?: -->)?')

TYPED = re.compile(r' *(\$ | *(sudo |\./vmi |(build/bin/)?qemu-(system|img)\S* [^|]*-|virsh \S+ |tools/vmi|ninja \S|'
                   r'sphinx-build |meson (setup|test) ))')


@dataclasses.dataclass
class Command:
    place: str
    text: str
    output: list
    not_run: str
    lines: int = 1


def complete(text):
    """Whether a shell would not ask for more"""
    done = subprocess.run(['bash', '-n', '-c', text], stderr=subprocess.PIPE, text=True, check=False)
    return not text.endswith('\\') and done.returncode == 0 and 'here-document' not in done.stderr


def mark_above(lines):
    """Why a block is not run, from the lines above it; or None"""
    above = '\n'.join(line.strip() for line in lines).rstrip().rpartition('\n\n')[2].replace('\n', ' ')
    match = MARK.fullmatch(above)
    return match and match[1]


def parse_block(lines, place, not_run):
    """Yield the commands of a block's (number, line)s"""
    command = None
    for number, line in lines:
        if command and not complete(command.text):
            command.lines += 1
            # As a shell joins them
            command.text = f'{command.text}\n{line}'.replace('\\\n', '')
        elif line.startswith('$ '):
            if command:
                yield command
            command = Command(f'{place}:{number}', line[2:], [], not_run)
        elif command and line.strip():
            command.output.append(line.strip())
    if command:
        yield command


def commands(path):
    """Return the commands of a document, in its order"""
    lines = path.read_text(encoding='utf-8').splitlines()
    markdown = path.suffix == '.md'
    result = []
    at = 0
    while at < len(lines):
        match = (MARKDOWN_BLOCK if markdown else RST_BLOCK).fullmatch(lines[at])
        at += 1
        if not match:
            continue
        not_run, block = mark_above(lines[:at - 1]), []
        indent = len(match[1]) + (0 if markdown else 3)
        if markdown:
            while at < len(lines) and not lines[at].lstrip().startswith('```'):
                block.append((at + 1, lines[at][indent:]))
                at += 1
        else:
            while at < len(lines) and (not lines[at].strip() or lines[at].startswith(' ' * indent)):
                block.append((at + 1, lines[at][indent:]))
                at += 1
        result += parse_block(block, path.name, not_run)
    return result


def unmarked(path):
    """Lines of a document that look as if they were to be typed, but are in no block that says whether they run"""
    known = {int(command.place.rpartition(':')[2]) + number for command in commands(path)
             for number in range(command.lines)}
    return [f'{path.name}:{number}: {line.strip()}'
            for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
            if TYPED.match(line) and number not in known]


def pattern(line):
    """What a shown line matches"""
    return re.compile('.*'.join(re.escape(normal(part)) for part in line.split(GAP)))


def normal(line):
    # Paths with a space are quoted
    return ' '.join(re.sub(r'\d+', '0', line.replace("'", '')).split())


def find_run(patterns, lines, start):
    """Where these patterns match lines without one between; return the place after them, and how many matched at best"""
    best = 0
    for at in range(start, len(lines)):
        matched = 0
        while matched < len(patterns) and at + matched < len(lines) and patterns[matched].search(lines[at + matched]):
            matched += 1
        if matched == len(patterns):
            return at + matched, matched
        best = max(best, matched)
    return None, best


def missing_output(command, output):
    """The first line that the document shows and the command has not printed there, or None"""
    seen = [line for line in map(normal, output.splitlines()) if line]
    whole = GAP in command.output
    runs = [[]]
    for line in command.output:
        if line == GAP or not whole:
            runs.append([])
        if line != GAP:
            runs[-1].append(line)
    at = 0
    for shown in runs:
        after, matched = find_run([pattern(line) for line in shown], seen, at) if shown else (at, 0)
        if after is None:
            return shown[matched]
        at = after
    return None
