# Numbers that guests know, from where they are written: the ABI's headers.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import pathlib
import re

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / 'hw-vmi/include'
HEADERS = [INCLUDE / 'vmi-abi.h', INCLUDE / 'vmi-calls.h.inc']

TEXT = ''.join(path.read_text(encoding='utf-8') for path in HEADERS)
# Those that are plain numbers
DEFINES = {name: int(value, 0) for name, value in re.findall(
    r'^#define (VMI_\w+) +(0x[0-9a-fA-F]+|\d+)\b', TEXT, re.MULTILINE)}
CALLS = {name: int(number) for number, name in re.findall(
    r'^VMI_CALL\((\d+), +(\w+),', TEXT, re.MULTILINE)}


def slot(transport, number):
    """Offset in the ROM of a call's stub; transport: NATIVE, VMCALL, PORT"""
    return (DEFINES[f'VMI_ROM_{transport}_SLOTS'] +
            number * DEFINES['VMI_ROM_SLOT_SIZE'])
