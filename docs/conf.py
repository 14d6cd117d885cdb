# Sphinx configuration.  In QEMU's tree, its docs/conf.py takes this one's
# place, with 'vmi_calls' added to its extensions.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import sys

sys.path.insert(0, os.path.abspath('.'))

project = 'qemu-vmi'
author = 'qemu-vmi developers'
copyright = author

needs_sphinx = '3.4.3'
extensions = ['vmi_calls']
exclude_patterns = ['_build']
# As in QEMU's: `text` must be a reference
default_role = 'any'
nitpicky = True

html_theme = 'alabaster'
# Long lines of commands go on in the next line
html_static_path = ['static']
html_css_files = ['wrap.css']
html_theme_options = {
    'description': 'QEMU with the VMware Virtual Machine Interface',
    'page_width': '60em',
}
html_sidebars = {'**': ['about.html', 'navigation.html', 'searchbox.html']}
html_copy_source = False
html_show_copyright = False

man_pages = [
    ('vmi', 'vmi', "boot a guest on QEMU with VMware's VMI", [author], 1),
    ('qemu-system-vmi', 'qemu-system-vmi-i386', "QEMU with VMware's VMI", [author], 1),
    ('vmi-top', 'vmi-top', 'what guests do with VMI, as rates', [author], 1),
    ('system/devices/vmi', 'vmi-pci', 'VMware Virtual Machine Interface', [author], 7),
]
