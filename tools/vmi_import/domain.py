# A machine as a domain of libvirt's, after docs/libvirt/vmi-esx35.xml. docs/libvirt.rst explains it.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import json
import xml.etree.ElementTree as ET

from .machine import BRIDGE_SLOTS, VIDEO_SLOT, VMI_BUS, VMI_SLOT

QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0'


def add(parent, tag, text=None, **attributes):
    element = ET.SubElement(parent, tag, attributes)
    if text is not None:
        element.text = str(text)
    return element


def pci(element, slot, function=0):
    add(element, 'address', type='pci', domain='0x0000', bus='0x00', slot=f'0x{slot:02x}',
        function=f'0x{function:x}')


def add_system(domain, machine):
    add(domain, 'name', machine.name)
    add(domain, 'uuid', machine.uuid)
    if machine.description:
        add(domain, 'description', machine.description)
    add(domain, 'memory', machine.memory, unit='MiB')
    add(domain, 'vcpu', machine.cpus)
    system = add(domain, 'os')
    add(system, 'type', 'hvm', arch='i686', machine='pc')
    features = add(domain, 'features')
    add(features, 'acpi')
    add(features, 'apic')
    if machine.cores > 1:
        cpu = add(domain, 'cpu')
        add(cpu, 'topology', sockets=str(machine.cpus // machine.cores), cores=str(machine.cores), threads='1')
    clock = add(domain, 'clock', offset='utc')
    # Linux 2.6.24 to 2.6.34 with VMI dies of an HPET
    add(clock, 'timer', name='hpet', present='no')
    add(domain, 'on_poweroff', 'destroy')
    add(domain, 'on_reboot', 'restart')
    add(domain, 'on_crash', 'destroy')


def add_drive(devices, drive, machine, directory):
    disk = add(devices, 'disk', type='file', device=drive.device)
    add(disk, 'driver', name='qemu', type=drive.format)
    if drive.file:
        add(disk, 'source', file=str(directory / drive.file))
    add(disk, 'target', dev=drive.name, bus=drive.bus)
    if drive.device == 'cdrom':
        add(disk, 'readonly')
    if drive.boot:
        add(disk, 'boot', order=str(drive.boot))
    # libvirt has the disk's number in another place for this controller
    by_unit = drive.bus != 'scsi' or machine.scsi[drive.controller].model == 'lsilogic'
    add(disk, 'address', type='drive', controller=str(drive.controller), bus=str(drive.channel),
        target='0' if by_unit else str(drive.unit), unit=str(drive.unit) if by_unit else '0')


def add_controllers(devices, machine):
    for number, controller in enumerate(machine.scsi):
        pci(add(devices, 'controller', type='scsi', index=str(number), model=controller.model), controller.slot)
    add(devices, 'controller', type='pci', index='0', model='pci-root')
    if machine.vmi:
        for number, slot in enumerate(BRIDGE_SLOTS, 1):
            pci(add(devices, 'controller', type='pci', index=str(number), model='pci-bridge'), slot)
    if machine.usb:
        pci(add(devices, 'controller', type='usb', index='0', model='piix3-uhci'), 1, 2)
    else:
        add(devices, 'controller', type='usb', model='none')
    if machine.usb2_slot:
        pci(add(devices, 'controller', type='usb', index='1', model='ehci'), machine.usb2_slot)


def add_devices(domain, machine, directory):
    devices = add(domain, 'devices')
    add(devices, 'emulator', machine.emulator)
    for drive in machine.drives:
        add_drive(devices, drive, machine, directory)
    add_controllers(devices, machine)
    for nic in machine.nics:
        interface = add(devices, 'interface', type='user')
        add(interface, 'mac', address=nic.mac)
        add(interface, 'model', type=nic.model)
        pci(interface, nic.slot)
    for port in range(machine.serials):
        add(add(devices, 'serial', type='null' if port else 'pty'), 'target', port=str(port))
    add(add(devices, 'console', type='pty'), 'target', type='serial', port='0')
    if machine.tablet:
        add(devices, 'input', type='tablet', bus='usb')
    add(devices, 'graphics', type='vnc', autoport='yes', listen='127.0.0.1')
    if machine.sound:
        sound = add(devices, 'sound', model=machine.sound)
        if machine.sound_slot:
            pci(sound, machine.sound_slot)
    video = add(devices, 'video')
    add(video, 'model', type='vmvga', vram=str(machine.video_memory * 1024), heads='1', primary='yes')
    pci(video, VIDEO_SLOT)
    add(devices, 'memballoon', model='none')


def domain(machine, directory):
    """The document; what the machine's directory has is named by full paths"""
    ET.register_namespace('qemu', QEMU)
    root = ET.Element('domain', type='kvm' if machine.accel == 'kvm' else 'qemu')
    add_system(root, machine)
    add_devices(root, machine, directory)
    if machine.vmi:
        device = {'driver': 'vmi-pci', 'id': 'vmi', 'bus': VMI_BUS, 'addr': f'{VMI_SLOT:#x}'}
        if machine.frequency:
            device['cycle-frequency'] = machine.frequency
        arguments = add(root, f'{{{QEMU}}}commandline')
        # In JSON, or QEMU makes it before those of libvirt, the bridges say
        for value in '-device', json.dumps(device, separators=(',', ':')):
            add(arguments, f'{{{QEMU}}}arg', value=value)
    ET.indent(root)
    return ET.tostring(root, encoding='unicode') + '\n'
