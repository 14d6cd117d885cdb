"""The guest programs that run under KVM, and how.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import pathlib
import sys
import typing

from vmitest.mover import Mover
import nested

TESTS = pathlib.Path(__file__).resolve().parents[1]
DEVICE = 'vmi-pci,cycle-frequency=1000000000'
TWO_CPUS = ['-smp', '2']
FEW_WAYS = [way for way in Mover.WAYS if way not in ('postcopy', 'multifd')]
NO_APIC = ['-cpu', 'qemu32,-apic']          # QEMU has no local APIC of its own for KVM


@dataclasses.dataclass
class Guest:
    """What vmitest.guest.judge() needs, too"""
    name: str
    program: str
    append: str = ''
    irqchip: str = 'on'
    device: str = DEVICE
    qemu: list = dataclasses.field(default_factory=list)
    status: int = 1
    plans: int = 1
    expect: list = dataclasses.field(default_factory=list)
    timeout: float = 90
    count_exits: bool = False
    host: typing.Callable = None            # changes the command for a nested machine; in one only
    log: list = dataclasses.field(default_factory=list)     # lines that QEMU must print, as regular expressions

    def command(self, qemu, guest, rom, monitor):
        """rom: the device's; monitor: a chardev for the one who counts exits"""
        counting = ['-device', 'pvpanic', '-action', 'panic=pause', '-chardev', f'{monitor},id=monitor',
                    '-mon', 'chardev=monitor,mode=control'] if self.count_exits else []
        return [qemu, '-accel', f'kvm,kernel-irqchip={self.irqchip}', '-nodefaults', '-vga', 'none', '-m', '64',
                '-display', 'none', '-chardev', 'stdio,id=console',
                # A string of output is one exit, where the serial line has several for each byte
                '-device', 'isa-debugcon,iobase=0xe9,chardev=console',
                '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-device', self.device,
                '-kernel', guest, '-append', f'kvm {self.append}'.strip(), *self.qemu, *counting]


@dataclasses.dataclass
class Driven(Guest):
    """A guest that a script of ours moves about"""
    script: str = ''
    options: list = dataclasses.field(default_factory=list)
    old_rom: bool = False
    status: int = 0
    timeout: float = 240                    # several QEMUs on one processor

    def command(self, qemu, guest, rom, monitor):
        return ['env', f'PYTHONPATH={TESTS}', str(pathlib.Path(sys.executable).resolve()), '-S', self.script,
                '--qemu', qemu, '--guest', guest, *self.options, *(['--rom', rom] if self.old_rom else []), '--',
                *self.qemu]


def migrate(name, append, irqchip='on', rounds=5, ways=FEW_WAYS, old_rom=False, qemu=()):
    return Driven(name, 'migrate', script=str(TESTS / 'drivers/migrate.py'), old_rom=old_rom,
                  options=['--append', f'kvm {append}', '--rounds', str(rounds), '--ways', ','.join(ways)],
                  qemu=['-accel', f'kvm,kernel-irqchip={irqchip}', *qemu])


DEMO = [r'VMI: Found VMware, Inc[.] Hypervisor OPROM, API version 3[.]0, ROM version 1[.]0',
        r'Reserving virtual address space above 0xfc000000',
        r'Booting paravirtualized kernel on vmi',
        r'vmi: registering clock event vmi-timer[.] mult=11854634 shift=22',
        r'vmi: registering clock source khz=2826365',
        # On a busy host one may come late, with the next one
        *[r'vmi-timer tick +[0-9]+ +real [0-9]+ us, .*'] * 3,
        r'entered user mode by VMI IRET, left by int 0x80: CS was 0x1b',
        r'entered user mode by VMI SYSEXIT, left by SYSENTER: CS was 0x1b',
        r'touched 0xd0005000: 1 page fault, served by SetPxE',
        r'asleep in Halt for 500 ms: 1 wake-up, 1 tick',
        r'VMI demo guest: all done, [0-9]+ ticks on vmi-timer']

