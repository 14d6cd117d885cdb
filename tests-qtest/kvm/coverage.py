#!/usr/bin/python3
"""Which lines of hw/vmi/vmi-kvm-*.c do guest programs execute in the nested machine?

These files are compiled anew with gcc's counters, by QEMU's own commands, and linked with all else that QEMU's build
has. The guests run in the nested machine with that QEMU, and the counters come back from there.

usage: coverage.py --build DIR --run-kvm FILE --probe FILE --bound PERCENT

DIR/full/coverage-kvm.txt gets lines "FILE LINES EXECUTED".

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import json
import pathlib
import re
import shlex
import subprocess

from vmitest.tap import Tap

# What reaches most; all others would add little but time
GUESTS = ['kvm', 'kvm-exits', 'kvm-bad-tsc', 'time', 'time-slowest', 'time-fastest', 'alarm-lvtt-on', 'hostile',
          'smp-2', 'modes', 'migrate-smp-2']
EMULATOR = 'qemu-system-i386'
OBJECT = re.compile(r'libqemu-i386-softmmu\.a\.p/hw_vmi_(vmi-kvm-.*)\.c\.o')


def compile_emulator(qemu_build, directory):
    """Return the objects with counters, and the emulator"""
    text = subprocess.run(['ninja', '-C', qemu_build, '-t', 'compdb', '-x'], check=True, capture_output=True,
                          text=True).stdout
    commands = {entry['output']: entry['command'] for entry in json.loads(text[text.index('['):])}
    link = commands[EMULATOR]
    objects = []
    for output in filter(OBJECT.fullmatch, commands):
        objects.append(directory / f'{OBJECT.fullmatch(output)[1]}.o')
        run(qemu_build, commands[output].replace(f'-o {output}', f'-o {shlex.quote(str(objects[-1]))}') +
            ' -MF /dev/null --coverage -fprofile-update=atomic -O0')
        link = link.replace(f' {output} ', f' {shlex.quote(str(objects[-1]))} ')
    emulator = directory / EMULATOR
    run(qemu_build, link.replace(f'-o {EMULATOR}', f'-o {shlex.quote(str(emulator))}') + ' --coverage')
    return objects, emulator


def run(directory, command):
    subprocess.run(command, shell=True, cwd=directory, check=True)


def executed(source_object):
    """The file's lines that have code, each with how often it was executed"""
    text = subprocess.run(['gcov', '--json-format', '--stdout', source_object.with_suffix('.gcda')],
                          cwd=source_object.parent, check=True, capture_output=True, text=True).stdout
    lines = {}
    for file in json.loads(text)['files']:
        if pathlib.Path(file['file']).stem == source_object.stem:
            for line in file['lines']:
                lines[line['line_number']] = lines.get(line['line_number'], 0) + line['count']
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', type=pathlib.Path, required=True)
    parser.add_argument('--run-kvm', required=True)
    parser.add_argument('--probe', required=True)
    parser.add_argument('--bound', type=float, required=True)
    args = parser.parse_args()
    directory = args.build / 'full/coverage-kvm'
    subprocess.run(['rm', '-rf', directory], check=True)
    directory.mkdir(parents=True)
    tap = Tap()

    objects, emulator = compile_emulator(args.build / 'qemu', directory)
    command = [args.run_kvm, '--build', args.build, '--probe', args.probe, '--nested', '--emulator', emulator,
               '--counters', directory, *GUESTS]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(''.join(f'# {line}\n' for line in result.stdout.splitlines() if not re.match(r'ok|# ok', line)))
    tap.fact(result.returncode == 0, 'the guests do well under a QEMU with counters',
             f'status {result.returncode}')

    total = reached = 0
    with open(args.build / 'full/coverage-kvm.txt', 'w', encoding='utf-8') as table:
        for source_object in sorted(objects):
            lines = executed(source_object)
            hit = sum(count > 0 for count in lines.values())
            total += len(lines)
            reached += hit
            name = f'{source_object.stem}.c'
            table.write(f'{name} {len(lines)} {hit}\n')
            missed = [str(number) for number, count in sorted(lines.items()) if not count]
            print(f'# {name}: {hit} of {len(lines)} lines; not {", ".join(missed)}')
    percent = 100 * reached / total
    tap.fact(percent >= args.bound, f'{args.bound:g} % of the lines of vmi-kvm-*.c are executed', f'{percent:.1f} %')
    tap.end()


main()
