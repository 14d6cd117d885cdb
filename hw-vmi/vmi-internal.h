/*
 * VMI device: what its files share
 *
 * Locking.  A call runs in its vCPU's thread: without the BQL where it comes
 * from TCG's VMCALL, with it where it comes from the port.  Whatever a call
 * touches says beside it what guards it:
 *   (c) constant once the device is realized
 *   (B) the BQL
 *   (v) the lock of the vCPU, a leaf: nothing is taken under it but the
 *       locks inside of QEMU's timers
 *   (a) atomic
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VMI_INTERNAL_H
#define HW_VMI_INTERNAL_H

#include "cpu.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci_device.h"
#include "hw/vmi/vmi-abi.h"
#include "qemu/atomic.h"
#include "qemu/notify.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"

#define TYPE_VMI_PCI "vmi-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VMIPCIState, VMI_PCI)

#define VMI_APIC_LVTT 0x320     /* offset of the timer's entry */
#define VMI_ALARMS 2            /* one on real, one on available time */

typedef struct VMIVCPU VMIVCPU;

typedef struct VMIAlarm {
    VMIVCPU *vcpu;              /* (c) */
    QEMUTimer *timer;           /* (c) its own lock */
    int64_t timer_ns;           /* (v) it is set for, -1: not set */
    int64_t retry_ns;           /* (v) it expired, but LVTT is masked; or 0 */
    bool armed;                 /* (v) and so all below */
    uint32_t flags;             /* VMI_ALARM_*, counter included */
    uint64_t expiry;            /* cycles */
    uint64_t period;            /* cycles, 0: one shot */
} VMIAlarm;

/**
 * VMILVTT: what the local APIC does with an alarm
 * @entry: the timer's entry in the local vector table
 * @stopped: the CPU waits for a STARTUP IPI
 */
typedef struct VMILVTT {
    uint32_t entry;
    uint8_t apic_id;
    bool stopped;
} VMILVTT;

/* Alarms that were up to 1, 2, 4... ns late; the last bucket is for the rest */
#define VMI_LATENESS_BUCKETS 36

/*
 * What is counted, since QEMU started.  (o): the vCPU's own thread counts, by
 * vmi_count(), and any thread reads.
 */
typedef struct VMIStats {
    uint64_t calls[VMI_MAX_CALLS];  /* (o) carried out by the host */
    uint64_t refused;               /* (o) */
    uint64_t losses;                /* (o) page table changes that counted */
    uint64_t spaces_dropped;        /* (o) for too many made by other vCPUs */
    uint64_t spaces_taken_back;     /* (o) by SetCR3, as they had been kept */
    uint64_t alarms_fired;          /* (B) and so both below */
    uint64_t alarms_masked;
    uint64_t alarm_lateness[VMI_LATENESS_BUCKETS];
} VMIStats;

struct VMIVCPU {
    VMIPCIState *vmi;           /* (c) */
    X86CPU *cpu;                /* (B) NULL while no CPU is plugged here */
    QemuMutex lock;

    VMIAlarm alarm[VMI_ALARMS];

    /* Stolen time: (v), see vmi-time.c */
    uint64_t stolen;            /* cycles, never goes back */
    uint64_t available_seen;    /* cycles, highest value reported */
    int64_t sampled_ns;         /* virtual time of the last sample */
    uint64_t run_delay_ns;      /* the thread's run delay accounted for */
    int schedstat_fd;           /* -1: not open */
    int schedstat_tid;          /* of the thread that it is open for */

    /* The vCPU's own thread only */
    uint64_t stale;             /* mismatches that the self-check found */

    VMIStats stats;

    /* Halt: the vCPU's own thread only, see vmi-halt.c */
    int64_t halt_start;         /* host ns, 0: not in it */
    int64_t halt_poll_ns;       /* how long to poll */
    unsigned halt_suspended;    /* halts without a poll, to come */

    /* Processor start: (B) */
    bool ap_staged;
    VMIAPState ap_state;        /* as the guest gave it, little-endian */
};

typedef enum VMIGroup {
    VMI_GROUP_ALWAYS,
    VMI_GROUP_CPU,
    VMI_GROUP_IRQ,
    VMI_GROUP_MMU,
    VMI_GROUP_SMP,
    VMI_GROUP_TIMER,
    VMI_GROUP_LAZY,
} VMIGroup;

typedef enum VMIService {
    VMI_SERVICE_NONE,
    VMI_SERVICE_NATIVE,
    VMI_SERVICE_HOST,
    VMI_SERVICE_NOP,
    VMI_SERVICE_SHARED,
    VMI_SERVICES
} VMIService;

