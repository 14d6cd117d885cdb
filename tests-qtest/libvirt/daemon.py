# A libvirtd of the test's own, in namespaces of its own, where nothing of the host's libvirt is seen.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import fcntl
import os
import pathlib
import pty
import select
import shutil
import socket
import struct
import subprocess
import sys
import time

PATIENCE = 60                   # seconds, for anything that libvirt or a guest does

# Where a system's libvirt keeps its things. All that is written below these ends with the namespace.
SYSTEM_PLACES = ('/etc/libvirt', '/run', '/var/cache', '/var/lib', '/var/log')

# A session's libvirtd and virsh are told that their user is nobody. In truth it is who runs the test.
AS_USER = {
    'system': [],
    'session': ['unshare', '--user', '--map-user=65534', '--map-group=65534'],
}

# No security driver, cgroup or log daemon: these belong to the host, or need more of it than a test can expect
QEMU_CONF = '''\
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remember_owner = 0
'''
SYSTEM_QEMU_CONF = '''\
user = "root"
group = "root"
'''
LIBVIRTD_CONF = '''\
auth_unix_ro = "none"
auth_unix_rw = "none"
'''


class LibvirtError(Exception):
    pass


def wait_for(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise LibvirtError(f'no {what} within {patience} s')
        time.sleep(0.05)
    return value


def unshare(mode):
    return ['unshare', '--mount', '--propagation', 'private', '--net', '--pid', '--fork', '--kill-child',
            '--mount-proc', *(['--user', '--map-root-user'] if mode == 'session' else [])]


def why_not(mode):
    """What keeps this machine from running the test, or None"""
    for program in ('libvirtd', 'virsh'):
        if not shutil.which(program, path=f'{os.environ["PATH"]}:/usr/sbin'):
            return f'no {program} here'
    if mode == 'system' and os.geteuid() != 0:
        return "a system's libvirtd needs root"
    probe = subprocess.run([*unshare(mode), *AS_USER[mode], 'true'], capture_output=True, text=True, check=False)
    return f'no namespaces here: {probe.stderr.strip()}' if probe.returncode else None


def become_init():
    """
    Return in a child. The first process of the namespace reaps what libvirtd starts, because libvirtd takes a QEMU
    that nobody has waited for to be alive; when it ends, all others are killed.
    """
    child = os.fork()
    if not child:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def hide_host(directory):
    """
    The system's places are empty ones, its cgroups out of sight; there are the user and the group that a daemon
    looks for though it is told to use others, and a loopback network.
    """
    for place in SYSTEM_PLACES:
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', place], check=True)
    os.mkdir('/run/lock')
    subprocess.run(['umount', '--lazy', '--recursive', '/sys/fs/cgroup'], stderr=subprocess.DEVNULL, check=False)
    for name, line in (('passwd', 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin'),
                       ('group', 'libvirt-qemu:x:64055:')):
        original, own = pathlib.Path('/etc', name), directory / name
        own.write_text(f'{original.read_text()}{line}\n')
        subprocess.run(['mount', '--bind', own, original], check=True)
    up = struct.pack('16sh22x', b'lo', 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, up)     # SIOCSIFFLAGS, IFF_UP


class Daemon:
    """Use it as a context, which ends libvirtd"""

    def __init__(self, mode, directory):
        self.directory = pathlib.Path(directory)
        self.log = self.directory / 'libvirtd.log'
        self.uri = f'qemu:///{mode}'
        self.environment = {
            'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', 'HOME': directory,
            'XDG_RUNTIME_DIR': f'{directory}/run', 'XDG_CONFIG_HOME': f'{directory}/config',
            'XDG_CACHE_HOME': f'{directory}/cache', 'XDG_DATA_HOME': f'{directory}/data',
        }
        self.as_user = AS_USER[mode]
        hide_host(self.directory)
        if mode == 'system':
            config, self.socket = pathlib.Path('/etc/libvirt'), pathlib.Path('/run/libvirt/libvirt-sock')
        else:
            config = self.directory / 'config/libvirt'
            config.mkdir(parents=True)
            self.directory.joinpath('run').mkdir()
            self.socket = self.directory / 'run/libvirt/libvirt-sock'
        (config / 'qemu.conf').write_text(QEMU_CONF + (SYSTEM_QEMU_CONF if mode == 'system' else ''))
        (config / 'libvirtd.conf').write_text(LIBVIRTD_CONF)
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen([*self.as_user, 'libvirtd'], env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for('libvirtd', self.listens)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def listens(self):
        if self.process.poll() is not None:
            raise LibvirtError(f'libvirtd ended at once\n{self.log_text()}')
        return self.socket.exists() and self.try_virsh('uri')[0]

    def log_text(self):
        """The end of libvirtd's log, without what it says of network cards in a namespace that is not theirs"""
        lines = self.log.read_text(errors='replace').splitlines()
        return '\n'.join([line for line in lines if 'ethtool' not in line][-20:])

    def virsh_command(self, *words):
        return [*self.as_user, 'virsh', '--connect', self.uri, *words]

    def try_virsh(self, *words, quiet=True, cwd=None):
        """Return whether it succeeded, and what it said"""
        command = self.virsh_command(*(['--quiet'] if quiet else []), *words)
        process = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
                                 cwd=cwd, check=False)
        return process.returncode == 0, process.stdout.strip()

    def virsh(self, *words):
        ok, output = self.try_virsh(*words)
        if not ok:
            raise LibvirtError(f'virsh {" ".join(words)}: {output}')
        return output


class Console:
    """"virsh console", on a terminal as it wants it. Use it as a context."""

    def __init__(self, daemon, domain):
        self.output = ''
        child, self.terminal = pty.fork()
        if not child:
            try:
                command = daemon.virsh_command('console', domain)
                os.execvpe(command[0], command, daemon.environment)
            except OSError as error:
                sys.exit(str(error))
        self.child = child
        # It says this when it is connected
        self.wait('Escape character is')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        """Leave the console as a user does"""
        try:
            os.write(self.terminal, b'\x1d')
        except OSError:
            pass
        os.close(self.terminal)
        os.waitpid(self.child, 0)

    def wait(self, text):
        """Wait for new output up to this text and the end of its line, and return it; or what there is at the end"""
        end = time.monotonic() + PATIENCE
        at = -1
        while at < 0 or '\n' not in self.output[at:]:
            if not select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise LibvirtError(f'no "{text}" on the console within {PATIENCE} s, but:\n{self.output}')
            try:
                more = os.read(self.terminal, 65536)
            except OSError:
                more = b''
            if not more:
                raise LibvirtError(f'the console ended without "{text}", but with:\n{self.output}')
            self.output += more.decode(errors='replace').replace('\r', '')
            at = self.output.find(text)
        end_of_line = self.output.index('\n', at) + 1
        seen, self.output = self.output[:end_of_line], self.output[end_of_line:]
        return seen
