# "./vmi run", as a user types it: without a display or any input
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import subprocess
import threading


def start(top, options, environment):
    env = {name: value for name, value in os.environ.items() if name not in ('DISPLAY', 'WAYLAND_DISPLAY')}
    # pylint: disable-next=consider-using-with
    return subprocess.Popen([top / 'vmi', 'run', *options], env=env | environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')


def vmi_run(top, *options, timeout, **environment):
    """Return the exit status, None after a timeout, and what was said"""
    with start(top, options, environment) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            return None, output
    return process.returncode, output


def vmi_run_until(top, text, *options, timeout, **environment):
    """Return the first line that contains a text, or an empty one; the guest does not go on after it"""
    with start(top, options, environment) as process:
        # What it says ends with it
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        said = next((line for line in process.stdout if text in line), '')
        timer.cancel()
        process.kill()
    return said.strip()
