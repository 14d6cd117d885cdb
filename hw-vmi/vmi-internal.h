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
#include "qemu/stats64.h"
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
    int64_t floor_ns;           /* (v) the next look is no sooner than that */
    bool armed;                 /* (v) and so all below */
    uint32_t flags;             /* VMI_ALARM_*, counter included */
    uint64_t expiry;            /* cycles */
    uint64_t period;            /* cycles, 0: one shot */
} VMIAlarm;

/**
 * VMILVTT: what the local APIC does with an alarm
 * @entry: the timer's entry in the local vector table
 * @stopped: the CPU waits for a STARTUP IPI
 * @pending: the CPU has yet to take an interrupt like it
 */
typedef struct VMILVTT {
    uint32_t entry;
    uint8_t apic_id;
    bool stopped;
    bool pending;
} VMILVTT;

/* Alarms that were up to 1, 2, 4... ns late; the last bucket is for the rest */
#define VMI_LATENESS_BUCKETS 36

/* Hosts of 32 bits would align it to 4 bytes. */
typedef aligned_uint64_t VMICounter;

/*
 * What is counted, since QEMU started.  Two kinds of fields by who writes:
 *   (o) only the vCPU's own thread, by vmi_count(); any thread may read
 *   (B) any thread that holds the BQL
 */
typedef struct VMIStats {
    VMICounter calls[VMI_MAX_CALLS];    /* (o) carried out by the host */
    VMICounter refused;             /* (o) */
    VMICounter losses;              /* (o) page table changes that counted */
    VMICounter spaces_dropped;      /* (o) for too many made by other vCPUs */
    VMICounter spaces_taken_back;   /* (o) by SetCR3, as they had been kept */
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
    bool ap_native;             /* the machine woke up: the firmware's turn */
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

/*
 * What migrates and has to be valid.  A load leaves it here until all of it has
 * been looked at, so one that is refused, or fails before that, leaves the
 * device as it was in all that it computes or finds memory with.
 */
typedef struct VMIMigrated {
    uint64_t cycle_frequency;
    uint32_t virtual_top;
    uint32_t groups;            /* that are on at the source */
    bool active;
    uint32_t rom_address;
    uint32_t rom_linear;
    uint8_t accel;
    uint32_t rom_revision;
} VMIMigrated;

struct VMIPCIState {
    PCIDevice parent_obj;

    MemoryRegion port;          /* (c) */
    char *qom_path;             /* (c) */
    DeviceListener cpu_listener;        /* (B) */
    Notifier machine_done;      /* (B) */
    Notifier suspend, wakeup;   /* (B) */
    Object *reset;              /* (c) see vmi-reset.c */
    VMChangeStateEntry *vm_state_change;        /* (c) */
    ISADevice *pit;             /* (c) NULL if KVM has it, or there is none */

    /* Properties: (c), except the first two, which migration sets: (B) */
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
    bool active;                /* between VMI_Init and reset, not wake-up */
    uint32_t rom_address;       /* guest-physical, (B) */
    uint32_t rom_linear;        /* where the guest runs it, (a) */
    uint8_t accel;              /* VMIAccel at VMI_Init, (B) */
    uint8_t relocated[VMI_MAX_CALLS];   /* VMIService answered last, (B) */
    uint32_t rom_revision;      /* told by the ROM at VMI_Init, (B) */
    int64_t active_since;       /* s since 1970, the host's clock, (B) */

    uint64_t handshakes;        /* that were accepted, (B) */

    /* What a guest did wrong */
    struct {
        QemuMutex lock;         /* a leaf, for the next two */
        int64_t start;          /* of the current second, host ns */
        unsigned logged;        /* in it */
        Stat64 count;           /* (a) */
        char *message;          /* (a) of the last one, not sent yet, or NULL */
        QEMUBH *bh;             /* (c) sends it */
    } errors;

    /* KVM: (B); the real counter, see vmi-kvm-time.c */
    struct {
        bool shared_time;       /* the guest computes it */
        uint64_t cycles;        /* the counter when */
        int64_t cycles_ns;      /* the virtual clock had this */
        bool ap_starting;       /* a vCPU waits for another one */
        bool pit_seen;          /* an alarm was set since VMI_Init */
    } kvm;

    bool wallclock_updated;     /* (a) */
    bool debugged;              /* (a) a debugger has set breakpoints */
    VMIMigrated migrated;       /* (B) while state is saved or loaded */
};

/**
 * vmi_of: the device that is this virtual hypervisor
 *
 * Without a cast that checks the type: it is called for each call of a guest.
 */
static inline VMIPCIState *vmi_of(X86VirtualHypervisor *vhyp)
{
    return (VMIPCIState *)vhyp;
}

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
static inline void vmi_count(VMICounter *counter)
{
    qatomic_set_u64(counter, *counter + 1);
}

/* vmi-dispatch.c */

/**
 * vmi_dispatch: carry out a host call
 * @call: filled in except for the result
 *
 * A number that is not served by the host has no effect, is reported as a
 * guest error and returns -1.
 */
void vmi_dispatch(VMICall *call);

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
