# A machine as a command of QEMU's, with the devices that libvirt makes of the domain, and the script that has it.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import shlex

from .machine import BRIDGE_SLOTS, SCSI, SOUND, VIDEO_SLOT, VMI_BUS, VMI_SLOT

SCRIPT = '''\
#!/bin/sh
# A guest that "vmi import" has taken over; domain.xml beside this is the same machine for libvirt.
#
# usage: run.sh [QEMU ARGS]
#
# The guest's serial console is this terminal; Ctrl-A X ends QEMU. With a display there is a window.

set -eu

cd "$(dirname "$(readlink -f "$0")")"
emulator={emulator}
if [ ! -x "$emulator" ]; then
    echo "run.sh: $emulator is not there: build or install it, or change its place here" >&2
    exit 1
fi
display=none
[ -z "${{DISPLAY:-}}${{WAYLAND_DISPLAY:-}}" ] || display=sdl
{sound}exec "$emulator" \\
    {arguments} \\
    -display "$display" "$@"
'''
# QEMU ends if it is told to play sound and cannot
SOUND_TEST = '''\
sound=none
[ ! -S "${XDG_RUNTIME_DIR:-/nonexistent}/pulse/native" ] || sound=sdl
'''
# The only word in which the shell has to do something
AUDIO = 'id=audio1,driver=$sound'


def escape(text):
    """As QEMU's options take it"""
    return str(text).replace(',', ',,')


def drive_options(drive, machine):
    """Yield the options of a drive; QEMU knows what is in it, and what it is in, by names"""
    if drive.file:
        yield '-drive', (f'if=none,id=drive-{drive.name},format={drive.format},file={escape(drive.file)}' +
                         (',readonly=on' if drive.device == 'cdrom' else ''))
    if drive.bus == 'fdc':
        device = f'floppy,unit={drive.unit}'
    elif drive.bus == 'ide':
        device = f'{"ide-cd" if drive.device == "cdrom" else "ide-hd"},bus=ide.{drive.channel},unit={drive.unit}'
    else:
        device = f'scsi-hd,bus=scsi{drive.controller}.0,scsi-id={drive.unit}'
    device += f',id={drive.name}'
    if drive.file:
        device += f',drive=drive-{drive.name}'
    yield '-device', device + (f',bootindex={drive.boot}' if drive.boot else '')


def options(machine):
    """Yield the command's options, each a tuple of words, but for the display"""
    yield '-name', f'guest={escape(machine.name)}'
    yield '-uuid', machine.uuid
    # Linux 2.6.24 to 2.6.34 with VMI dies of an HPET
    yield '-machine', 'pc,hpet=off,usb=off'
    yield '-no-user-config', '-nodefaults'
    yield '-accel', machine.accel
    yield '-m', str(machine.memory)
    yield '-smp', (f'{machine.cpus},sockets={machine.cpus // machine.cores},cores={machine.cores},threads=1'
                   if machine.cores > 1 else str(machine.cpus))
    yield '-rtc', 'base=utc'
    if machine.vmi:
        for number, slot in enumerate(BRIDGE_SLOTS, 1):
            yield '-device', f'pci-bridge,id=pci.{number},chassis_nr={number},bus=pci.0,addr={slot:#x}'
        frequency = f',cycle-frequency={machine.frequency}' if machine.frequency else ''
        yield '-device', f'vmi-pci,id=vmi,bus={VMI_BUS},addr={VMI_SLOT:#x}{frequency}'
    if machine.usb:
        yield '-device', 'piix3-usb-uhci,id=usb,bus=pci.0,addr=0x1.0x2'
    if machine.usb2_slot:
        yield '-device', f'usb-ehci,id=usb1,bus=pci.0,addr={machine.usb2_slot:#x}'
    for number, controller in enumerate(machine.scsi):
        yield '-device', f'{SCSI[controller.model][0]},id=scsi{number},bus=pci.0,addr={controller.slot:#x}'
    for drive in machine.drives:
        yield from drive_options(drive, machine)
    for number, nic in enumerate(machine.nics):
        yield '-netdev', f'user,id=hostnet{number}'
        yield '-device', f'{nic.model},netdev=hostnet{number},id=net{number},mac={nic.mac},bus=pci.0,addr={nic.slot:#x}'
    yield '-serial', 'mon:stdio'
    for _ in range(1, machine.serials):
        yield '-serial', 'null'
    if machine.tablet:
        yield '-device', 'usb-tablet,id=input0,bus=usb.0'
    yield '-device', f'vmware-svga,id=video0,vgamem_mb={machine.video_memory},bus=pci.0,addr={VIDEO_SLOT:#x}'
    if machine.sound:
        yield '-audiodev', AUDIO
        place = f',bus=pci.0,addr={machine.sound_slot:#x}' if machine.sound_slot else ''
        codec = machine.sound == 'ich6'
        yield '-device', f'{SOUND[machine.sound]},id=sound0{place}' + ('' if codec else ',audiodev=audio1')
        if codec:
            yield '-device', 'hda-duplex,id=sound0-codec0,bus=sound0.0,audiodev=audio1'


def quote(word):
    return f'"{word}"' if word is AUDIO else shlex.quote(word)


def script(machine):
    arguments = ' \\\n    '.join(' '.join(quote(word) for word in words) for words in options(machine))
    return SCRIPT.format(emulator=shlex.quote(machine.emulator), arguments=arguments,
                         sound=SOUND_TEST if machine.sound else '')
