# What is said, and what others wrote: their text is hostile until it is shown here.
#
# SPDX-License-Identifier: GPL-2.0-or-later

UNNAMED = 'its name has characters that a domain or a script cannot have'
LONGEST = 100                   # characters shown of what somebody else wrote


class Refused(Exception):
    """Why a guest cannot be imported, in one line"""


def shown(text):
    """Text of a file, as a terminal can show it in a line"""
    text = ''.join(char if char.isprintable() else '?' for char in str(text))
    return text if len(text) <= LONGEST else text[:LONGEST - 3] + '...'


def can_be_named(path):
    """Whether a domain and a script can have a file's name: it may have line ends in it, or be no text at all"""
    return str(path).isprintable()


def plain(text):
    """Text of a file, as a part of a file's name that no program takes for something else"""
    text = ''.join(char if char.isascii() and (char.isalnum() or char in '._-') else '_' for char in text)
    return text.strip('._-')[:64]


def megabytes(size):
    for unit in 'bytes', 'KiB', 'MiB', 'GiB':
        if size < 1024:
            return f'{size:.4g} {unit}'
        size /= 1024
    return f'{size:.4g} TiB'
