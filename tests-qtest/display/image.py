# Pictures from an X server's frame buffer, and where one is in another.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import struct

from PIL import Image, ImageChops


def difference(one, other):
    """How many pixels differ"""
    bands = ImageChops.difference(one, other).split()
    # In no band is it nothing
    most = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    return one.width * one.height - most.histogram()[0]


def part(image, x, y, width, height):
    return image.crop((x, y, x + width, y + height))


def colours(image):
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def rows(image):
    data, line = image.tobytes(), 3 * image.width
    return [data[at:at + line] for at in range(0, len(data), line)]


def find(image, other, tolerance):
    """Where another image is in this one, except for some pixels: (x, y), or None"""
    here, there = rows(image), rows(other)
    # A row that is not all of one colour
    mark = next((y for y, row in enumerate(there) if len(set(row)) > 3), 0)
    for y in range(image.height - other.height + 1):
        at = here[y + mark].find(there[mark])
        while at >= 0:
            if at % 3 == 0 and difference(part(image, at // 3, y, other.width, other.height), other) <= tolerance:
                return at // 3, y
            at = here[y + mark].find(there[mark], at + 1)
    return None


def read_xwd(path):
    """An X window dump, which is what Xvfb keeps its frame buffer as; of 32 bits a pixel, blue first

    By hand, because Pillow does not read this format.
    """
    data = path.read_bytes()
    header = struct.unpack('>25I', data[:100])
    size, width, height, depth, line, entries = (header[at] for at in (0, 4, 5, 11, 12, 19))
    if depth != 32 or header[7] != 0:
        raise ValueError(f'{depth} bits a pixel, byte order {header[7]}')
    return Image.frombytes('RGB', (width, height), data[size + 12 * entries:], 'raw', 'BGRX', line)