/* Whether the host serves a call, and how TCG translates it */
typedef enum VMIHost {
    VMI_HOST_NONE,              /* not served by the host */
    VMI_HOST_CALL,              /* ends the translation block */
    VMI_HOST_SIMPLE,
} QEMU_PACKED VMIHost;

/* What a call to a stub of the ROM is under TCG: see vmi-calls.h.inc */
typedef enum VMIPlace {
    VMI_PLACE_NONE,
    VMI_PLACE_ENDS,
    VMI_PLACE_SIMPLE,
    VMI_PLACE_IRET,
    VMI_PLACE_STI,
    VMI_PLACE_CLI,
    VMI_PLACE_GET_IF,
    VMI_PLACE_SET_IF,
} VMIPlace;

/* Which accelerator's ROM stubs a guest has; part of vmstate. */
typedef enum VMIAccel {
    VMI_ACCEL_TCG,
    VMI_ACCEL_KVM,
} VMIAccel;

struct VMIPCIState {
    PCIDevice parent_obj;

    MemoryRegion port;          /* (c) */
    char *qom_path;             /* (c) */
    QemuMutex error_lock;       /* a leaf; for the next two */
    int64_t error_start;        /* of the current second, host ns */
    unsigned errors;            /* reported in it */
    DeviceListener cpu_listener;
    Notifier machine_done;
    VMChangeStateEntry *vm_state_change;
    ISADevice *pit;             /* (c) NULL if KVM has it, or there is none */

    /* Properties: (c), but for the first two, which migration sets: (B) */
    uint64_t cycle_frequency;   /* Hz */
    uint32_t virtual_top;
    bool cycle_frequency_set;
    uint32_t groups;            /* bit mask of VMIGroup */
    bool check;                 /* walk kept address spaces again */
    bool hide_kvm;              /* KVM: from the guest's CPUID */
    bool exact_stolen;          /* KVM: stolen time, for an exit each */

    VMIHost host[VMI_MAX_CALLS];        /* (c) */
    VMIVCPU *vcpu;              /* (c) by cpu_index */
    uint32_t nr_vcpus;          /* (c) */

    /* Handshake: set under (B), read by vCPUs: (a) */
    bool active;                /* between VMI_Init and reset */
    uint32_t rom_address;       /* guest-physical, (B) */
    uint32_t rom_linear;        /* where the guest runs it, (a) */
    uint8_t accel;              /* VMIAccel at VMI_Init, (B) */
    uint8_t relocated[VMI_MAX_CALLS];   /* VMIService answered last, (B) */
    uint32_t rom_revision;      /* told by the ROM at VMI_Init, (B) */
    int64_t active_since;       /* s since 1970, the host's clock, (B) */

    uint64_t handshakes;        /* that were accepted, (B) */
    uint64_t guest_errors;      /* (a) */
    char *error_message;        /* (a) of the last one, not sent yet, or NULL */
    QEMUBH *error_bh;           /* (c) sends it */

    /* KVM: the real counter, see vmi-kvm-time.c; (B) */
    bool shared_time;           /* the guest computes it */
    uint64_t kvm_cycles;        /* the counter when */
    int64_t kvm_cycles_ns;      /* the virtual clock had this */

    bool ap_starting;           /* (B) KVM: a vCPU waits for another one */
    bool wallclock_updated;     /* (a) */
    bool debugged;              /* (a) a debugger has set breakpoints */
    uint32_t loaded_groups;     /* the source's, while state is loaded */
};

/**
 * VMICall: one host call, on the stack of the thread that makes it
 * @arg: EAX, EDX, ECX, EBX, ESI of the guest
 * @result: EDX:EAX of the guest; all host calls may clobber both
 * @jumped: the handler has set EIP and the registers itself
 * @halt: the vCPU halts when the call returns; TCG only
 * @ra: GETPC() for a call from TCG's VMCALL, else 0
 */
typedef struct VMICall {
    VMIPCIState *vmi;
    VMIVCPU *vcpu;
    X86CPU *cpu;
    uint8_t nr;
    uint32_t arg[5];
    uint64_t result;
    bool jumped;
    bool halt;
    uintptr_t ra;
} VMICall;

typedef void VMIHandler(VMICall *call);

/**
 * vmi_call_begin: take a call from the registers, by the calling convention
 * @ra: GETPC() for a call from TCG's VMCALL, else 0
 *
 * What the convention has on the stack, the ROM's stubs load.
 */
