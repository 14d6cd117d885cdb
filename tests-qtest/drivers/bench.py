#!/usr/bin/python3
"""
Test tools/bench: its statistics with made-up input, the guest program for a moment, and a stand-in for QEMU in
place of a Linux guest. Times are not judged.

usage: drivers/bench.py TOP QEMU GUEST

SPDX-License-Identifier: GPL-2.0-or-later
"""

import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree as ET

import bench_report as report

TOP, QEMU, GUEST = map(pathlib.Path, sys.argv[1:])

ROWS = [
    *(f'switch-{spaces}-spaces-{pages}-pages' for spaces in (2, 8, 16, 64) for pages in (1, 8, 64, 512)),
    'entry-map', 'entry-change', 'entry-update',
    *(f'{call}-batch-{size}' for call in ('set', 'update') for size in (1, 16, 512)),
    'flush-1-pages', 'flush-64-pages', 'flush-global-1-pages', 'flush-global-64-pages', 'inval-page', 'kmap',
    'irq-off-on', 'irq-save-restore', 'irq-save-restore-nested',
    'int80-iret-user', 'int80-iret-kernel', 'sysenter-sysexit', 'kernel-stack', 'gdt-entry',
    'timer-set-pit', 'timer-set-apic', 'timer-fire-pit', 'timer-fire-apic',
    'counter-real', 'counter-available', 'rdtsc', 'frequency',
]

# As a QEMU with a Linux guest: "BEHAVIOUR" comes from the kernel's command line
STAND_IN = '''\
#!/usr/bin/python3
import pathlib, sys, time
name, words = pathlib.Path(__file__).name, sys.argv[1:]
if words == ['--version']:
    sys.exit(print(f'stand-in {name} 1.0'))
append = words[words.index('-append') + 1]
vmi = any(word.startswith('vmi-pci') for word in words)
boots = pathlib.Path(__file__).with_name('boots')
with boots.open('a') as file:
    file.write(f'{name} {"on" if vmi else "off"}\\n')
run = len([line for line in boots.read_text().splitlines() if line == f'{name} {"on" if vmi else "off"}'])
if vmi and append != 'no-vmi':
    print('vmi_init ROM at linear 0xc00ca800, revision 1: 1, physical 0xca800')
print('Linux version 0.01\\r\\nBENCH is not a row\\r')
if append == 'hang':
    print('stuck here', flush=True)
    time.sleep(60)
if append == 'crash':
    sys.exit('qemu: fatal: made up')
ns = 40 if vmi else 200 if name == 'stock' else 100
if append != 'empty':
    print(f'BENCH pipe {ns + run}.50\\r\\nBENCH fork {ns * 10}\\r\\n[    1.0] random: BENCH pipe 7\\r')
print('VMITEST DONE\\r', flush=True)
time.sleep(60)
'''


class Tap:
    def __init__(self):
        self.points = self.failed = 0

    def fact(self, ok, text, seen=''):
        self.points += 1
        self.failed += not ok
        print(f'{"" if ok else "not "}ok {self.points} - {text}', flush=True)
        for line in str(seen).splitlines() if not ok else ():
            print(f'# {line}')

    def section(self, function, *args):
        """An exception is a fact that does not hold"""
        try:
            function(self, *args)
        except Exception:  # pylint: disable=broad-except
            self.fact(False, f'{function.__name__} ends without an exception', traceback.format_exc())

    def end(self):
        print(f'1..{self.points}')
        return 1 if self.failed else 0


