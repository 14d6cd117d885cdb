#!/usr/bin/python3
"""
Look at the window of "./vmi run --display sdl". The demo guest's text is read from the memory of its VGA card. In the
picture on the X server each character of it must be drawn, in its colours and always in the same shape; and the
picture must be the one that QEMU says it shows.

usage: run-sdl.py VMI [PNG]; the picture is written to PNG

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from image import colours as colours_of, find, part, read_xwd
from PIL import Image
from vmitest.machine import QMP, MachineError, wait_for
from vmitest.tap import Tap

COLUMNS, ROWS = 80, 25
# Cells of VGA's text mode in the picture
CELL_WIDTH, CELL_HEIGHT = 9, 16
HANDSHAKE = [
    'VMI: Found VMware, Inc. Hypervisor OPROM, API version 3.0, ROM version 1.0',
    'Reserving virtual address space above 0xfc000000',
    'Booting paravirtualized kernel on vmi',
    'vmi: registering clock source khz=1000000',
    'VMI demo guest: all done',
]


class XServer:
    """Use it as a context, which ends it"""

    def __init__(self, directory):
        self.frame_buffer = directory / 'Xvfb_screen0'
        read, write = os.pipe()
        self.process = subprocess.Popen(
            ['Xvfb', '-displayfd', str(write), '-screen', '0', '1024x768x24', '-nolisten', 'tcp',
             '-fbdir', directory],
            pass_fds=[write], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as number:
            self.display = f':{number.readline().strip()}'

    def __enter__(self):
        if self.display == ':':
            raise MachineError('Xvfb does not start')
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait()

    def picture(self):
        return read_xwd(self.frame_buffer)


def read_text(qmp):
    """The characters and the colours of the cells, from memory"""
    words = re.findall(r'0x([0-9a-f]{4})\b', qmp.hmp(f'xp /{COLUMNS * ROWS}hx 0xb8000'))
    return [(chr(int(word, 16) & 0xff), int(word, 16) >> 8) for word in words]


def draw(picture, cells):
    """
    What the picture has for each kind of cell: by character the shapes, as rows of bits, and by colour the pairs
    of RGB, background first. The cell's own background is what its last pixel has: no letter reaches there.
    """
    shapes, colours = {}, {}
    for number, (character, attribute) in enumerate(cells):
        y, x = divmod(number, COLUMNS)
        cell = part(picture, x * CELL_WIDTH, y * CELL_HEIGHT, CELL_WIDTH, CELL_HEIGHT)
        pixels = list(cell.getdata())
        background = pixels[-1]
        seen = colours_of(cell)
        shape = tuple(pixel != background for pixel in pixels)
        shapes.setdefault(character, set()).add(shape)
        colours.setdefault(attribute, set()).update((background, colour) for colour in seen - {background})
    return shapes, colours


def check_picture(tap, picture, cells):
    shapes, colours = draw(picture, cells)
    # The cursor is in a space
    letters = {character: found for character, found in shapes.items() if character not in ' \0'}
    blank = (False,) * (CELL_WIDTH * CELL_HEIGHT)
    tap.fact(all(len(found) == 1 for found in letters.values()), 'each character has one shape',
             f'{len(letters)} characters')
    drawn = {shape for found in letters.values() for shape in found}
    tap.fact(len(drawn) == len(letters) and blank not in drawn, 'no two have the same, and none is blank')
    texts = {attribute: pairs for attribute, pairs in colours.items()
             if any(cell[1] == attribute and cell[0] not in ' \0' for cell in cells)}
    tap.fact(all(len(pairs) == 1 for pairs in texts.values()) and
             len({pair for pairs in texts.values() for pair in pairs}) == len(texts) > 2,
             'each colour of text is one of its own', f'{len(texts)} colours')


def check(tap, vmi, directory, picture_file):
    monitor = directory / 'monitor'
    with XServer(directory) as server:
        environment = {**os.environ, 'DISPLAY': server.display, 'SDL_VIDEODRIVER': 'x11', 'SDL_AUDIODRIVER': 'dummy'}
        output = directory / 'output'
        with open(output, 'wb') as file:
            process = subprocess.Popen(
                [vmi, 'run', '--display', 'sdl', '--', '-qmp', f'unix:{monitor},server=on,wait=off'],
                env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            def done():
                if process.poll() is not None:
                    raise MachineError(f'QEMU has ended:\n{output.read_text(errors="replace")}')
                return HANDSHAKE[-1] in output.read_text(errors='replace')

            wait_for('end of the demo guest', done, 120)
            qmp = QMP(str(monitor))
            cells = read_text(qmp)
            text = ''.join(character for character, _ in cells)
            lines = [text[at:at + COLUMNS].rstrip(' \0') for at in range(0, len(text), COLUMNS)]
            found = [line for line in HANDSHAKE if any(row.startswith(line) for row in lines)]
            tap.fact(found == HANDSHAKE, 'the screen has the handshake and the end', ' | '.join(found[-1:]))

            def shown():
                """QEMU's picture and where it is on the X server: it is drawn there a little later"""
                qmp.command('screendump', filename=str(directory / 'dump'))
                dump, screen = Image.open(directory / 'dump').convert('RGB'), server.picture()
                # The cursor may blink in between
                place = find(screen, dump, CELL_WIDTH * CELL_HEIGHT)
                return place and (part(screen, *place, dump.width, dump.height), place)

            picture, place = wait_for("picture of the guest's screen on the X server", shown)
            tap.fact((picture.width, picture.height) == (COLUMNS * CELL_WIDTH, ROWS * CELL_HEIGHT),
                     'a window has what the guest shows', f'{picture.width}x{picture.height} at {place}')
            check_picture(tap, picture, cells)
            if picture_file:
                picture.save(picture_file)
            qmp.command('quit')
            tap.fact(process.wait(60) == 0, 'vmi run ends well when the window is closed')
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix='vmi-sdl-') as name:
        try:
            check(tap, sys.argv[1], pathlib.Path(name), sys.argv[2] if len(sys.argv) > 2 else None)
        except MachineError as error:
            tap.fact(False, 'there is something to see')
            print('\n'.join(f'# {line}' for line in str(error).splitlines()))
    tap.end()


main()
