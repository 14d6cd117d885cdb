"""
What ./vmi bench measured: console output in; table, CSV, JSON, reStructuredText and plot out.

A sample is what a run says about a row: its series ("native", "on"...), and nanoseconds an operation: their
median, least and greatest value in that run. Ratios are taken within a run, for what slows the host down in one
run slows both sides of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import csv
import json
import math
import re
import statistics
import subprocess

Sample = collections.namedtuple('Sample', 'run row series ns low high')
# The ratio of two series: numerator, denominator, how a reader sees it, colour (safe for the colour-blind)
Ratio = collections.namedtuple('Ratio', 'above below title colour')

# The guest program measures all but "baseline" in each boot
PROGRAM_RATIOS = [
    Ratio('vmi', 'native', 'patched VMI call / native', '#0072b2'),
    Ratio('vmi-pointer', 'native', 'VMI call by pointer / native', '#e69f00'),
    Ratio('native', 'baseline', 'native / native on the baseline', '#7f7f7f'),
]
KERNEL_RATIOS = [
    Ratio('on', 'off', 'with VMI / without', '#0072b2'),
    Ratio('off', 'baseline', 'without VMI / baseline', '#7f7f7f'),
]
SERIES = ['baseline', 'native', 'off', 'vmi', 'vmi-pointer', 'on']

NUMBER = r'([0-9]+(?:\.[0-9]*)?)'
PROGRAM_LINE = re.compile(rf'BENCH row=(\S+) kind=(\S+) ns={NUMBER} min={NUMBER} max={NUMBER} .*')
KERNEL_LINE = re.compile(rf'BENCH (\S+) {NUMBER}')
DONE_LINE = re.compile(r'\S+ DONE')


class ReportError(Exception):
    pass


def parse_program(lines, run):
    """Samples of the guest program's output in one run"""
    found = filter(None, (PROGRAM_LINE.fullmatch(line.strip()) for line in lines))
    return [Sample(run, m[1], m[2], float(m[3]), float(m[4]), float(m[5])) for m in found]


def parse_kernel(lines, run, series):
    """Samples of a kernel's output; a row that comes more than once counts with its median."""
    rows = {}
    for match in filter(None, (KERNEL_LINE.fullmatch(line.strip()) for line in lines)):
        rows.setdefault(match[1], []).append(float(match[2]))
    return [Sample(run, row, series, statistics.median(ns), min(ns), max(ns)) for row, ns in rows.items()]


def summarise_series(samples):
    """Of several runs; min, max and spread are those of what the runs say, low and high of all in them."""
    runs = [s.ns for s in samples]
    return {
        'median': statistics.median(runs),
        'min': min(runs),
        'max': max(runs),
        'spread': max(runs) / min(runs) if min(runs) else math.inf,
        'low': min(s.low for s in samples),
        'high': max(s.high for s in samples),
        'runs': runs,
    }


def summarise_ratio(above, below):
    """Of two series' samples, for the runs that have both; None if there are none"""
    divisors = {s.run: s.ns for s in below if s.ns}
    ratios = [s.ns / divisors[s.run] for s in above if s.run in divisors]
    return {'median': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)} if ratios else None


def summarise(samples, ratios):
    """
    A dictionary a row, in the order in which they first came: its name, its series, ratios by the names of the
    series, as in "on/off", and the greatest spread (maximum by minimum) of its series.
    """
    rows = {}
    for sample in samples:
        rows.setdefault(sample.row, {}).setdefault(sample.series, []).append(sample)
    summary = []
    for name, by_series in rows.items():
        series = {s: summarise_series(by_series[s]) for s in SERIES if s in by_series}
        found = {f'{r.above}/{r.below}': summarise_ratio(by_series.get(r.above, ()), by_series.get(r.below, ()))
                 for r in ratios}
        summary.append({
            'row': name,
            'series': series,
            'ratios': {ratio: values for ratio, values in found.items() if values},
            'spread': max(s['spread'] for s in series.values()),
        })
    return summary


def columns(summary):
    """The series and the ratios that any row has"""
    series = [s for s in SERIES if any(s in row['series'] for row in summary)]
    ratios = list(dict.fromkeys(ratio for row in summary for ratio in row['ratios']))
    return series, sorted(ratios, key=lambda ratio: ratio.endswith('/baseline'))


def show_ns(ns):
    return f'{ns:.0f}' if ns >= 1000 else f'{ns:.1f}' if ns >= 10 else f'{ns:.2f}'


def show_ratio(ratio):
    return f'{ratio:.1f}' if ratio >= 10 else f'{ratio:.2f}'


def table(summary):
    """Header and rows, as text"""
    series, ratios = columns(summary)
    cells = [['row', *(f'{s} ns' for s in series), *ratios, 'spread']]
    for row in summary:
        ns = [show_ns(row['series'][s]['median']) if s in row['series'] else '' for s in series]
        ratio = [show_ratio(row['ratios'][r]['median']) if r in row['ratios'] else '' for r in ratios]
        cells.append([row['row'], *ns, *ratio, f'{row["spread"]:.2f}'])
    return cells


