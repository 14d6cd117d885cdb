# TAP: what a guest program prints, and what its driver says.
#
# By hand, because what Debian has, pycotap, writes the results of unittest's
# test cases; most facts here are a guest's, known only when it prints them.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import re
import sys

POINT = re.compile(r'(not )?ok +\d+ *(.*)')
PLAN = re.compile(r'1\.\.(\d+)')


class Tap:
    def __init__(self):
        self.points = 0
        self.failed = 0

    def point(self, ok, text):
        self.points += 1
        self.failed += not ok
        print(f'{"" if ok else "not "}ok {self.points} {text}', flush=True)

    def fact(self, ok, text, seen=''):
        self.point(ok, f'- {text}' + (f' # {seen}' if seen else ''))

    def skip(self, text, why):
        self.point(True, f'- {text} # SKIP {why}')

    def comment(self, lines):
        print(''.join(f'# {line}\n' for line in lines), end='')

    def end(self):
        print(f'1..{self.points}')
        sys.exit(0 if not self.failed else 1)


def pass_points(tap, output):
    """Number the guest's points anew; return how many there were, failed"""
    points = failed = 0
    for line in output.splitlines():
        match = POINT.fullmatch(line.rstrip())
        if match:
            tap.point(not match[1], match[2])
            points += 1
            failed += bool(match[1])
        elif not PLAN.fullmatch(line):
            print(f'# {line}')
    return points, failed


def check_plan(tap, output, boots):
    plans = [int(plan) for plan in
             re.findall(r'^1\.\.(\d+)$', output, re.MULTILINE)]
    points, failed = pass_points(tap, output)
    tap.fact(len(plans) == boots and sum(plans) == points,
             'the guest carries out all that it plans',
             f'{points} facts, plans {plans}')
    return failed
