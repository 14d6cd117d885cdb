/*
 * VMI device: what its files offer each other under any accelerator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VMI_PARTS_H
#define HW_VMI_PARTS_H

#include "vmi-internal.h"

/* vmi-monitor.c */

/**
 * vmi_stats_init: offer the device's numbers to the monitor; BQL held
 */
void vmi_stats_init(VMIPCIState *vmi);

/* vmi-port.c */

/**
 * vmi_port_init: add the I/O port; BQL held
 */
void vmi_port_init(VMIPCIState *vmi);

/* vmi-rom.c */

/*
 * virtual-top takes away from the kernel's part of the address space, which
 * has 896 MiB of direct map from 3 GiB on and needs room for its own maps.
 */
#define VMI_MIN_VIRTUAL_TOP (3 * GiB + 512 * MiB)

/**
 * vmi_virtual_top_valid: whether a guest can live below that linear address
 */
bool vmi_virtual_top_valid(uint32_t virtual_top);

/**
 * vmi_rom_check: refuse a file that is not a VMI ROM
 * @romfile: as in the property of that name
 *
 * Returns: true on success.
 */
bool vmi_rom_check(const char *romfile, Error **errp);

/**
 * vmi_rom_write_header: put virtual-top into the ROM BAR's header
 */
void vmi_rom_write_header(VMIPCIState *vmi);

/**
 * vmi_rom_address_valid: whether guests look for a ROM at this address
 */
bool vmi_rom_address_valid(hwaddr address);

/**
 * vmi_rom_find: where the ROM that a guest runs is in physical memory
 * @cpu: the vCPU in whose address space @linear is
 * @linear: linear address of the image's first byte, from the guest
 * @phys: set on success
 *
 * The image must lie in the segment that guests scan, at an address that
 * they look at, and be a VMI ROM.  BQL held.
 */
bool vmi_rom_find(X86CPU *cpu, uint32_t linear, uint32_t *phys);

/* vmi-cycles.c */

/**
 * vmi_ns_to_cycles: @ns in cycles, rounded down
 */
uint64_t vmi_ns_to_cycles(VMIPCIState *vmi, uint64_t ns);

/**
 * vmi_cycles_to_ns: duration of @cycles, rounded up, at most INT64_MAX
 */
int64_t vmi_cycles_to_ns(VMIPCIState *vmi, uint64_t cycles);

/* vmi-time.c */

/**
 * vmi_cycles: read a cycle counter, for the guest
 * @counter: VMI_CYCLES_*
 *
 * Any thread; takes the vCPU's lock except for the real counter.
 */
uint64_t vmi_cycles(VMIVCPU *vcpu, unsigned counter);

/**
 * vmi_cycles_locked: read a cycle counter under the vCPU's lock
 *
 * The guest is not told, so the counter of available time may be found to be
 * less when stolen time is brought up to date.
 */
uint64_t vmi_cycles_locked(VMIVCPU *vcpu, unsigned counter);

/**
 * vmi_cycles_told: the guest knows that a counter has got to @cycles
 *
 * It will not read less.  The vCPU's lock is held.
 */
void vmi_cycles_told(VMIVCPU *vcpu, unsigned counter, uint64_t cycles);

void vmi_time_vcpu_init(VMIVCPU *vcpu);

/**
 * vmi_time_vcpu_reset: forget the thread that stolen time was read from
 *
 * For a vCPU that is unplugged or whose state was loaded; BQL held.
 */
void vmi_time_vcpu_reset(VMIVCPU *vcpu);

/**
 * vmi_time_check: see that the counters of a vCPU fit together
 *
 * Before the machine goes on; BQL held.
 */
void vmi_time_check(VMIVCPU *vcpu);

/**
 * vmi_time_jumped: the machine was stopped, or its state loaded
 *
 * Wall time may have jumped, which WallclockUpdated tells the guest.
 */
void vmi_time_jumped(VMIPCIState *vmi);

/* vmi-alarm.c */

void vmi_alarm_vcpu_init(VMIVCPU *vcpu);

/**
 * vmi_alarm_cancel_all: disarm both alarms of a vCPU; any thread
 */
void vmi_alarm_cancel_all(VMIVCPU *vcpu);

/**
 * vmi_alarm_unmasked: the guest has unmasked LVTT; any thread
 *
 * An alarm that expired before fires now.
 */
void vmi_alarm_unmasked(VMIVCPU *vcpu);

/**
 * vmi_alarms_armed: how many alarms of a vCPU are; any thread
 */
unsigned vmi_alarms_armed(VMIVCPU *vcpu);

/**
 * vmi_alarm_restart: set the host timers of a vCPU whose state was loaded
 */
void vmi_alarm_restart(VMIVCPU *vcpu);

/**
 * vmi_alarm_restart_all: the same for all vCPUs; after the counter has moved
 */
void vmi_alarm_restart_all(VMIPCIState *vmi);

/* vmi-ap.c */

/**
 * vmi_ap_state_valid: whether a processor of the guest can be in this state
 *
 * Except for its segments, which vmi_ap_load() checks.
 */
bool vmi_ap_state_valid(X86CPU *cpu, const VMIAPState *state);

/**
 * vmi_ap_load: set a processor's state; in its own thread
 * @cpu: in the state that INIT leaves
 *
 * Returns: false, with some of it set, if a segment is bad.
 */
bool vmi_ap_load(X86CPU *cpu, const VMIAPState *state);

/* vmi-smp.c */

/**
 * vmi_startup: a STARTUP IPI, see X86VirtualHypervisorClass
 */
X86StartupResult vmi_startup(X86VirtualHypervisor *vhyp, X86CPU *cpu);

/* vmi-handshake.c */

/**
 * vmi_handshake: VMI_Init
 * @linear: where the ROM runs
 * @revision: VMI_ROM_REVISION of the ROM
 *
 * Returns: true if the guest is in VMI mode from now on.  BQL held.
 */
bool vmi_handshake(VMIPCIState *vmi, X86CPU *cpu, uint32_t linear,
                   uint32_t revision);

/**
 * vmi_relocate: GetRelocationInfo; EAX call number, answer in EAX and EDX
 *
 * BQL held.
 */
void vmi_relocate(VMIPCIState *vmi, CPUX86State *env);

/**
 * vmi_vcpu_forget: cancel alarms, and unstage a processor's state; BQL held
 */
void vmi_vcpu_forget(VMIVCPU *vcpu);

/**
 * vmi_flush_code: forget translated code, which has calls to the ROM in it
 *
 * For a change of whether VMI is active, or where the ROM is; BQL held.
 */
void vmi_flush_code(void);

/* vmi-vmstate.c */
extern const VMStateDescription vmstate_vmi_pci;

/* vmi-reset.c */

/**
 * vmi_reset_setup: be told of resets of the machine, and of suspend to RAM
 *
 * A reset ends VMI mode, and waking up does not.  For realize; BQL held.
 */
void vmi_reset_setup(VMIPCIState *vmi);

/**
 * vmi_reset_teardown: end VMI mode as at a reset, and be told no more
 *
 * BQL held.
 */
void vmi_reset_teardown(VMIPCIState *vmi);

#endif /* HW_VMI_PARTS_H */