def bench(*args, program=TOP / 'tools/bench'):
    return subprocess.run([str(program), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=240, check=False)


def test_statistics(tap):
    # The host was slow in run 1
    made_up = {'off': [100, 300, 110], 'on': [50, 144, 44], 'baseline': [100, 290, 88]}
    samples = [report.Sample(run, 'a', series, ns, ns / 2, ns * 2) for series, values in made_up.items()
               for run, ns in enumerate(values)]
    samples += [report.Sample(0, 'b', 'on', 7, 7, 7), report.Sample(1, 'b', 'off', 7, 7, 7)]
    a, b = report.summarise(samples, report.KERNEL_RATIOS)
    tap.fact(a['series']['off']['median'] == 110, 'the median leaves out the odd value', a)
    tap.fact(a['ratios']['on/off'] == {'median': 0.48, 'min': 0.4, 'max': 0.5} and
             a['ratios']['off/baseline']['max'] == 1.25, 'ratios are those of each run, and their median', a)
    tap.fact(a['series']['off']['spread'] == 3 and a['spread'] == 290 / 88,
             'spread is maximum by minimum of the runs, of the series that has most', a)
    tap.fact(a['series']['on']['low'] == 22 and a['series']['on']['high'] == 288, 'low and high are of all', a)
    tap.fact(b['ratios'] == {} and b['spread'] == 1, 'a row whose series are from different runs has no ratio', b)
    lines = report.format_table([a, b]).splitlines()
    tap.fact(len({len(line) for line in lines}) == 1 and lines[0].split() ==
             ['row', 'baseline', 'ns', 'off', 'ns', 'on', 'ns', 'on/off', 'off/baseline', 'spread'],
             'the table has all series and ratios, aligned', '\n'.join(lines))


def test_parsers(tap):
    lines = ['BENCH row=x kind=vmi ns=1.50 min=1.00 max=3.00 n=7', 'BENCH row=y kind=vmi ns=', 'BENCH DONE']
    found = report.parse_program(lines, 3)
    tap.fact(found == [(3, 'x', 'vmi', 1.5, 1, 3)], "the guest program's lines are read, cut ones are not", found)
    lines = ['BENCH a 10', '[ 1.0] BENCH a 70', 'BENCH a 30.0', 'BENCH a 20', 'BENCH b', 'BENCH c -1',
             'BENCH DONE']
    found = report.parse_kernel(lines, 3, 'on')
    tap.fact(found == [(3, 'a', 'on', 20, 10, 30)], 'a row that comes more often counts with its median', found)
    done = [line for line in ('BENCH DONE', 'VMITEST DONE', 'all DONE now', 'DONE', 'Freeing memory: done')
            if report.DONE_LINE.fullmatch(line)]
    tap.fact(done == ['BENCH DONE', 'VMITEST DONE'], 'the last line is told from others', done)


def svg_text(path):
    return ' '.join(''.join(e.itertext()).strip() for e in ET.parse(path).iter() if e.tag.endswith('text'))


def test_plot(tap, scratch):
    odd = "it's <&> a_b^{c} @x \\"
    samples = [report.Sample(0, row, series, ns, ns, ns)
               for row, series, ns in ((odd, 'off', 100), (odd, 'on', 25), ('slow', 'off', 1), ('slow', 'on', 3))]
    summary = report.summarise(samples, report.KERNEL_RATIOS)
    report.write_svg(scratch / 'odd.svg', summary, report.KERNEL_RATIOS, 'a title')
    text = svg_text(scratch / 'odd.svg').replace('\N{NO-BREAK SPACE}', ' ')
    tap.fact(odd in text and 'slow' in text, 'the plot shows names as they are', text)
    tap.fact('0.25' in text and '3.00' in text, 'each bar shows its value', text)
    try:
        report.write_svg(scratch / 'none.svg', [], report.KERNEL_RATIOS, 'a title')
        tap.fact(False, 'nothing to plot is an error')
    except report.ReportError as error:
        tap.fact('nothing to plot' in str(error), 'nothing to plot is an error', error)


def check_files(tap, output, rows, what):
    with open(output / 'results.csv', encoding='utf-8', newline='') as file:
        table = list(csv.reader(file))
    tap.fact([line[0] for line in table[1:]] == rows and len({len(line) for line in table}) == 1,
             f'{what}: results.csv has a line of equal length for each row', table)
    results = json.loads((output / 'results.json').read_text(encoding='utf-8'))
    tap.fact([row['row'] for row in results['rows']] == rows and results['machine'] and results['qemu'],
             f'{what}: results.json has each row, the machine and the version', results)
    text = svg_text(output / 'results.svg')
    lacking = [row for row in rows if row not in text]
    tap.fact(not lacking, f'{what}: results.svg is XML, and names each row', lacking)
    lines = (output / 'results.rst.inc').read_text(encoding='utf-8').splitlines()
    tap.fact([line.split('``')[1] for line in lines if line.startswith('   ``')] == rows,
             f'{what}: results.rst.inc has each row', '\n'.join(lines))
    return {row['row']: row for row in results['rows']}


def test_program(tap, scratch):
    output = scratch / 'program'
    done = bench('--quick', '--runs', 1, '--qemu', QEMU, '--guest', GUEST, '--output', output)
    tap.fact(done.returncode == 0 and 'run 1 of 1: the guest program' in done.stdout,
             'the guest program runs, and its progress is shown', done)
    rows = check_files(tap, output, ROWS, 'guest program')
    kinds = ['native', 'vmi', 'vmi-pointer']
    lacking = [name for name, row in rows.items() if list(row['series']) != kinds]
    tap.fact(not lacking, 'each row is measured natively, by a patched call and by pointer', lacking)
    lacking = [name for name, row in rows.items()
               for s in row['series'].values() if not 0 < s['low'] <= s['median'] <= s['high']]
    tap.fact(not lacking, 'each row takes time', lacking)
    document = (TOP / 'docs/benchmarks.rst').read_text(encoding='utf-8')
    lacking = [row for row in ROWS if f'``{re.sub("[0-9]+(?=-(spaces|pages)|$)", "N", row)}``' not in document]
    tap.fact(not lacking, 'each row is explained in docs/benchmarks.rst', lacking)


def test_kernel(tap, scratch):
    for name in ('ours', 'stock'):
        (scratch / name).write_text(STAND_IN, encoding='utf-8')
        (scratch / name).chmod(0o755)
    for name in ('bzImage', 'initrd.gz'):
        (scratch / name).touch()
    linux = ['--qemu', scratch / 'ours', '--kernel', scratch / 'bzImage', '--initrd', scratch / 'initrd.gz']
    output = scratch / 'linux'
    done = bench(*linux, '--baseline', scratch / 'stock', '--runs', 3, '--output', output)
    tap.fact(done.returncode == 0 and 'run 3 of 3: with vmi-pci ... 2 rows' in done.stdout,
             'a kernel runs, and its progress is shown', done)
    rows = check_files(tap, output, ['pipe', 'fork'], 'kernel')
    tap.fact(rows['pipe']['ratios'] == {
        'on/off': {'median': 42.5 / 102.5, 'min': 41.5 / 101.5, 'max': 43.5 / 103.5},
        'off/baseline': {'median': 102.5 / 202.5, 'min': 101.5 / 201.5, 'max': 103.5 / 203.5}},
             'ratios are with vmi-pci / without, and without / baseline', rows)
    boots = (scratch / 'boots').read_text(encoding='utf-8').split('\n')[:-1]
    one = ['stock off', 'ours off', 'ours on']
    tap.fact(boots == one + one[1:] + one[:1] + one[2:] + one[:2], 'each run has all in turns, another one first',
             boots)
    tap.fact('geometric mean' in done.stdout and re.search(r'^pipe +202.5 +102.5 +42.5 +0.41 +0.51 ', done.stdout,
                                                          re.MULTILINE), 'the table is printed', done.stdout)
    for behaviour, message in {
        'hang': 'has not finished after 1 s; the end of its console:\n  | Linux version 0.01\n'
                '  | BENCH is not a row\n  | stuck here',
        'crash': 'QEMU ended (status 1) before the guest had finished; the end of its console:',
        'empty': 'finished without a line "BENCH <row> <ns>"',
        'no-vmi': 'has not entered VMI mode',
    }.items():
        done = bench(*linux, '--append', behaviour, '--runs', 1, '--timeout', 1, '--output', scratch / behaviour)
        tap.fact(done.returncode == 1 and done.stderr.startswith('vmi: ') and message in done.stderr and
                 not (scratch / behaviour).exists(), f'a guest with a fault is reported: {behaviour}', done)


def test_arguments(tap, scratch):
    (scratch / 'file').touch()
    file = scratch / 'file'
    for status, message, *args in (
        (2, 'argument --runs: invalid number value', '--runs', '0'),
        (2, 'argument --smp: invalid number value', '--smp', 'two'),
        (2, 'argument --accel: invalid choice', '--accel', 'xen'),
        (2, 'unrecognized arguments: --run', '--run', '3'),
        (2, 'expected one argument', '--kernel'),
        (2, '--initrd needs --kernel', '--initrd', file),
        (2, '--append needs --kernel', '--append', ''),
        (2, '--kernel needs --initrd', '--kernel', file),
        (2, '--quick is for the guest program', '--quick', '--kernel', file, '--initrd', file),
        (1, f'cannot read {scratch}/none', '--kernel', scratch / 'none', '--initrd', file),
        (1, f'cannot read {scratch}/none', '--kernel', file, '--initrd', scratch / 'none'),
        (1, f'cannot read {scratch}/none', '--baseline', scratch / 'none'),
        (1, f'{file} is not a program', '--baseline', file),
        (1, f'{file} is not a directory', '--output', file),
    ):
        done = bench('bench', *args, program=TOP / 'vmi')
        tap.fact(done.returncode == status and message in done.stderr and done.stderr.startswith('vmi: ') and
                 done.stderr.count('\n') == 1 and not done.stdout,
                 f'./vmi bench complains: {message.replace(str(scratch), "DIR")}', done)
    done = bench('bench', '--help', program=TOP / 'vmi')
    options = re.findall(r'^  (--[a-z]+)', done.stdout, re.MULTILINE)
    source = (TOP / 'tools/bench').read_text(encoding='utf-8').partition('# Not for users')[0]
    tap.fact(done.returncode == 0 and sorted(options) == sorted(re.findall(r"add_argument\('(--[a-z]+)", source)),
             './vmi bench --help has all options', done)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        tap.section(test_statistics)
        tap.section(test_parsers)
        tap.section(test_plot, scratch)
        tap.section(test_arguments, scratch)
        tap.section(test_kernel, scratch)
        tap.section(test_program, scratch)
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
