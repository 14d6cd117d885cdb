# A client of QEMU's gdb stub, which speaks gdb's remote protocol itself.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import socket

from vmitest.machine import PATIENCE, MachineError

REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', 'eip',
             'eflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs']


class GDB:
    """For 32-bit guests; addresses are linear"""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.buffer = b''
        self.command('qSupported')

    def byte(self):
        if not self.buffer:
            self.buffer = self.socket.recv(4096)
            if not self.buffer:
                raise MachineError('QEMU has closed the gdb connection')
        first, self.buffer = self.buffer[:1], self.buffer[1:]
        return first

    def send(self, packet):
        data = packet.encode()
        self.socket.sendall(b'$%s#%02x' % (data, sum(data) & 255))

    def receive(self):
        while self.byte() != b'$':
            pass
        packet = b''
        while True:
            byte = self.byte()
            if byte == b'#':
                break
            packet += byte
        self.byte()
        self.byte()
        self.socket.sendall(b'+')
        return packet.decode()

    def command(self, packet):
        """The answer; an error is an exception"""
        try:
            self.send(packet)
            answer = self.receive()
        except OSError as error:
            raise MachineError(f'gdb: no answer to {packet}: {error}') \
                from error
        if answer.startswith('E'):
            raise MachineError(f'gdb: {packet}: {answer}')
        return answer

    def registers(self):
        data = bytes.fromhex(self.command('g')[:len(REGISTERS) * 8])
        return {name: int.from_bytes(data[4 * i:4 * i + 4], 'little')
                for i, name in enumerate(REGISTERS)}

    def pc(self):
        return self.registers()['eip']

    def memory(self, address, length):
        return bytes.fromhex(self.command(f'm{address:x},{length:x}'))

    def set_break(self, address):
        self.command(f'Z0,{address:x},1')

    def clear_break(self, address):
        self.command(f'z0,{address:x},1')

    def step(self):
        return self.command('s')

    def resume(self):
        """Continue up to the next stop"""
        return self.command('c')

    def resume_for(self, seconds):
        """Continue for so long at most; return whether it stopped by itself"""
        self.send('c')
        self.socket.settimeout(seconds)
        try:
            self.receive()
            return True
        except TimeoutError:
            self.socket.settimeout(PATIENCE)
            self.socket.sendall(b'\x03')
            self.receive()
            return False
        finally:
            self.socket.settimeout(PATIENCE)

    def step_back(self):
        return self.command('bs')

    def resume_back(self):
        return self.command('bc')

    def detach(self):
        """The guest runs on, and may end QEMU before that answers"""
        self.send('D')
        self.socket.close()
