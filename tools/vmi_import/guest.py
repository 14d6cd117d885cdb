# From the keys of a .vmx to a machine: all but disks, which are in drives.py.
#
# SPDX-License-Identifier: GPL-2.0-or-later

import hashlib
import re
import uuid

from .machine import SOUND, Machine, Nic
from .text import LONGEST, Refused, plain, shown

MOST_MEMORY = 65536             # MiB, what PAE reaches
MOST_NAME = 60
LEAST_KHZ, MOST_KHZ = 1000, 1023999999
LARGEST_LOG = 16 << 20
CLOCK = re.compile(r'vmi: registering clock source khz=(\d{1,12})')
BITS_64 = re.compile(r'.*[-_ ]?64(guest)?', re.IGNORECASE)
LINUX = ('linux', 'rhel', 'redhat', 'centos', 'fedora', 'sles', 'sled', 'suse', 'sjds', 'nld', 'oes', 'ubuntu', 'debian',
         'mandr', 'turbo', 'asianux', 'oracle', 'other24', 'other26', 'other3', 'other')
# By VMware's name, in lower case: QEMU's, and what the guest must have for it if it is another card. Without
# VMware's Tools, a "flexible" card is a vlance.
NICS = {
    '': ('pcnet', ''),
    'vlance': ('pcnet', ''),
    'flexible': ('pcnet', ''),
    'e1000': ('e1000', ''),
    'vmxnet': ('pcnet', 'the driver pcnet32'),
    'vmxnet2': ('pcnet', 'the driver pcnet32'),
    'vmxnet3': ('vmxnet3', ''),
    'e1000e': ('e1000', 'the driver e1000'),
}
MAC = re.compile(r'([0-9a-f]{2})' + r'[:-]([0-9a-f]{2})' * 5, re.IGNORECASE)
SOUNDS = {'': 'es1370', 'es1371': 'es1370', 'sb16': 'sb16', 'hdaudio': 'ich6', 'hdaudio_ich9': 'ich6'}
SERIAL = {'device': 'a device of the host', 'file': 'a file', 'pipe': 'a pipe', 'network': 'the network',
          'thinprint': 'ThinPrint'}
# What is not there: a pattern of keys that are on, what it is, and what serves instead
DROPPED = (
    (r'parallel\d\.present', 'parallel port', 'no printer and no dongle there'),
    (r'sharedfolder\d+\.present', 'shared folder',
     'QEMU has none for these guests: copy by scp, or mount by NFS or SMB from the host, which is 10.0.2.2 for the guest'),
    (r'vmci0\.present', 'VMCI', 'nothing but VMware\'s Tools uses it'),
    (r'pcipassthru\d+\.present', 'PCI device of the host', 'not passed on'),
    (r'vmsafe\.enable', 'VMsafe', 'an interface of ESX'),
    (r'mks\.enable3d', '3D graphics', 'the screen has no 3D'),
    (r'svga\.numdisplays', 'several screens', 'there is one'),
    (r'remotedisplay\.vnc\.enabled', 'VNC server', 'the domain has its own; for run.sh add -display vnc=:1'),
)


def check(vmx):
    """Refuse what cannot be a guest with VMI here"""
    if any(key.startswith('encryption.') for key in vmx.values):
        raise Refused(f'{shown(vmx.path.name)} is encrypted: remove that in VMware\'s settings of the machine first')
    if vmx.get('firmware').strip().lower() == 'efi':
        raise Refused('firmware = "efi": VMI needs a BIOS, because UEFI runs no option ROMs')
    if BITS_64.fullmatch(vmx.get('guestOS').strip()):
        raise Refused(f'{vmx.said("guestOS")} is a 64-bit guest, and VMI is for 32-bit ones')
    if vmx.get('checkpoint.vmState').strip():
        raise Refused(f'the guest is suspended ({vmx.said("checkpoint.vmState")}): let it go on in VMware and shut '
                      'it down')
    if not any(key in vmx.values for key in ('config.version', 'virtualhw.version', 'guestos', 'memsize')):
        raise Refused(f'{shown(vmx.path.name)} is no .vmx file: it has none of the keys that each of them has')


def take_name(vmx):
    """A name that libvirt, QEMU and a file system take"""
    name = ''.join(char if char.isprintable() and char not in '/\\' else ' ' for char in vmx.get('displayName'))
    name = ' '.join(name.split())[:MOST_NAME].strip(' .-')
    return name or plain(vmx.path.stem) or 'guest'


