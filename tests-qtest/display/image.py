# Pictures as rows of RGB bytes: from an X server's frame buffer and from QEMU, compared, and written as PNG.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import dataclasses
import re
import struct
import zlib


@dataclasses.dataclass
class Image:
    width: int
    height: int
    rows: list                  # of bytes, 3 a pixel

    def part(self, x, y, width, height):
        return Image(width, height, [row[3 * x:3 * (x + width)] for row in self.rows[y:y + height]])

    def colours(self):
        return {row[at:at + 3] for row in self.rows for at in range(0, len(row), 3)}

    def difference(self, other):
        """How many pixels differ"""
        return sum(row[at:at + 3] != other_row[at:at + 3] for row, other_row in zip(self.rows, other.rows)
                   if row != other_row for at in range(0, len(row), 3))

    def find(self, other, tolerance):
        """Where another image is in this one, but for some pixels: (x, y), or None"""
        # A row that is not all of one colour
        mark = next((y for y, row in enumerate(other.rows) if len(set(row)) > 3), 0)
        for y in range(self.height - other.height + 1):
            at = self.rows[y + mark].find(other.rows[mark])
            while at >= 0:
                if at % 3 == 0 and self.part(at // 3, y, other.width, other.height).difference(other) <= tolerance:
                    return at // 3, y
                at = self.rows[y + mark].find(other.rows[mark], at + 1)
        return None

    def write_png(self, path):
        def chunk(kind, data):
            body = kind + data
            return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))

        pixels = b''.join(b'\0' + row for row in self.rows)
        path.write_bytes(b'\x89PNG\r\n\x1a\n' +
                         chunk(b'IHDR', struct.pack('>IIBBBBB', self.width, self.height, 8, 2, 0, 0, 0)) +
                         chunk(b'IDAT', zlib.compress(pixels, 9)) + chunk(b'IEND', b''))


def read_xwd(path):
    """An X window dump, which is what Xvfb keeps its frame buffer as; of 32 bits a pixel, blue first"""
    data = path.read_bytes()
    header = struct.unpack('>25I', data[:100])
    size, width, height, depth, line, colours = (header[at] for at in (0, 4, 5, 11, 12, 19))
    if depth != 32 or header[7] != 0:
        raise ValueError(f'{depth} bits a pixel, byte order {header[7]}')
    start = size + 12 * colours
    rows = []
    for y in range(height):
        raw = data[start + y * line:start + y * line + 4 * width]
        row = bytearray(3 * width)
        row[0::3], row[1::3], row[2::3] = raw[2::4], raw[1::4], raw[0::4]
        rows.append(bytes(row))
    return Image(width, height, rows)


def read_ppm(path):
    """What QEMU's screendump writes"""
    data = path.read_bytes()
    match = re.match(rb'P6\s+(\d+)\s+(\d+)\s+255\s', data)
    width, height = int(match[1]), int(match[2])
    start = match.end()
    return Image(width, height, [data[start + 3 * width * y:start + 3 * width * (y + 1)] for y in range(height)])
