"""What the tests share: TAP, machines, their consoles, ways to move a guest.

Tests find it by PYTHONPATH, which names this directory's parent.

SPDX-License-Identifier: GPL-2.0-or-later
"""
