# What the user is told: what was taken over, what is different, what is not there any more.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import shutil
import sys
import textwrap

KINDS = {'taken': 'Taken over', 'changed': 'Changed', 'dropped': 'Dropped'}
WIDEST = 44                     # of the first column


class Table:
    def __init__(self):
        self.rows = {kind: [] for kind in KINDS}

    def taken(self, what, text):
        self.rows['taken'].append((what, text))

    def changed(self, what, text):
        self.rows['changed'].append((what, text))

    def dropped(self, what, text):
        self.rows['dropped'].append((what, text))

    def text(self, width=None):
        if width is None:
            width = max(60, shutil.get_terminal_size((120, 24)).columns - 1) if sys.stdout.isatty() else 120
        longest = max((len(what) for rows in self.rows.values() for what, _ in rows), default=0)
        column = min(longest, WIDEST, width // 2) + 4
        lines = []
        for kind, title in KINDS.items():
            if self.rows[kind]:
                lines.append(f'{title}:')
            for what, text in self.rows[kind]:
                first = f'  {what}'
                if len(first) > column - 2:
                    lines.append(first)
                    first = ''
                lines += textwrap.wrap(text, width, initial_indent=first.ljust(column),
                                       subsequent_indent=' ' * column, break_on_hyphens=False)
        return '\n'.join(lines) + '\n'
