#!/usr/bin/python3
"""
Let bash complete words of ./vmi, and compare with what the help of vmi says.

usage: run-completion.py TOP

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import re
import subprocess
import sys

from vmitest.tap import Tap

# The words end with the one to be completed
SCRIPT = '''
. "$1/tools/completion.bash"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_vmi "$1"
printf '%s\\n' "${COMPREPLY[@]}"
'''


def complete(top, *words):
    done = subprocess.run(['bash', '-c', SCRIPT, 'bash', top, './vmi', *words], cwd=top, capture_output=True, text=True,
                          check=False)
    return set(done.stdout.split()), done.stderr


def offered(top, *words):
    return complete(top, *words)[0]


def main():
    top = pathlib.Path(sys.argv[1]).absolute()
    tap = Tap()

    def vmi_help(*words):
        return subprocess.run([top / 'vmi', *words, '--help'], capture_output=True, text=True, check=True).stdout

    commands = set(re.findall(r'\./vmi ([a-z]+) .*  ', vmi_help()))
    seen, error = complete(top, '')
    tap.fact(len(commands) > 4 and commands <= seen, 'all commands are offered', ' '.join(sorted(seen)))
    tap.fact(not error, 'bash has nothing to say', error)
    tap.fact(offered(top, 'ru') == {'run'}, 'the beginning of a command is completed')
    for command in sorted(commands):
        options = set(re.findall(r'^  (--[a-z-]+)', vmi_help(command), re.MULTILINE))
        seen = offered(top, command, '--')
        tap.fact(options <= seen, f'all options of {command} are offered', ' '.join(sorted(options - seen)))
        tap.fact(seen <= options | {'--help'}, f'{command} is offered no other option')
    tap.fact(offered(top, 'run', '--accel', '') == {'tcg', 'kvm'}, 'the accelerators are offered')
    tap.fact(offered(top, 'run', '--boot', 'c') == {'cdrom'}, 'what to boot from is completed')
    tap.fact(offered(top, 'run', '--kernel', 'READ') == {'README.md'}, 'a file is completed')
    tap.fact(offered(top, 'import', 'READ') == {'README.md'}, 'a guest to import is completed')
    tap.fact(offered(top, 'package', '--repo', 'hw-') == {'hw-vmi'}, 'a directory is completed')
    tap.fact(offered(top, 'run', '--', 'READ') == {'README.md'}, 'after --, files are completed')
    tap.fact(not offered(top, 'run', '--memory', ''), 'nothing is offered for a number')
    tap.end()


os.environ['LC_ALL'] = 'C.UTF-8'
main()