GUESTS = [
    Guest('reboot', 'reboot', plans=4),
    migrate('migrate', 'paging32', rounds=7, ways=Mover.WAYS, old_rom=True),
    migrate('migrate-split', 'pae swap', 'split'),
    migrate('migrate-smp-2', 'paging32 cpus=2', rounds=3, ways=['unix', 'loadvm'], qemu=TWO_CPUS),
    Driven('resets', 'resets', script=str(TESTS / 'drivers/resets.py'),
           options=['--append', 'kvm paging32 cpus=2', '--boots', '6'],
           qemu=['-accel', 'kvm', '-device', 'vmi-pci', '-device', 'ib700', *TWO_CPUS]),
    Driven('change-accel', 'migrate', script=str(TESTS / 'kvm/change-accel.py')),
    Guest('iret', 'iret', 'paging32'),
    Guest('iret-pae', 'iret', 'pae'),
    *(Guest(f'alarm-{route}-{irqchip}', 'alarm', route + append, irqchip)
      for irqchip in ('on', 'split') for route, append in (('pic', ''), ('ioapic', ' pae'), ('lvtt', ' paging32'))),
    Guest('modes', 'modes', 'paging32'),
    Guest('demo', 'demo', device='vmi-pci,cycle-frequency=2826365000', expect=DEMO),
    Guest('demo-split', 'demo', irqchip='split', device='vmi-pci,cycle-frequency=2826365000', expect=DEMO),
    Guest('demo-off', 'demo', irqchip='off', device='vmi-pci,cycle-frequency=2826365000', expect=DEMO, qemu=NO_APIC),
    Guest('time', 'time', 'hz=1000000000'),
    Guest('time-split', 'time', 'hz=2826365000 paging32', 'split', device='vmi-pci,cycle-frequency=2826365000'),
    Guest('time-fastest', 'time', 'hz=1023999999999', device='vmi-pci,cycle-frequency=1023999999999'),
    Guest('time-slowest', 'time', 'hz=1000000', device='vmi-pci,cycle-frequency=1000000'),
    Guest('kvm', 'kvm', 'paging32', device='vmi-pci'),
    Guest('kvm-bad-tsc', 'kvm', 'exits', device='vmi-pci', host=nested.with_bad_tsc, log=[
        r'.*warning: vmi-pci: the TSC of this host is not one clock for all processors, so each reading of time is an '
        'exit']),
    Guest('time-bad-tsc', 'time', 'hz=1000000000 paging32', host=nested.with_bad_tsc),
    Guest('kvm-exits', 'kvm', 'leaves exits', device='vmi-pci,hide-kvm=off,exact-stolen=on'),
    Guest('exits', 'exits', 'paging32', count_exits=True),
    Guest('smp-2', 'smp', 'paging32 cpus=2', qemu=TWO_CPUS),
    Guest('smp-2-split', 'smp', 'pae cpus=2', 'split', qemu=TWO_CPUS),
    Guest('smp-4', 'smp', 'paging32 cpus=4', qemu=['-smp', '4']),
    Guest('hostile', 'hostile', 'paging32'),
    Guest('smp-off', 'smp', 'paging32 cpus=2 off=smp', device='vmi-pci,smp=off', qemu=TWO_CPUS),
    Guest('calls', 'calls', 'paging32'),
    Guest('calls-pae', 'calls', 'pae'),
    Guest('init', 'init'),
    Guest('find', 'find', 'vga', qemu=['-vga', 'std']),
    Guest('relocations', 'relocations'),
    Guest('relocations-all-off', 'relocations', 'off=cpu off=irq off=mmu off=smp off=timer off=lazy',
          device='vmi-pci,cpu=off,irq=off,mmu=off,smp=off,timer=off,lazy=off'),
    Guest('spaces', 'spaces', 'paging32'),
    Guest('spaces-pae', 'spaces', 'pae'),
    Guest('shutdown', 'shutdown', status=0),
    Guest('shadow-calls', 'calls', 'paging32', host=nested.with_shadow_paging),
    Guest('shadow-calls-pae', 'calls', 'pae', host=nested.with_shadow_paging),
    Guest('shadow-demo', 'demo', device='vmi-pci,cycle-frequency=2826365000', expect=DEMO,
          host=nested.with_shadow_paging),
]
