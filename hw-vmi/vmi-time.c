/*
 * VMI: cycle counters and wall clock
 *
 * Under TCG, real time is QEMU_CLOCK_VIRTUAL in cycles: it stands still while
 * the machine is stopped, is deterministic with icount, is migrated, and never
 * goes back.  Stolen time is how long the vCPU's thread was ready to run
 * and waited for a host CPU, which Linux tells in schedstat.  Available time
 * is the rest, so that real = available + stolen holds by construction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "system/cpu-timers.h"
#include "system/kvm.h"
#include "system/replay.h"
#include "system/rtc.h"
#include "system/system.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

/*
 * Reading schedstat is a system call, and a guest may ask for the available
 * counter at each context switch: bound what that costs.
 */
#define VMI_STOLEN_SAMPLE_NS SCALE_MS

/*
 * Time that the vCPU's thread has waited for a host CPU, in ns since the
 * thread began, or 0 on a host that does not tell.  vCPUs that share a thread
 * (-accel tcg,thread=single) share its wait.
 */
static uint64_t vmi_run_delay(VMIVCPU *vcpu)
{
    int tid = CPU(vcpu->cpu)->thread_id;
    char buf[64];
    const char *p;
    uint64_t delay;
    ssize_t len;

    if (vcpu->schedstat_tid != tid) {
        g_autofree char *path =
            g_strdup_printf("/proc/self/task/%d/schedstat", tid);

        if (vcpu->schedstat_fd >= 0) {
            close(vcpu->schedstat_fd);
        }
        vcpu->schedstat_tid = tid;
        vcpu->schedstat_fd = qemu_open_old(path, O_RDONLY);
        vcpu->run_delay_ns = UINT64_MAX;
    }
    if (vcpu->schedstat_fd < 0) {
        return 0;
    }
    len = pread(vcpu->schedstat_fd, buf, sizeof(buf) - 1, 0);
    if (len <= 0) {
        return 0;
    }
    buf[len] = '\0';

    /* "<ns on a CPU> <ns waiting for one> <time slices>" */
    p = strchr(buf, ' ');
    if (!p || qemu_strtou64(p, &p, 10, &delay) < 0) {
        return 0;
    }
    return delay;
}

/*
 * Bring stolen time up to date.  Two bounds: it does not grow by more than the
 * time since the last sample; and available time, which is what remains of
 * real time, must not become less than a value that the guest has read.
 */
static void vmi_sample_stolen(VMIVCPU *vcpu, int64_t now, uint64_t real)
{
    uint64_t delay, passed, stolen, most;

    if (icount_enabled() || !vcpu->cpu ||
        (kvm_enabled() && !vcpu->vmi->exact_stolen) ||
        now - vcpu->sampled_ns < VMI_STOLEN_SAMPLE_NS) {
        return;
    }
    delay = vmi_run_delay(vcpu);
    if (!delay) {
        return;
    }
    if (delay > vcpu->run_delay_ns) {
        passed = MIN(delay - vcpu->run_delay_ns, now - vcpu->sampled_ns);
        stolen = vmi_ns_to_cycles(vcpu->vmi, passed);
        /* Migrated state may hold anything. */
        if (!uadd64_overflow(vcpu->stolen, vcpu->available_seen, &most) &&
            most < real) {
            vcpu->stolen += MIN(stolen, real - most);
        }
    }
    vcpu->run_delay_ns = delay;
    vcpu->sampled_ns = now;
}

uint64_t vmi_cycles_locked(VMIVCPU *vcpu, unsigned counter)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    uint64_t real = kvm_enabled() ? vmi_kvm_real_cycles(vcpu->vmi, now) :
                                    vmi_ns_to_cycles(vcpu->vmi, now);

    switch (counter) {
    case VMI_CYCLES_REAL:
        return real;
    case VMI_CYCLES_AVAILABLE:
        vmi_sample_stolen(vcpu, now, real);
        return MAX(vcpu->available_seen, real - vcpu->stolen);
    case VMI_CYCLES_STOLEN:
        vmi_sample_stolen(vcpu, now, real);
        return vcpu->stolen;
    default:
        return 0;
    }
}

