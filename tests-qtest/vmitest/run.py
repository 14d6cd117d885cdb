# "./vmi run", as a user types it
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import subprocess


def vmi_run(top, *options, timeout, **environment):
    """Return the exit status, None after a timeout, and what was said; without a display or any input"""
    env = {name: value for name, value in os.environ.items() if name not in ('DISPLAY', 'WAYLAND_DISPLAY')}
    try:
        done = subprocess.run([top / 'vmi', 'run', *options], env=env | environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b'').decode(errors='replace')
    return done.returncode, done.stdout