def take_uuid(vmx, machine, table):
    text = vmx.get('uuid.bios')
    machine.uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, vmx.path.absolute().as_uri()))
    digits = re.sub(r'[\s-]', '', text).lower()
    if re.fullmatch(r'[0-9a-f]{32}', digits):
        machine.uuid = '-'.join(digits[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        table.taken('uuid.bios', machine.uuid)
    elif text:
        table.changed(vmx.said('uuid.bios'), f'it is no UUID: {machine.uuid}')
    else:
        table.changed('uuid.bios', f'it is not said: {machine.uuid}')


def take_size(vmx, machine, table):
    machine.memory = vmx.number('memsize', 0, 4, MOST_MEMORY)
    if machine.memory:
        table.taken(vmx.said('memsize'), f'{machine.memory} MiB')
    else:
        machine.memory = 256
        table.changed('memsize', 'it is not said: 256 MiB')
    machine.cpus = vmx.number('numvcpus', 1, 1, 64)
    machine.cores = vmx.number('cpuid.coresPerSocket', 1, 1, 64)
    if machine.cpus % machine.cores:
        table.dropped(vmx.said('cpuid.coresPerSocket'), f'{machine.cpus} processors cannot be so')
        machine.cores = 1
    table.taken(vmx.said('numvcpus') if vmx.get('numvcpus') else 'numvcpus',
                f'{machine.cpus} processor{"s" * (machine.cpus > 1)}' +
                (f', {machine.cores} in a socket' if machine.cores > 1 else ''))


def take_system(vmx, machine, table):
    system = vmx.get('guestOS').strip()
    if not system.lower().startswith(LINUX) and 'linux' not in system.lower():
        table.changed(vmx.said('guestOS') if system else 'guestOS',
                      'VMI is for Linux 2.6.21 to 2.6.36; for others this is a machine like any')
    key = 'vmi.present' if vmx.get('vmi.present') else 'vmi.enabled'
    if vmx.flag(key):
        machine.vmi = True
        table.taken(vmx.said(key), 'a device vmi-pci, at 02:03.0 as on ESX Server')
    elif machine.vmi:
        table.changed('vmi.present', 'it is not TRUE there: a device vmi-pci at 02:03.0, because of --vmi')
    else:
        table.changed(vmx.said(key) if vmx.get(key) else 'vmi.present',
                      'it is not TRUE: no device vmi-pci; if the kernel has CONFIG_VMI, --vmi gives it one')


def take_clock(path, machine, table):
    """What the guest has said its clock's frequency was"""
    try:
        with open(path, 'rb') as file:
            match = CLOCK.search(file.read(LARGEST_LOG).decode('latin-1'))
    except OSError as error:
        raise Refused(f'{shown(path)}: {error.strerror}') from error
    if not match:
        raise Refused(f'{shown(path)}: no line "vmi: registering clock source khz=..." in it')
    khz = int(match[1])
    if not LEAST_KHZ <= khz <= MOST_KHZ:
        raise Refused(f'{shown(path)}: {khz} kHz is no frequency of a clock')
    if machine.vmi:
        machine.frequency = khz * 1000
        table.taken(f'clock source khz={khz}', 'the device\'s cycle-frequency')


def take_nics(vmx, machine, table):
    for match in vmx.matching(r'ethernet(\d)\.present'):
        key = f'ethernet{match[1]}'
        if not vmx.flag(f'{key}.present'):
            continue
        there = vmx.get(f'{key}.virtualDev').strip()
        model, needed = NICS.get(there.lower(), ('pcnet', 'the driver pcnet32'))
        mac, why = take_mac(vmx, key)
        machine.nics.append(Nic(model, mac, machine.take_slot()))
        what = f'{key} ({shown(there) or "vlance"})'
        if needed:
            table.changed(what, f'{model}, {mac}: the guest must have {needed}')
        else:
            table.taken(what, f'{model}, {mac}')
        if why:
            table.changed(why, f'{mac} is a new address: the guest may take it for another card (udev: 70-persistent-net.rules)')
        kind = vmx.get(f'{key}.connectionType').strip() or 'bridged'
        if kind.lower() != 'nat':
            table.changed(f'{key}: {shown(kind)}',
                          'QEMU\'s user network, as VMware\'s NAT: the guest reaches others, they do not reach it')
        if not vmx.flag(f'{key}.startConnected', True):
            table.changed(f'{key}: not connected at start', 'connected; "set_link net0 off" in the monitor takes it off')


def take_mac(vmx, key):
    """The MAC, and why it is a new one, if it is"""
    new = hashlib.sha256(f'{vmx.path.absolute()} {key}'.encode(errors='replace')).hexdigest()
    new = f'52:54:00:{new[:2]}:{new[2:4]}:{new[4:6]}'
    kind = vmx.get(f'{key}.addressType').strip().lower()
    names = ['address', 'generatedAddress'] if kind == 'static' else ['generatedAddress', 'address']
    for name in names:
        text = vmx.get(f'{key}.{name}').strip()
        if not text:
            continue
        match = MAC.fullmatch(text)
        if not match or int(match[1], 16) & 1 or not any(int(group, 16) for group in match.groups()):
            return new, f'{vmx.said(f"{key}.{name}")}, no address of a card'
        return ':'.join(match.groups()).lower(), ''
    return new, f'{key}: no address'


def take_serials(vmx, machine, table):
    ports = [match[1] for match in vmx.matching(r'serial([0-3])\.present') if vmx.flag(f'serial{match[1]}.present')]
    machine.serials = max([int(port) + 1 for port in ports], default=0)
    for port in ports:
        kind = vmx.get(f'serial{port}.fileType').strip().lower()
        there = f'serial{port} ({SERIAL.get(kind, "a device of the host")})'
        if port == '0':
            table.changed(there, 'the console of libvirt, and of the terminal that run.sh is on')
        else:
            table.changed(there, 'a port with nothing behind it')
    if not machine.serials:
        machine.serials = 1
        table.changed('serial0', 'there was none: it is the console, where the kernel writes if it has console=ttyS0')


def take_sound(vmx, machine, table):
    if not vmx.flag('sound.present'):
        return
    there = vmx.get('sound.virtualDev').strip().lower()
    machine.sound = SOUNDS.get(there, 'es1370')
    what = f'sound ({shown(there) or "es1371"})'
    if machine.sound == 'es1370':
        table.changed(what, 'ES1370: the guest must have the driver snd-ens1370, where VMware\'s has snd-ens1371')
    elif machine.sound == 'ich6':
        table.changed(what, 'Intel\'s HD audio: the driver is snd-hda-intel, as before')
    else:
        table.taken(what, SOUND[machine.sound])
    if machine.sound != 'sb16':
        machine.sound_slot = machine.take_slot()


def take_input(vmx, machine, table):
    machine.usb = vmx.flag('usb.present')
    devices = [match[1] for match in vmx.matching(r'usb(?:_xhci)?:(\d+)\.devicetype')]
    machine.tablet = machine.usb and any(vmx.get(f'usb:{number}.deviceType').strip().lower() == 'hid'
                                         for number in devices)
    if machine.usb:
        table.taken('usb', 'USB 1.1, UHCI')
    if machine.usb and vmx.flag('ehci.present'):
        machine.usb2_slot = machine.take_slot()
        table.taken('ehci', 'USB 2.0, EHCI')
    if machine.tablet:
        table.taken('usb: mouse (hid)', 'a tablet, so the pointer is where the host\'s is')
    else:
        table.taken('mouse', 'PS/2, which also speaks VMware\'s protocol (driver vmmouse)')


def take_screen(vmx, machine, table):
    size = vmx.number('svga.vramSize', 0, 0, 1 << 31)
    wanted = -(-size // (1 << 20))
    while machine.video_memory < wanted and machine.video_memory < 128:
        machine.video_memory *= 2
    table.taken('svga', f'VMware\'s graphics card, {machine.video_memory} MiB: the driver of X is "vmware"')


def take_rest(vmx, table):
    for pattern, what, text in DROPPED:
        keys = [match[0] for match in vmx.matching(pattern)
                if vmx.flag(match[0]) or (pattern.endswith('numdisplays') and vmx.get(match[0]) not in ('', '1'))]
        if keys:
            table.dropped(f'{what}{f" ({len(keys)})" if len(keys) > 1 else ""}', text)
    if vmx.get('nvram'):
        table.dropped('nvram', 'the BIOS is another one, and so are its settings')
    if vmx.twice:
        table.changed(shown(', '.join(vmx.twice)), 'it is there more than once: the last one counts')
    if vmx.not_read:
        table.dropped(f'{vmx.not_read} line{"s" * (vmx.not_read > 1)} of the file', 'not of the form KEY = "VALUE"')


def take(vmx, table, *, vmi=False, log=None):
    """The machine without drives"""
    check(vmx)
    machine = Machine(take_name(vmx), vmi=vmi)
    table.taken('displayName', machine.name)
    take_uuid(vmx, machine, table)
    take_size(vmx, machine, table)
    take_system(vmx, machine, table)
    if log:
        take_clock(log, machine, table)
    machine.description = ''.join(char if char.isprintable() or char == '\n' else ' '
                                  for char in vmx.get('annotation').replace('\r\n', '\n'))[:LONGEST * 40].strip()
    if machine.description:
        table.taken('annotation', 'the domain\'s description')
    take_nics(vmx, machine, table)
    take_serials(vmx, machine, table)
    take_sound(vmx, machine, table)
    take_input(vmx, machine, table)
    take_screen(vmx, machine, table)
    return machine
