/*
 * VMI: alarms
 *
 * Each vCPU has two, one on real and one on available time.  A host timer on
 * QEMU_CLOCK_VIRTUAL stands for each; it fires in the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/i386/apic.h"
#include "hw/i386/apic-msidef.h"
#include "hw/i386/apic_internal.h"
#include "hw/i386/x86.h"
#include "hw/irq.h"
#include "hw/pci/msi.h"
#include "hw/timer/i8254.h"
#include "qemu/host-utils.h"
#include "system/cpu-timers.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-kvm.h"
#include "vmi-parts.h"

/*
 * A guest may ask for a period of one cycle.  Late periods are dropped, so
 * it makes no difference to the guest that the host looks this seldom, and
 * more seldom while it was for nothing.
 */
#define VMI_ALARM_MIN_PERIOD_NS (50 * SCALE_US)
#define VMI_ALARM_MAX_PERIOD_NS (10 * SCALE_MS)

/* How often to look whether LVTT is still masked */
#define VMI_ALARM_MIN_RETRY_NS (50 * SCALE_US)
#define VMI_ALARM_MAX_RETRY_NS (100 * SCALE_MS)

/*
 * An edge on IRQ 0, whose line belongs to the PIT.  A guest that parks the
 * PIT may leave it high, so the edge may have to start with a fall; and it
 * leaves the line as the PIT believes it to be.
 */
static void vmi_pulse_irq0(VMIPCIState *vmi)
{
    qemu_irq irq = X86_MACHINE(qdev_get_machine())->gsi[0];
    PITChannelInfo channel = { .out = 0 };

    if (vmi->pit) {
        pit_get_channel_info(vmi->pit, 0, &channel);
    }
    if (channel.out) {
        qemu_irq_lower(irq);
        qemu_irq_raise(irq);
    } else {
        qemu_irq_raise(irq);
        qemu_irq_lower(irq);
    }
}

/* The vector in the local APIC's timer LVT, which is not masked */
static void vmi_send_lvtt(VMIVCPU *vcpu, const VMILVTT *lvtt)
{
    MSIMessage msg;

    if ((lvtt->entry & 0x700) != APIC_DM_FIXED || (lvtt->entry & 0xff) < 16) {
        vmi_guest_error(vcpu->vmi, "alarm for timer LVT 0x%" PRIx32
                        " of CPU %d, not a fixed vector", lvtt->entry,
                        CPU(vcpu->cpu)->cpu_index);
        return;
    }
    msg.address = APIC_DEFAULT_ADDRESS |
                  ((uint32_t)lvtt->apic_id << MSI_ADDR_DEST_ID_SHIFT);
    msg.data = lvtt->entry & 0xff;
    APIC_COMMON_GET_CLASS(vcpu->cpu->apic_state)->send_msi(&msg);
}

static void vmi_deliver(VMIVCPU *vcpu, uint32_t flags, const VMILVTT *lvtt)
{
    if (!(flags & VMI_ALARM_LVTT)) {
        vmi_pulse_irq0(vcpu->vmi);
    } else if (!vcpu->cpu->apic_state) {
        vmi_guest_error(vcpu->vmi, "alarm for the local APIC of CPU %d, "
                        "which has none", CPU(vcpu->cpu)->cpu_index);
    } else {
        vmi_send_lvtt(vcpu, lvtt);
    }
}

/*
 * Set the host timer.  The vCPU's lock is held.
 *
 * The host timer may fire early, for example because time was stolen from the
 * vCPU and the alarm is on available time; the callback then re-arms it.  So
 * when an alarm moves to a later time or is cancelled, as it is whenever a
 * guest idles, leave the timer alone: touching it would wake the main loop.
 *
 * timer_ns caches when the timer fires, because timer_pending() would race
 * with the main loop, which dequeues the timer before the callback takes our
 * lock.
 */