static inline VMICall vmi_call_begin(VMIPCIState *vmi, X86CPU *cpu, uint8_t nr,
                                     uintptr_t ra)
{
    const target_ulong *regs = cpu->env.regs;

    return (VMICall) {
        .vmi = vmi,
        .vcpu = &vmi->vcpu[CPU(cpu)->cpu_index],
        .cpu = cpu,
        .nr = nr,
        .arg = { regs[R_EAX], regs[R_EDX], regs[R_ECX], regs[R_EBX],
                 regs[R_ESI] },
        .ra = ra,
    };
}

/**
 * vmi_call_end: put the result into the registers
 */
static inline void vmi_call_end(VMICall *call)
{
    target_ulong *regs = call->cpu->env.regs;

    regs[R_EAX] = (uint32_t)call->result;
    regs[R_EDX] = call->result >> 32;
}

typedef struct VMICallInfo {
    const char *name;           /* NULL: no such call */
    VMIGroup group;
    uint8_t args;               /* 32-bit words */
    uint8_t stack;              /* of these, on the guest's stack */
    VMIService service[2];      /* by VMIAccel */
    VMIPlace place;             /* what TCG makes of a call to the stub */
} VMICallInfo;

/* vmi-calls.c */

/**
 * vmi_call_info: the table's entry for a call number
 * @nr: below VMI_MAX_CALLS
 *
 * Returns: the entry; its name is NULL for an unassigned number.
 */
const VMICallInfo *vmi_call_info(unsigned nr);

/**
 * vmi_service: how a call is served in this machine
 * @nr: call number, any value
 *
 * Property switches and accelerator taken into account.  Any thread.
 */
VMIService vmi_service(VMIPCIState *vmi, unsigned nr);

/**
 * vmi_calls_init: note which calls the host serves
 *
 * The properties are set.
 */
void vmi_calls_init(VMIPCIState *vmi);

/* vmi-dispatch.c */

/**
 * vmi_dispatch: carry out a host call
 * @call: filled in but for the result
 *
 * A number that is not served by the host has no effect, is reported as a
 * guest error and returns -1.
 */
void vmi_dispatch(VMICall *call);

/* vmi-calls.c */

/**
 * vmi_guest_error: report what a guest did wrong, at a bounded rate
 *
 * Counted, goes to -d guest_errors, and to management as VMI_GUEST_ERROR.
 * Any thread, without the vCPU's lock.
 */
