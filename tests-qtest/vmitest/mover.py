# Ways to move a guest from one QEMU to another.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import time

from vmitest.machine import Machine, MachineError, wait_for


class Mover:
    """A guest, and the machine that it runs in now"""

    def __init__(self, directory, command, first, later):
        """command begins the command line of all machines; first ends that of
        the first one, and later that of the others"""
        self.directory = directory
        self.socket = os.path.join(directory, 'migration')
        self.file = os.path.join(directory, 'state')
        self.image = os.path.join(directory, 'image.qcow2')
        self.command = command
        self.later = later
        self.skipped = {}
        self.machine = Machine(directory, [*command, *first])

    def run_on(self):
        """Let the guest do something before it is taken back"""
        raise NotImplementedError

    def next_machine(self, *more):
        return Machine(self.directory, [*self.command, *self.later, *more])

    def replace(self, machine):
        """The guest has moved"""
        self.machine.quit()
        self.machine = machine

    @staticmethod
    def migration_status(machine):
        return machine.qmp.command('query-migrate').get('status')

    def guest_has_ended(self):
        """Whether it has done all that it was for; it ends QEMU then"""
        return False

    def completed(self, machine, what):
        def status():
            try:
                info = machine.qmp.command('query-migrate')
            except MachineError:
                # On a busy host, a guest that has arrived may be done by now
                if self.guest_has_ended():
                    return True
                raise
            if info.get('status') == 'failed':
                raise MachineError(f'{what} failed: {info.get("error-desc")} '
                                   f'{machine.error_text()}')
            return info.get('status') == 'completed'

        wait_for(f'end of {what}', status)

    def migrate(self, capabilities=(), postcopy=False):
        other = self.next_machine('-incoming', 'defer')
        settings = [{'capability': name, 'state': name in capabilities}
                    for name in ('multifd', 'postcopy-ram')]
        settings.append({'capability': 'events', 'state': True})
        for machine in (other, self.machine):
            answer = machine.qmp.try_command('migrate-set-capabilities',
                                             capabilities=settings)
            if 'error' in answer:
                other.kill()
                return answer['error']['desc']
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        uri = f'unix:{self.socket}'
        other.qmp.command('migrate-incoming', uri=uri)
        if postcopy:
            # So slow that it does not end before it is told to
            self.machine.qmp.command('migrate-set-parameters',
                                     max_bandwidth=10000)
        self.machine.qmp.command('migrate', uri=uri)
        if postcopy:
            wait_for('migration', lambda: self.migration_status(self.machine)
                     == 'active')
            self.machine.qmp.command('migrate-start-postcopy')
        try:
            self.completed(self.machine, 'migration')
            self.completed(other, 'incoming migration')
        except MachineError as error:
            other.kill()
            raise MachineError(f'{error}: {other.error_text()}') from error
        if postcopy and not any(
                event['event'] == 'MIGRATION' and
                event['data']['status'] == 'postcopy-active'
                for event in self.machine.qmp.events):
            other.kill()
            raise MachineError('the migration was none of postcopy')
        self.replace(other)
        return None

    def way_unix(self):
        return self.migrate()

    def way_multifd(self):
        return self.migrate(['multifd'])

    def way_postcopy(self):
        return self.migrate(['postcopy-ram'], postcopy=True)

    def way_stopped(self):
        """Migrated while it is stopped; runs a little later"""
        self.machine.qmp.command('stop')
        time.sleep(0.05)
        self.migrate()
        time.sleep(0.05)
        if self.machine.status() != 'paused':
            raise MachineError('a stopped guest runs after migration')
        self.machine.qmp.command('cont')

    def way_file(self):
        self.machine.qmp.command('migrate', uri=f'file:{self.file}')
        self.completed(self.machine, 'migration')
        self.machine.quit()
        self.machine = self.next_machine('-incoming', f'file:{self.file}')
        self.completed(self.machine, 'incoming migration')

    def attach(self, machine):
        """Give the machine the image that snapshots go to"""
        if os.path.exists(self.image):
            machine.qmp.command('blockdev-add', driver='file',
                                filename=self.image, node_name='file')
        else:
            machine.create_image(self.image)
        machine.qmp.command('blockdev-add', driver='qcow2', file='file',
                            node_name='image')

    def detach(self, machine):
        machine.qmp.command('blockdev-del', node_name='image')
        machine.qmp.command('blockdev-del', node_name='file')

    def snapshot(self, machine, action):
        where = {'vmstate': 'image'} if action != 'delete' else {}
        machine.job(f'snapshot-{action}', tag='tag', devices=['image'],
                    **where)

    def way_savevm(self):
        """Saved, and loaded by another QEMU"""
        self.machine.qmp.command('stop')
        self.attach(self.machine)
        self.snapshot(self.machine, 'save')
        self.machine.quit()
        self.machine = self.next_machine('-S')
        self.attach(self.machine)
        self.snapshot(self.machine, 'load')
        self.snapshot(self.machine, 'delete')
        self.detach(self.machine)
        self.machine.qmp.command('cont')

    def way_loadvm(self):
        """Saved, and taken back by the same QEMU when it has run on"""
        self.attach(self.machine)
        self.snapshot(self.machine, 'save')
        self.run_on()
        self.snapshot(self.machine, 'load')
        self.snapshot(self.machine, 'delete')
        self.detach(self.machine)

    WAYS = {'unix': way_unix, 'multifd': way_multifd,
            'postcopy': way_postcopy, 'stopped': way_stopped,
            'file': way_file, 'savevm': way_savevm, 'loadvm': way_loadvm}

    def move(self, way):
        """One round; ways that this host does not have are left out"""
        reason = self.WAYS[way](self)
        if reason:
            self.skipped[way] = reason
            self.way_unix()