static void vmi_alarm_schedule(VMIAlarm *alarm, uint64_t now_cycles,
                               int64_t min_ns)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t delta = 0;

    if (alarm->expiry > now_cycles) {
        delta = vmi_cycles_to_ns(alarm->vcpu->vmi,
                                 alarm->expiry - now_cycles);
    }
    delta = MIN(MAX(delta, min_ns), INT64_MAX - now);
    if (icount_enabled() || alarm->timer_ns == -1 ||
        alarm->timer_ns > now + delta) {
        alarm->timer_ns = now + delta;
        timer_mod_ns(alarm->timer, now + delta);
    }
}

/*
 * How long to wait after a look that was for nothing, in ns: twice as long
 * each time.  With KVM's APIC each look takes the vCPU out of the guest.  On
 * a slow host, which may be a guest itself, a look each 50 us would keep it
 * from entering the guest at all.  The vCPU's lock is held.
 */
static int64_t vmi_alarm_back_off(VMIAlarm *alarm)
{
    int64_t ns = alarm->floor_ns;

    alarm->floor_ns = MIN(MAX(2 * ns, VMI_ALARM_MIN_PERIOD_NS),
                          VMI_ALARM_MAX_PERIOD_NS);
    return ns;
}

/* The vCPU's lock is held. */
static void vmi_alarm_unschedule(VMIAlarm *alarm)
{
    alarm->timer_ns = -1;
    timer_del(alarm->timer);
}

/*
 * LVTT is masked, and the alarm has expired.  It stays armed, because a guest
 * may arm its only alarm just before it unmasks LVTT.  KVM does not report
 * that, nor does QEMU's APIC, so look again, less and less often.
 * The vCPU's lock is held.
 */
static void vmi_alarm_retry(VMIAlarm *alarm)
{
    VMIVCPU *vcpu = alarm->vcpu;

    if (!alarm->retry_ns) {
        trace_vmi_alarm_masked(CPU(vcpu->cpu)->cpu_index);
        vcpu->stats.alarms_masked++;
    }
    alarm->retry_ns = MIN(MAX(2 * alarm->retry_ns, VMI_ALARM_MIN_RETRY_NS),
                          VMI_ALARM_MAX_RETRY_NS);
    alarm->timer_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + alarm->retry_ns;
    timer_mod_ns(alarm->timer, alarm->timer_ns);
}

/*
 * The alarm fires.  Of a periodic one: the next expiry beyond now; false if
 * there is none.  The vCPU's lock is held.
 */
static bool vmi_alarm_advance(VMIAlarm *alarm, uint64_t now)
{
    bool periodic = (alarm->flags & VMI_ALARM_PERIODIC) && alarm->period;

    if (periodic) {
        /* Periods that were missed are dropped. */
        alarm->expiry += (now - alarm->expiry) / alarm->period * alarm->period;
    }
    vmi_cycles_told(alarm->vcpu, alarm - alarm->vcpu->alarm, alarm->expiry);
    return periodic &&
           !uadd64_overflow(alarm->expiry, alarm->period, &alarm->expiry);
}

/* BQL held */
static void vmi_alarm_count(VMIVCPU *vcpu, uint64_t late)
{
    uint64_t ns = vmi_cycles_to_ns(vcpu->vmi, late);
    unsigned bucket = ns ? 64 - clz64(ns) : 0;

    vcpu->stats.alarms_fired++;
    vcpu->stats.alarm_lateness[MIN(bucket, VMI_LATENESS_BUCKETS - 1)]++;
}

/*
 * Whether the alarm is armed and has expired; if it expires later, the host
 * timer is set.  Under KVM the vCPU's thread may disagree with the main loop,
 * again and again if the guest has spoilt the data of its time.
 * The vCPU's lock is held.
 */
static bool vmi_alarm_expired(VMIAlarm *alarm, uint64_t *now, bool again)
{
    VMIVCPU *vcpu = alarm->vcpu;

    if (!alarm->armed || !vcpu->cpu) {
        return false;
    }
    *now = vmi_cycles_locked(vcpu, alarm - vcpu->alarm);
    if (*now >= alarm->expiry) {
        return true;
    }
    vmi_alarm_schedule(alarm, *now, again ? vmi_alarm_back_off(alarm) : 0);
    return false;
}