def format_table(summary):
    cells = table(summary)
    widths = [max(map(len, column)) for column in zip(*cells)]
    return '\n'.join('  '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
                     for line in cells)


def write_csv(path, summary):
    series, ratios = columns(summary)
    fields = [('series', name, field) for name in series for field in ('median', 'min', 'max', 'spread')]
    fields += [('ratios', name, field) for name in ratios for field in ('median', 'min', 'max')]
    with open(path, 'w', encoding='utf-8', newline='') as file:
        out = csv.writer(file, lineterminator='\n')
        out.writerow(['row', *(f'{name} {field}{" ns" if group == "series" and field != "spread" else ""}'
                               for group, name, field in fields)])
        for row in summary:
            out.writerow([row['row'], *(f'{row[group][name][field]:.5g}' if name in row[group] else ''
                                        for group, name, field in fields)])


def write_json(path, summary, about):
    """A line a row"""
    rows = ',\n'.join(f'  {json.dumps(row)}' for row in summary)
    text = json.dumps(about, indent=1).removesuffix('\n}') + f',\n "rows": [\n{rows}\n ]\n}}\n'
    # Infinity, the spread of a series that has a zero, is not JSON
    path.write_text(text.replace('Infinity', 'null'), encoding='utf-8')


def write_rst(path, summary, sentence):
    """A table for a document to include"""
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'.. Made by ./vmi bench\n\n{sentence}\n\n.. csv-table::\n   :header-rows: 1\n\n')
        for line in table(summary):
            file.write('   ' + ','.join(f'``{cell}``' if cell and i == 0 and line[0] != 'row' else f'"{cell}"'
                                        for i, cell in enumerate(line)) + '\n')


def quote(text):
    """For gnuplot, in which '' stands for '"""
    return "'" + text.replace("'", "''") + "'"


def plot_script(path, summary, ratios, title):
    """
    A gnuplot script: horizontal bars that leave the parity line to the left or right, each with its value and the
    range of the runs
    """
    shown = [r for r in ratios if any(f'{r.above}/{r.below}' in row['ratios'] for row in summary)]
    values = [row_ratio[field] for row in summary for row_ratio in row['ratios'].values()
              for field in ('min', 'max') if row_ratio[field] > 0]
    if not values:
        raise ReportError('there is nothing to plot: no row has two series')
    height = 0.8 / len(shown)
    label_width = max(len(row['row']) for row in summary)
    script = [
        f'set terminal svg size 960,{150 + len(summary) * (8 + 14 * len(shown))} font "sans,12" '
        'noenhanced background "#ffffff"',
        f'set output {quote(str(path))}',
        f'set title {quote(title)}',
        'set xlabel "ratio of times, logarithmic; left of 1: shorter"',
        'set key bmargin center vertical',
        'set logscale x',
        # Room for the values beside the bars
        f'set xrange [{min(*values, 1) / 2:g}:{max(*values, 1) * 2:g}]',
        f'set yrange [{len(summary) - 0.4:g}:-0.6]',
        'set grid xtics lc rgb "#d0d0d0"',
        'set tics nomirror',
        f'set lmargin {label_width + 3}',
        f'set bmargin {len(shown) + 5}',
        'set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "#000000" front',
        'set style fill solid noborder',
        'set ytics (' + ', '.join(f'{quote(row["row"])} {i}' for i, row in enumerate(summary)) + ')',
    ]
    for number, ratio in enumerate(shown):
        script.append(f'$data{number} << END')
        labels = []
        for i, row in enumerate(summary):
            found = row['ratios'].get(f'{ratio.above}/{ratio.below}')
            if not found or not found['min']:
                continue
            value, low, high = found['median'], found['min'], found['max']
            top = i - 0.4 + height * number
            middle = top + height / 2
            script.append(f'{value:g} {middle:g} {min(value, 1):g} {max(value, 1):g} {top:g} {top + height:g} '
                          f'{low:g} {high:g}')
            side, at = ('right', low / 1.05) if value < 1 else ('left', high * 1.05)
            labels.append(f'set label "{show_ratio(value)}" at {at:g},{middle:g} {side} font ",10"')
        script += ['END', *labels]
    # The bars, then a line from the least to the greatest ratio of a run on each
    script.append('plot ' + ', '.join(
        [f'$data{number} using 1:2:3:4:5:6 with boxxyerror lc rgb "{ratio.colour}" title {quote(ratio.title)}'
         for number, ratio in enumerate(shown)] +
        [f'$data{number} using 1:2:7:8 with xerrorbars pointtype 0 lw 1 lc rgb "#000000" notitle'
         for number in range(len(shown))]))
    return '\n'.join(script) + '\n'


def write_svg(path, summary, ratios, title):
    script = plot_script(path, summary, ratios, title)
    done = subprocess.run(['gnuplot', '-d'], input=script, text=True, capture_output=True, check=False)
    # With few rows it warns that the key is wide
    errors = [line for line in done.stderr.splitlines() if line and 'warning' not in line.lower()]
    if done.returncode or errors:
        raise ReportError(f'gnuplot failed: {done.stderr.strip()}')
