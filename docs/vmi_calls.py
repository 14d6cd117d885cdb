"""Sphinx extension: the VMI calls, from the table that the code uses

``.. vmi-calls::``
    the table of all calls, and the numbers that are not assigned

``.. vmi-call:: NAME``
    one call; its number, group and service come from the table.  Options:

    ``:in:``        what it takes, each register named once
    ``:out:``       what it returns (default: nothing)
    ``:clobbers:``  default: EAX, ECX, EDX and flags
    ``:noreturn:``  instead of the two above

    The content says why the call is served as it is, and is required.

The build fails if the table cannot be parsed, if a call has no ``vmi-call``
or a ``vmi-call`` no call, and if ``:in:`` does not name as many words as the
table says.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

# Below the parent of the documentation's directory: here; in QEMU's tree
TABLES = (
    'hw-vmi/include/vmi-calls.h.inc',
    'include/hw/vmi/vmi-calls.h.inc',
)

MAX_CALLS = 128

GROUPS = {
    'ALWAYS': 'none',
    'CPU': 'cpu',
    'IRQ': 'irq',
    'MMU': 'mmu',
    'SMP': 'smp',
    'TIMER': 'timer',
    'LAZY': 'lazy',
}

SERVICES = {
    'NONE': 'none',
    'NATIVE': 'native',
    'HOST': 'host',
    'NOP': 'nop',
    'SHARED': 'shared',
}

ENTRY = re.compile(r'VMI_CALL\(\s*(?P<nr>\d+),\s*(?P<name>\w+),'
                   r'\s*(?P<group>\w+),\s*(?P<args>\d+),\s*(?P<stack>\d+),'
                   r'\s*(?P<tcg>\w+),\s*(?P<kvm>\w+),\s*(?P<place>\w+),'
                   r'\s*(?P<handler>\w+)\)$')

# A word that a call takes: a register of the calling convention, the stack
WORD = re.compile(r'\b(EAX|ECX|EDX|stack)\b')


class Call(NamedTuple):
    nr: int
    name: str
    group: str
    args: int
    stack: int
    tcg: str
    kvm: str

    @property
    def anchor(self):
        return nodes.make_id('vmi-call-' + self.name)


def parse_table(path):
    """Return the calls by name, in the order of their numbers."""
    calls = {}
    numbers = set()
    with open(path, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            if not line.startswith('VMI_CALL'):
                continue
            match = ENTRY.match(line.rstrip())
            where = f'{path}:{number}'
            if not match:
                raise ExtensionError(f'{where}: not an entry of the table')
            try:
                call = Call(int(match['nr']), match['name'],
                            GROUPS[match['group']], int(match['args']),
                            int(match['stack']), SERVICES[match['tcg']],
                            SERVICES[match['kvm']])
            except KeyError as err:
                raise ExtensionError(f'{where}: {err} is unknown') from None
            if call.nr >= MAX_CALLS or call.stack > call.args:
                raise ExtensionError(f'{where}: a number is out of range')
            if call.nr in numbers or call.name in calls:
                raise ExtensionError(f'{where}: {call.name} is there twice')
            numbers.add(call.nr)
            calls[call.name] = call
    if not calls:
        raise ExtensionError(f'{path}: no entries')
    return dict(sorted(calls.items(), key=lambda item: item[1].nr))


def find_table(app):
    top = os.path.join(app.srcdir, os.pardir)
    for table in TABLES:
        path = os.path.normpath(os.path.join(top, table))
        if os.path.exists(path):
            return path
    raise ExtensionError('none of these files: ' + ', '.join(TABLES))


def unassigned(calls):
    """Return the free numbers as text: '49 to 60, 72 and 74 to 127'."""
    used = {call.nr for call in calls.values()}
    ranges = []
    for nr in range(MAX_CALLS):
        if nr in used:
            continue
        if ranges and ranges[-1][1] == nr - 1:
            ranges[-1][1] = nr
        else:
            ranges.append([nr, nr])
    text = [str(a) if a == b else f'{a} to {b}' for a, b in ranges]
    return ' and '.join([', '.join(text[:-1]), text[-1]] if text[1:] else text)


class TableDirective(SphinxDirective):
    HEADINGS = ('Nr', 'Name', 'Group', 'Words', 'TCG', 'KVM')
    WIDTHS = (6, 34, 12, 12, 12, 12)

    def row(self, cells):
        row = nodes.row()
        for cell in cells:
            if not isinstance(cell, nodes.Node):
                cell = nodes.Text(cell)
            row += nodes.entry('', nodes.paragraph('', '', cell))
        return row

    def run(self):
        calls = self.env.app.vmi_calls
        self.env.note_dependency(self.env.app.vmi_calls_path)
        group = nodes.tgroup(cols=len(self.HEADINGS))
        for width in self.WIDTHS:
            group += nodes.colspec(colwidth=width)
        group += nodes.thead('', self.row(self.HEADINGS))
        body = nodes.tbody()
        for call in calls.values():
            link = nodes.reference('', call.name, refid=call.anchor)
            words = str(call.args)
            if call.stack:
                words += f' ({call.stack} on the stack)'
            body += self.row((str(call.nr), link, call.group, words, call.tcg,
                              call.kvm))
        group += body
        rest = f'Unassigned: {unassigned(calls)}.'
        return [nodes.table('', group), nodes.paragraph(rest, rest)]


class CallDirective(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec = {
        'in': directives.unchanged_required,
        'out': directives.unchanged_required,
        'clobbers': directives.unchanged_required,
        'noreturn': directives.flag,
    }

    def field(self, name, text):
        children, messages = self.state.inline_text(text, self.lineno)
        body = nodes.paragraph(text, '', *children)
        return nodes.field('', nodes.field_name(name, name),
                           nodes.field_body('', body, *messages))

    def check_words(self, call):
        if 'noreturn' in self.options:
            return
        words = WORD.findall(self.options.get('in', ''))
        if (len(words), words.count('stack')) != (call.args, call.stack):
            raise self.error(f'{call.name} takes {call.args} words, '
                             f'{call.stack} on the stack, says the table')

    def run(self):
        self.assert_has_content()
        self.env.note_dependency(self.env.app.vmi_calls_path)
        call = self.env.app.vmi_calls.get(self.arguments[0])
        if not call:
            raise self.error(f'no call {self.arguments[0]} in the table')
        documented = self.env.vmi_documented
        if call.name in documented:
            raise self.error(f'{call.name} is described twice')
        documented[call.name] = self.env.docname
        self.check_words(call)

        fields = nodes.field_list()
        fields += self.field('In', self.options.get('in', 'nothing'))
        if 'noreturn' in self.options:
            fields += self.field('Out', 'does not return')
        else:
            fields += self.field('Out', self.options.get('out', 'nothing'))
            fields += self.field('Clobbers', self.options.get(
                'clobbers', 'EAX, ECX, EDX and flags'))
        if call.tcg == call.kvm:
            served = call.tcg
        else:
            served = f'TCG: {call.tcg}; KVM: {call.kvm}'
        fields += self.field('Served', served)
        fields += self.field('Group', call.group)

        heading = f'{call.nr} {call.name}'
        term = nodes.term('', '', nodes.strong(heading, heading),
                          ids=[call.anchor])
        definition = nodes.definition('', fields)
        self.state.nested_parse(self.content, self.content_offset, definition)
        self.state.document.note_explicit_target(term)
        return [nodes.definition_list(
            '', nodes.definition_list_item('', term, definition))]


def read_table(app):
    app.vmi_calls_path = find_table(app)
    app.vmi_calls = parse_table(app.vmi_calls_path)


def init_documented(app, env, docnames):
    if not hasattr(env, 'vmi_documented'):
        env.vmi_documented = {}


def purge(app, env, docname):
    for name, where in list(getattr(env, 'vmi_documented', {}).items()):
        if where == docname:
            del env.vmi_documented[name]


def merge(app, env, docnames, other):
    env.vmi_documented.update(other.vmi_documented)


def check(app, env):
    missing = app.vmi_calls.keys() - env.vmi_documented.keys()
    if missing:
        raise ExtensionError('calls without a description: ' +
                             ', '.join(sorted(missing)))


def setup(app):
    app.add_directive('vmi-calls', TableDirective)
    app.add_directive('vmi-call', CallDirective)
    app.connect('builder-inited', read_table)
    app.connect('env-before-read-docs', init_documented)
    app.connect('env-purge-doc', purge)
    app.connect('env-merge-info', merge)
    app.connect('env-check-consistency', check)
    return {'version': '1', 'env_version': 1, 'parallel_read_safe': True,
            'parallel_write_safe': True}