/*
 * A periodic alarm has fired: set the host timer for the next expiry, if
 * there is one.  The vCPU's lock is held.
 */
static void vmi_alarm_repeat(VMIAlarm *alarm, uint64_t now, bool pending)
{
    int64_t min_ns = 0;

    alarm->armed = vmi_alarm_advance(alarm, now);
    if (pending) {
        min_ns = vmi_alarm_back_off(alarm);
    } else {
        alarm->floor_ns = 0;
    }
    if (alarm->armed) {
        vmi_alarm_schedule(alarm, now, MAX(min_ns, VMI_ALARM_MIN_PERIOD_NS));
    }
}

/* BQL held, by the main loop or, with KVM's APIC, the vCPU's thread */
static void vmi_alarm_fire(VMIAlarm *alarm, const VMILVTT *lvtt)
{
    VMIVCPU *vcpu = alarm->vcpu;
    uint64_t now, late;
    uint32_t flags;

    WITH_QEMU_LOCK_GUARD(&vcpu->lock) {
        if (!vmi_alarm_expired(alarm, &now, true)) {
            return;
        }
        flags = alarm->flags;
        if ((flags & VMI_ALARM_LVTT) && (lvtt->entry & APIC_LVT_MASKED)) {
            /* INIT has masked it and stopped the CPU: the alarm is gone. */
            if (lvtt->stopped) {
                alarm->armed = false;
            } else {
                vmi_alarm_retry(alarm);
            }
            return;
        }
        late = now - alarm->expiry;
        alarm->retry_ns = 0;
        vmi_alarm_repeat(alarm, now, lvtt->pending);
    }
    trace_vmi_alarm_fire(CPU(vcpu->cpu)->cpu_index, flags, late);
    vmi_alarm_count(vcpu, late);
    vmi_deliver(vcpu, flags, lvtt);
}

/* KVM's APIC: only its vCPU's thread can read it.  BQL held. */
static void vmi_alarm_work(CPUState *cs, run_on_cpu_data data)
{
    VMILVTT lvtt;

    if (vmi_kvm_read_lvtt(cs, &lvtt)) {
        vmi_alarm_fire(data.host_ptr, &lvtt);
    }
}

/*
 * An interrupt that QEMU's APIC or PIC has for the CPU waits to be taken; or
 * the CPU has yet to ask its APIC for it.
 */
static bool vmi_interrupt_pending(CPUState *cs)
{
    return qatomic_read(&cs->interrupt_request) &
           (CPU_INTERRUPT_HARD | CPU_INTERRUPT_POLL);
}

static void vmi_alarm_cb(void *opaque)
{
    VMIAlarm *alarm = opaque;
    VMIVCPU *vcpu = alarm->vcpu;
    VMILVTT lvtt = { };
    uint64_t now;
    uint32_t flags;

    WITH_QEMU_LOCK_GUARD(&vcpu->lock) {
        alarm->timer_ns = -1;
        if (!vmi_alarm_expired(alarm, &now, false)) {
            return;
        }
        flags = alarm->flags;
    }
    lvtt.pending = vmi_interrupt_pending(CPU(vcpu->cpu));
    if (vcpu->cpu->apic_state && kvm_enabled() && kvm_irqchip_in_kernel()) {
        if (flags & VMI_ALARM_LVTT) {
            async_run_on_cpu(CPU(vcpu->cpu), vmi_alarm_work,
                             RUN_ON_CPU_HOST_PTR(alarm));
            return;
        }
    } else if (vcpu->cpu->apic_state) {
        APICCommonState *apic = APIC_COMMON(vcpu->cpu->apic_state);

        lvtt.entry = apic->lvt[APIC_LVT_TIMER];
        lvtt.apic_id = apic->id;
        lvtt.stopped = apic->wait_for_sipi;
    }
    vmi_alarm_fire(alarm, &lvtt);
}

/*
 * SetAlarm: EAX flags, ECX:EDX expiry, then the period, both in cycles.
 * The timer fires at once if the expiry has passed.
 */
