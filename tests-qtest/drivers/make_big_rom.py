#!/usr/bin/python3
#
# Write the option ROM of a network card that does nothing, and leaves little
# room for others: 74 KiB.
#
# usage: drivers/make_big_rom.py FILE
#
# SPDX-License-Identifier: GPL-2.0-or-later

import struct
import sys

SIZE = 74 << 10
PCI_DATA = 0x1c

image = bytearray(SIZE)
image[0:4] = bytes([0x55, 0xaa, SIZE // 512, 0xcb])     # far return
struct.pack_into('<H', image, 0x18, PCI_DATA)
struct.pack_into('<4sHHHHB3BHHBB', image, PCI_DATA, b'PCIR', 0x8086, 0x100e, 0,
                 0x18, 0, 0, 0, 2, SIZE // 512, 0, 0, 0x80)
image[-1] = -sum(image) & 255
with open(sys.argv[1], 'wb') as file:
    file.write(image)
