# Read .vmx files, and others of their form: lines KEY = "VALUE", of any of VMware's products.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import codecs
import re

from .text import Refused, shown

LARGEST = 1 << 20               # bytes; those that VMware writes have a few KiB
LONGEST_KEY = 200
YES = ('true', 'yes', 'on', '1', 't', 'y')
NO = ('false', 'no', 'off', '0', 'f', 'n')
BOMS = ((codecs.BOM_UTF8, 'utf-8-sig'), (codecs.BOM_UTF16_LE, 'utf-16'), (codecs.BOM_UTF16_BE, 'utf-16'))
ENCODING = re.compile(rb'^[ \t]*\.encoding[ \t]*=[ \t]*"?([\w.:-]{1,40})"?', re.IGNORECASE | re.MULTILINE)
TEXT = re.compile(r'utf-?8|us-ascii|(windows-|cp|iso-8859-)\d+|gb\d*k?|gb18030|big5|shift_?jis|euc-\w\w|koi8-\w',
                  re.IGNORECASE)
# A character that a value cannot have is | and its code
ESCAPE = re.compile(r'\|([0-9A-Fa-f]{2})')


def read_bytes(path, largest):
    """A whole file, which has to be one, and small"""
    try:
        if not path.is_file():
            raise Refused(f'{shown(path)}: {"no file" if path.exists() else "there is no such file"}')
        with open(path, 'rb') as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        raise Refused(f'{shown(path)}: {getattr(error, "strerror", None) or "not a name"}') from error
    if len(content) > largest:
        raise Refused(f'{shown(path)}: larger than such a file can be')
    return content


def decode(content):
    """The text, by its byte order mark or by what it says of itself. What is not in that encoding is replaced."""
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return content.decode(encoding, errors='replace')
    match = ENCODING.search(content)
    name = match[1].decode('ascii', errors='replace') if match else 'utf-8'
    try:
        # Not all codecs of Python's are about text
        if TEXT.fullmatch(name):
            return content.decode(name)
    except (LookupError, UnicodeError):
        pass
    try:
        return content.decode('utf-8')
    except UnicodeError:
        return content.decode('cp1252', errors='replace')


def value_of(text):
    text = text.strip()
    if text.startswith('"'):
        # What follows the last quote is a comment, or nothing
        end = text.rfind('"')
        text = text[1:end] if end > 0 else text[1:]
    else:
        text = text.split('#', 1)[0].strip()
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


class Vmx:
    """The keys of a file, whose case does not matter; as they are spelled there when they are shown"""

    def __init__(self, path, text=None):
        self.path = path
        self.values = {}
        self.spelled = {}
        self.twice = []
        self.not_read = 0
        if text is None:
            text = decode(read_bytes(path, LARGEST))
        for line in re.split(r'[\r\n]+', text):
            self.take_line(line.strip())

    def take_line(self, line):
        if not line or line.startswith('#'):
            return
        spelled, equals, value = line.partition('=')
        spelled = spelled.strip()
        key = spelled.lower()
        if not equals or not spelled.isprintable() or not 0 < len(key) <= LONGEST_KEY:
            self.not_read += 1
            return
        value = value_of(value)
        if self.values.get(key, value) != value:
            self.twice.append(spelled)
        self.values[key] = value
        self.spelled.setdefault(key, spelled)

    def get(self, key, default=''):
        return self.values.get(key.lower(), default)

    def said(self, key):
        """The key and its value as they are there"""
        key = key.lower()
        return shown(f'{self.spelled.get(key, key)} = "{self.values.get(key, "")}"')

    def flag(self, key, default=False):
        value = self.get(key).strip().lower()
        return True if value in YES else False if value in NO else default

    def number(self, key, default, least, most):
        """A number that has to make sense"""
        text = self.get(key).strip()
        if not text:
            return default
        if not re.fullmatch(r'[0-9]{1,15}', text) or not least <= int(text) <= most:
            raise Refused(f'{self.said(key)}: it should be a number from {least} to {most}')
        return int(text)

    def matching(self, pattern):
        """The matches of keys, in the order of their numbers"""
        found = [match for match in (re.fullmatch(pattern, key, re.ASCII) for key in self.values) if match]
        return sorted(found, key=lambda match: [(len(group), group) if group.isdigit() else (0, group)
                                                for group in match.groups()])