void vmi_guest_error(VMIPCIState *vmi, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/**
 * vmi_refuse: trace, report and count a call that is not carried out
 * @nr: as the guest gave it
 * @why: for the trace
 *
 * The vCPU's own thread.
 */
void vmi_refuse(VMIVCPU *vcpu, uint32_t nr, const char *why, const char *fmt,
                ...) G_GNUC_PRINTF(4, 5);

/**
 * vmi_count: add 1 to a counter that this thread alone counts in
 */
static inline void vmi_count(uint64_t *counter)
{
    qatomic_set_u64(counter, *counter + 1);
}

/* vmi-stats.c */

/**
 * vmi_stats_init: offer the device's numbers to the monitor; BQL held
 */
void vmi_stats_init(VMIPCIState *vmi);

/* vmi-port.c */

/**
 * vmi_port_init: add the I/O port; BQL held
 */
void vmi_port_init(VMIPCIState *vmi);

/* vmi-tcg.c */

/**
 * vmi_hypercall: VMCALL under TCG, see X86VirtualHypervisorClass
 */
X86HypercallResult vmi_hypercall(X86VirtualHypervisor *vhyp, X86CPU *cpu,
                                 uint8_t nr, bool in_place, uintptr_t ra);
X86HypercallResult vmi_hypercall_indirect(X86VirtualHypervisor *vhyp,
                                          X86CPU *cpu, uint32_t target,
                                          uintptr_t ra);
bool vmi_hypercall_is_simple(X86VirtualHypervisor *vhyp, uint8_t nr);
X86InlineCall vmi_inline_call(X86VirtualHypervisor *vhyp, uint32_t target,
                              uint8_t *nr);
uint32_t vmi_hypercall_range(X86VirtualHypervisor *vhyp, uint32_t *size);

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
 * vmi_rom_find: where the ROM that a guest runs is in physical memory
 * @cpu: the vCPU in whose address space @linear is
 * @linear: linear address of the image's first byte, from the guest
 * @phys: set on success
 *
 * The image must lie in the segment that guests scan, at an address that
 * they look at, and be a VMI ROM.  BQL held.
 */
bool vmi_rom_find(X86CPU *cpu, uint32_t linear, uint32_t *phys);

/* vmi-kvm-apic.c */

/**
 * vmi_kvm_read_lvtt: what KVM's local APIC of a vCPU does with an alarm
 *
 * In the vCPU's own thread.
 *
 * Returns: false if KVM does not tell.
 */
bool vmi_kvm_read_lvtt(CPUState *cs, VMILVTT *lvtt);

/* vmi-kvm-cpuid.c */

/**
 * vmi_kvm_hide: take KVM's CPUID leaves from a CPU that has not run
 */
void vmi_kvm_hide(X86CPU *cpu);

/* vmi-kvm-iret.c */

/**
 * vmi_kvm_iret: IRET to a 16-bit stack, as VMIIretStack at ESP says
 *
 * In the vCPU's thread, with its state synchronised; BQL held.
 *
 * Returns: false, with nothing changed, if that is not what is there.
 */
bool vmi_kvm_iret(X86CPU *cpu);

/* vmi-kvm-port.c */

/**
 * vmi_kvm_port_call: serve a call without the CPU's whole state, if it can be
 *
 * In the vCPU's thread; BQL held.
 *
 * Returns: false if nothing was done.
 */
bool vmi_kvm_port_call(VMIPCIState *vmi, CPUState *cs);

/* vmi-kvm-time.c: all with the BQL held */

/**
 * vmi_kvm_real_cycles: the real counter under KVM
 * @now: the virtual clock
 *
 * Exact in a vCPU's thread.  Elsewhere it is counted from the last exact
 * value by the virtual clock, which may go some millionths faster or slower.
 */
uint64_t vmi_kvm_real_cycles(VMIPCIState *vmi, int64_t now);

/**
 * vmi_kvm_time_share: let the guest read time, from where it is now
 *
 * For VMI_Init and whenever the machine goes on after a stop.
 */
void vmi_kvm_time_share(VMIPCIState *vmi);

/**
 * vmi_kvm_time_stop: keep the counter with the guest while it is stopped
 */
void vmi_kvm_time_stop(VMIPCIState *vmi);

/* vmi-kvm-smp.c */

/**
 * vmi_kvm_start_ap: start a processor that waits for a STARTUP IPI
 *
 * With the state that is staged.  Waits for the vCPU's thread; BQL held.
 */
void vmi_kvm_start_ap(VMIVCPU *vcpu);

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
 * vmi_cycles: read a cycle counter
 * @counter: VMI_CYCLES_*
 *
 * Any thread; takes the vCPU's lock but for the real counter.
 */
uint64_t vmi_cycles(VMIVCPU *vcpu, unsigned counter);

/**
 * vmi_cycles_locked: vmi_cycles() under the vCPU's lock
 */
uint64_t vmi_cycles_locked(VMIVCPU *vcpu, unsigned counter);

void vmi_time_vcpu_init(VMIVCPU *vcpu);

/**
 * vmi_time_vcpu_reset: forget the thread that stolen time was read from
 *
 * For a vCPU that is unplugged or whose state was loaded; BQL held.
 */
void vmi_time_vcpu_reset(VMIVCPU *vcpu);

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

/* vmi-halt.c */

/**
 * vmi_halt_ended: a vCPU that was halted makes its first call
 *
 * The vCPU's own thread.
 */
void vmi_halt_ended(VMIVCPU *vcpu);

/* vmi-check.c */

/**
 * vmi_check_spaces: compare the current space's TLB with its page tables
 *
 * Reports what does not match.  The vCPU's own thread.
 */
void vmi_check_spaces(VMIVCPU *vcpu);

/* vmi-mmu.c */

/**
 * vmi_mmu_vcpu_init: keep address spaces of a CPU that has not run; BQL held
 */
void vmi_mmu_vcpu_init(VMIVCPU *vcpu);

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
 * vmi_reset: end VMI mode, for a reset of the machine; BQL held
 */
void vmi_reset(void *opaque);

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

/* vmi-state.c */
extern const VMStateDescription vmstate_vmi_pci;

/* Handlers of the table vmi-calls.h.inc */
VMIHandler vmi_call_apic_read, vmi_call_apic_write, vmi_call_cancel_alarm;
VMIHandler vmi_call_cycle_counter, vmi_call_cycle_frequency;
VMIHandler vmi_call_flush_tlb, vmi_call_halt, vmi_call_inval_page;
VMIHandler vmi_call_iret, vmi_call_kernel_stack;
VMIHandler vmi_call_page_table, vmi_call_set_cr3, vmi_call_set_pxe;
VMIHandler vmi_call_set_pxe_long, vmi_call_update_pxe;
VMIHandler vmi_call_rdtsc, vmi_call_reboot, vmi_call_set_alarm;
VMIHandler vmi_call_set_ap_state, vmi_call_shutdown, vmi_call_wallclock;
VMIHandler vmi_call_wallclock_updated;

#endif /* HW_VMI_INTERNAL_H */