uint64_t vmi_cycles(VMIVCPU *vcpu, unsigned counter)
{
    uint64_t cycles;

    if (counter == VMI_CYCLES_REAL) {
        return vmi_cycles_locked(vcpu, counter);
    }
    QEMU_LOCK_GUARD(&vcpu->lock);
    cycles = vmi_cycles_locked(vcpu, counter);
    vmi_cycles_told(vcpu, counter, cycles);
    return cycles;
}

void vmi_cycles_told(VMIVCPU *vcpu, unsigned counter, uint64_t cycles)
{
    if (counter == VMI_CYCLES_AVAILABLE) {
        vcpu->available_seen = MAX(vcpu->available_seen, cycles);
    }
}

void vmi_time_vcpu_init(VMIVCPU *vcpu)
{
    vcpu->schedstat_fd = -1;
    vcpu->schedstat_tid = -1;
}

void vmi_time_vcpu_reset(VMIVCPU *vcpu)
{
    if (vcpu->schedstat_fd >= 0) {
        close(vcpu->schedstat_fd);
    }
    vmi_time_vcpu_init(vcpu);
    vcpu->sampled_ns = 0;
}

/*
 * State that was loaded may hold anything.  An available counter ahead of
 * real time would stand still until that has caught up, and an alarm that
 * waits for it would keep the main loop busy.
 */
void vmi_time_check(VMIVCPU *vcpu)
{
    uint64_t real = vmi_cycles(vcpu, VMI_CYCLES_REAL);

    QEMU_LOCK_GUARD(&vcpu->lock);
    vcpu->stolen = MIN(vcpu->stolen, real);
    vcpu->available_seen = MIN(vcpu->available_seen, real - vcpu->stolen);
}

/*
 * With record and replay, the guest reads the clock that was recorded, and
 * when the debugger stops the replay is not part of the record.
 */
void vmi_time_jumped(VMIPCIState *vmi)
{
    if (vmi->active && replay_mode == REPLAY_MODE_NONE) {
        qatomic_set(&vmi->wallclock_updated, true);
    }
}

void vmi_call_cycle_frequency(VMICall *call)
{
    call->result = call->vmi->cycle_frequency;
}

/* GetCycleCounter: EAX = VMI_CYCLES_*, anything else reads 0. */
void vmi_call_cycle_counter(VMICall *call)
{
    if (call->arg[0] > VMI_CYCLES_STOLEN) {
        vmi_guest_error(call->vmi, "GetCycleCounter: no counter %" PRIu32,
                        call->arg[0]);
    }
    call->result = vmi_cycles(call->vcpu, call->arg[0]);
}

/*
 * RDTSC: Linux takes its TSC rate from GetCycleFrequency, so this call runs
 * at it, and under TCG it is the real counter.
 */
void vmi_call_rdtsc(VMICall *call)
{
    call->result = vmi_cycles(call->vcpu, VMI_CYCLES_REAL);
}

/*
 * GetWallclockTime: ns since 1970, of the clock that -rtc configures.  That may
 * be a time before: guests take the answer for an unsigned number, so a
 * negative one would be a date far away.
 */
void vmi_call_wallclock(VMICall *call)
{
    int64_t ns, check, seconds;
    struct tm tm;

    /* Seconds and nanoseconds must be of the same reading. */
    do {
        ns = qemu_clock_get_ns(rtc_clock);
        qemu_get_timedate(&tm, 0);
        check = qemu_clock_get_ns(rtc_clock);
    } while (ns / NANOSECONDS_PER_SECOND != check / NANOSECONDS_PER_SECOND);

    seconds = mktimegm(&tm);
    if (seconds < 0) {
        call->result = 0;
        return;
    }
    /* Until 2554 */
    call->result = (uint64_t)seconds * NANOSECONDS_PER_SECOND +
                   ns % NANOSECONDS_PER_SECOND;
}

/* WallclockUpdated: 1 once after the machine was stopped, or migrated. */
void vmi_call_wallclock_updated(VMICall *call)
{
    call->result = qatomic_xchg(&call->vmi->wallclock_updated, false);
}
