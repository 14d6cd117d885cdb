# What a test needs root for
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import shutil
import subprocess

# sudo drops these
KEPT = ('PATH', 'PYTHONPATH', 'PYTHONDONTWRITEBYTECODE')


def as_root(command):
    """The command for root, by sudo if that asks for no password; None if this user cannot become root"""
    if os.geteuid() == 0:
        return command
    if not shutil.which('sudo'):
        return None
    sudo = ['sudo', '--non-interactive']
    if subprocess.run([*sudo, 'true'], capture_output=True, check=False).returncode:
        return None
    return [*sudo, 'env', *(f'{name}={os.environ[name]}' for name in KEPT if name in os.environ), *command]
