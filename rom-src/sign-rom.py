#!/usr/bin/env python3
#
# Write the checksums of the VMI option ROM: of the PnP header, then of the
# whole image.  Offsets are those of vmi-abi.h.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import struct
import sys

HDR_ROM_BLOCKS = 2
HDR_CHECKSUM = 7
HDR_PNP_OFFSET = 26
PNP_LENGTH = 5
PNP_CHECKSUM = 9


def sign(image, start, length, checksum):
    image[start + checksum] = 0
    image[start + checksum] = -sum(image[start:start + length]) & 0xff


def main():
    source, target = sys.argv[1:]
    with open(source, 'rb') as f:
        image = bytearray(f.read())
    size = image[HDR_ROM_BLOCKS] * 512
    if len(image) != size:
        sys.exit(f'{source}: {len(image)} bytes, the header says {size}')
    pnp, = struct.unpack_from('<H', image, HDR_PNP_OFFSET)
    sign(image, pnp, image[pnp + PNP_LENGTH] * 16, PNP_CHECKSUM)
    sign(image, 0, size, HDR_CHECKSUM)
    with open(target, 'wb') as f:
        f.write(image)


main()