void vmi_call_set_alarm(VMICall *call)
{
    VMIVCPU *vcpu = call->vcpu;
    unsigned counter = call->arg[0] & VMI_ALARM_COUNTER_MASK;
    VMIAlarm *alarm;

    if (counter >= VMI_ALARMS) {
        vmi_guest_error(call->vmi, "SetAlarm: no alarm on counter %u",
                        counter);
        return;
    }
    if (kvm_enabled()) {
        vmi_kvm_quiet_pit(call->vmi);
    }
    alarm = &vcpu->alarm[counter];
    QEMU_LOCK_GUARD(&vcpu->lock);
    alarm->flags = call->arg[0];
    alarm->expiry = call->arg[1] | (uint64_t)call->arg[2] << 32;
    alarm->period = call->arg[3] | (uint64_t)call->arg[4] << 32;
    alarm->armed = true;
    alarm->retry_ns = 0;
    alarm->floor_ns = 0;
    vmi_alarm_schedule(alarm, vmi_cycles_locked(vcpu, counter), 0);
}

/* CancelAlarm: EAX flags, of which the counter alone matters. */
void vmi_call_cancel_alarm(VMICall *call)
{
    VMIVCPU *vcpu = call->vcpu;
    unsigned counter = call->arg[0] & VMI_ALARM_COUNTER_MASK;
    VMIAlarm *alarm;

    if (counter >= VMI_ALARMS) {
        vmi_guest_error(call->vmi, "CancelAlarm: no alarm on counter %u",
                        counter);
        return;
    }
    alarm = &vcpu->alarm[counter];
    QEMU_LOCK_GUARD(&vcpu->lock);
    call->result = alarm->armed;
    alarm->armed = false;
}

void vmi_alarm_vcpu_init(VMIVCPU *vcpu)
{
    for (int i = 0; i < VMI_ALARMS; i++) {
        vcpu->alarm[i].vcpu = vcpu;
        vcpu->alarm[i].timer_ns = -1;
        vcpu->alarm[i].timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, vmi_alarm_cb,
                                            &vcpu->alarm[i]);
    }
}

void vmi_alarm_cancel_all(VMIVCPU *vcpu)
{
    QEMU_LOCK_GUARD(&vcpu->lock);

    for (int i = 0; i < VMI_ALARMS; i++) {
        vcpu->alarm[i].armed = false;
        vcpu->alarm[i].retry_ns = 0;
        vmi_alarm_unschedule(&vcpu->alarm[i]);
    }
}

void vmi_alarm_unmasked(VMIVCPU *vcpu)
{
    QEMU_LOCK_GUARD(&vcpu->lock);

    for (int i = 0; i < VMI_ALARMS; i++) {
        VMIAlarm *alarm = &vcpu->alarm[i];

        if (alarm->armed && alarm->retry_ns) {
            alarm->timer_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
            timer_mod_ns(alarm->timer, alarm->timer_ns);
        }
    }
}

unsigned vmi_alarms_armed(VMIVCPU *vcpu)
{
    unsigned armed = 0;

    QEMU_LOCK_GUARD(&vcpu->lock);
    for (int i = 0; i < VMI_ALARMS; i++) {
        armed += vcpu->alarm[i].armed;
    }
    return armed;
}

void vmi_alarm_restart(VMIVCPU *vcpu)
{
    QEMU_LOCK_GUARD(&vcpu->lock);

    for (int i = 0; i < VMI_ALARMS; i++) {
        vcpu->alarm[i].retry_ns = 0;
        if (vcpu->alarm[i].armed) {
            vmi_alarm_schedule(&vcpu->alarm[i], vmi_cycles_locked(vcpu, i), 0);
        } else {
            vmi_alarm_unschedule(&vcpu->alarm[i]);
        }
    }
}

void vmi_alarm_restart_all(VMIPCIState *vmi)
{
    for (uint32_t i = 0; i < vmi->nr_vcpus; i++) {
        vmi_alarm_restart(&vmi->vcpu[i]);
    }
}
