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
#include "vmi-internal.h"

/*
 * A guest may ask for a period of one cycle.  Late periods are dropped, so
 * it makes no difference to the guest that the host looks this seldom.
 */
#define VMI_ALARM_MIN_PERIOD_NS (50 * SCALE_US)

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

/*
 * The vector in the local APIC's timer LVT.  An alarm that expires while the
 * entry is masked is dropped, as the APIC's own timer interrupt is.
 */
static void vmi_send_lvtt(VMIVCPU *vcpu, uint32_t lvt, uint8_t apic_id)
{
    int index = CPU(vcpu->cpu)->cpu_index;
    MSIMessage msg;

    if (lvt & APIC_LVT_MASKED) {
        trace_vmi_alarm_masked(index);
        vcpu->stats.alarms_masked++;
        return;
    }
    if ((lvt & 0x700) != APIC_DM_FIXED || (lvt & 0xff) < 16) {
        vmi_guest_error(vcpu->vmi, "alarm for timer LVT 0x%" PRIx32
                        " of CPU %d, not a fixed vector", lvt, index);
        return;
    }
    msg.address = APIC_DEFAULT_ADDRESS |
                  ((uint32_t)apic_id << MSI_ADDR_DEST_ID_SHIFT);
    msg.data = lvt & 0xff;
    APIC_COMMON_GET_CLASS(vcpu->cpu->apic_state)->send_msi(&msg);
}

/* KVM's APIC: only its vCPU's thread can read it.  BQL held. */
static void vmi_deliver_lvtt_work(CPUState *cs, run_on_cpu_data data)
{
    uint32_t lvt;
    uint8_t id;

    if (vmi_kvm_read_lvtt(cs, &lvt, &id)) {
        vmi_send_lvtt(data.host_ptr, lvt, id);
    }
}

static void vmi_deliver(VMIVCPU *vcpu, uint32_t flags)
{
    APICCommonState *apic;

    if (!(flags & VMI_ALARM_LVTT)) {
        vmi_pulse_irq0(vcpu->vmi);
    } else if (!vcpu->cpu->apic_state) {
        vmi_guest_error(vcpu->vmi, "alarm for the local APIC of CPU %d, "
                        "which has none", CPU(vcpu->cpu)->cpu_index);
    } else if (kvm_enabled() && kvm_irqchip_in_kernel()) {
        async_run_on_cpu(CPU(vcpu->cpu), vmi_deliver_lvtt_work,
                         RUN_ON_CPU_HOST_PTR(vcpu));
    } else {
        apic = APIC_COMMON(vcpu->cpu->apic_state);
        vmi_send_lvtt(vcpu, apic->lvt[APIC_LVT_TIMER], apic->id);
    }
}

/*
 * Set the host timer.  While time is stolen, an alarm on available time
 * comes later than this; the callback then sets it again.
 *
 * So a timer that fires too early does no harm.  A guest sets its alarm for
 * later, or cancels it, whenever it idles, and to set the timer wakes the main
 * loop: it stays as it is then.  What it is set for is kept beside it, as the
 * main loop takes the timer off its list without the vCPU's lock: the callback,
 * which takes it, is still to come then.
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

/* The vCPU's lock is held. */
static void vmi_alarm_unschedule(VMIAlarm *alarm)
{
    alarm->timer_ns = -1;
    timer_del(alarm->timer);
}

static unsigned vmi_alarm_counter(VMIAlarm *alarm)
{
    return alarm->flags & VMI_ALARM_COUNTER_MASK;
}

/* Of a periodic alarm: the next expiry beyond now; false if there is none. */
static bool vmi_alarm_advance(VMIAlarm *alarm, uint64_t now)
{
    uint64_t missed;

    if (!(alarm->flags & VMI_ALARM_PERIODIC) || !alarm->period) {
        return false;
    }
    missed = (now - alarm->expiry) / alarm->period;
    alarm->expiry += missed * alarm->period;
    return !uadd64_overflow(alarm->expiry, alarm->period, &alarm->expiry);
}

/* BQL held */
static void vmi_alarm_count(VMIVCPU *vcpu, uint64_t late)
{
    uint64_t ns = vmi_cycles_to_ns(vcpu->vmi, late);
    unsigned bucket = ns ? 64 - clz64(ns) : 0;

    vcpu->stats.alarms_fired++;
    vcpu->stats.alarm_lateness[MIN(bucket, VMI_LATENESS_BUCKETS - 1)]++;
}

static void vmi_alarm_cb(void *opaque)
{
    VMIAlarm *alarm = opaque;
    VMIVCPU *vcpu = alarm->vcpu;
    uint64_t now, late;
    uint32_t flags;

    WITH_QEMU_LOCK_GUARD(&vcpu->lock) {
        alarm->timer_ns = -1;
        if (!alarm->armed || !vcpu->cpu) {
            return;
        }
        now = vmi_cycles_locked(vcpu, vmi_alarm_counter(alarm));
        if (now < alarm->expiry) {
            vmi_alarm_schedule(alarm, now, 0);
            return;
        }
        late = now - alarm->expiry;
        flags = alarm->flags;
        alarm->armed = vmi_alarm_advance(alarm, now);
        if (alarm->armed) {
            vmi_alarm_schedule(alarm, now, VMI_ALARM_MIN_PERIOD_NS);
        }
    }
    trace_vmi_alarm_fire(CPU(vcpu->cpu)->cpu_index, flags, late);
    vmi_alarm_count(vcpu, late);
    vmi_deliver(vcpu, flags);
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
    alarm = &vcpu->alarm[counter];
    QEMU_LOCK_GUARD(&vcpu->lock);
    alarm->flags = call->arg[0];
    alarm->expiry = call->arg[1] | (uint64_t)call->arg[2] << 32;
    alarm->period = call->arg[3] | (uint64_t)call->arg[4] << 32;
    alarm->armed = true;
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
        vmi_alarm_unschedule(&vcpu->alarm[i]);
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
        if (vcpu->alarm[i].armed) {
            vmi_alarm_schedule(&vcpu->alarm[i], vmi_cycles_locked(vcpu, i), 0);
        } else {
            vmi_alarm_unschedule(&vcpu->alarm[i]);
        }
    }
}
