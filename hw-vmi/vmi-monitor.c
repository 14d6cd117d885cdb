/*
 * VMI: what the host sees, as state (query-vmi) and as numbers (query-stats)
 *
 * All of it runs in the main loop, with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/tlb-spaces.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands-vmi.h"
#include "qapi/qapi-events-vmi.h"
#include "system/stats.h"
#include "vmi-parts.h"

static VMIPCIState *vmi_find_device(void)
{
    Object *obj = object_resolve_path_type("", TYPE_VMI_PCI, NULL);

    return obj && DEVICE(obj)->realized ? VMI_PCI(obj) : NULL;
}

static VmiCallList *vmi_query_calls(VMIPCIState *vmi)
{
    static const VmiCallService service[VMI_SERVICES] = {
        [VMI_SERVICE_NATIVE] = VMI_CALL_SERVICE_NATIVE,
        [VMI_SERVICE_HOST] = VMI_CALL_SERVICE_HOST,
        [VMI_SERVICE_NOP] = VMI_CALL_SERVICE_NOP,
        [VMI_SERVICE_SHARED] = VMI_CALL_SERVICE_SHARED,
    };
    VmiCallList *list = NULL, **tail = &list;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        VmiCall *call;

        /* Migrated state may hold anything. */
        if (vmi->relocated[nr] == VMI_SERVICE_NONE ||
            vmi->relocated[nr] >= VMI_SERVICES ||
            !vmi_call_info(nr)->name) {
            continue;
        }
        call = g_new0(VmiCall, 1);
        call->number = nr;
        call->name = g_strdup(vmi_call_info(nr)->name);
        call->service = service[vmi->relocated[nr]];
        QAPI_LIST_APPEND(tail, call);
    }
    return list;
}

VmiInfo *qmp_query_vmi(Error **errp)
{
    VMIPCIState *vmi = vmi_find_device();
    VmiInfo *info = g_new0(VmiInfo, 1);

    if (!vmi) {
        return info;
    }
    info->present = true;
    info->qom_path = g_strdup(vmi->qom_path);
    info->active = qatomic_read(&vmi->active);
    if (info->active) {
        info->has_active_since = true;
        info->active_since = vmi->active_since;
        info->has_api_major = true;
        info->api_major = VMI_API_MAJOR;
        info->has_api_minor = true;
        info->api_minor = VMI_API_MINOR;
        info->has_rom_address = true;
        info->rom_address = vmi->rom_address;
        info->has_rom_linear = true;
        info->rom_linear = vmi->rom_linear;
        info->has_calls = true;
        info->calls = vmi_query_calls(vmi);
    }
    return info;
}

static void hmp_info_vmi(Monitor *mon, const QDict *qdict)
{
    g_autoptr(VmiInfo) info = qmp_query_vmi(NULL);
    g_autoptr(GDateTime) since = NULL;
    g_autofree char *text = NULL;

    if (!info->present) {
        monitor_printf(mon, "no vmi-pci device\n");
        return;
    }
    monitor_printf(mon, "device: %s\n", info->qom_path);
    if (!info->active) {
        monitor_printf(mon, "active: no\n");
        return;
    }
    since = g_date_time_new_from_unix_utc(info->active_since);
    text = g_date_time_format(since, "%Y-%m-%d %H:%M:%S UTC");
    monitor_printf(mon, "active: since %s\n", text);
    monitor_printf(mon, "API version: %u.%u\n", info->api_major,
                   info->api_minor);
    monitor_printf(mon, "ROM: at 0x%" PRIx32 ", called at linear 0x%" PRIx32
                   "\n", info->rom_address, info->rom_linear);
    monitor_printf(mon, "calls:\n");
    for (VmiCallList *call = info->calls; call; call = call->next) {
        monitor_printf(mon, "  %2u %-18s %s\n", call->value->number,
                       call->value->name,
                       VmiCallService_str(call->value->service));
    }
}

/*
 * Where statistics go: to a schema, or with their values to a list.  One
 * function for each target tells them all, so that both have the same order,
 * which "info stats" relies on.
 */
typedef struct VMIStatsOut {
    StatsSchemaValueList **schema;      /* NULL: values are wanted */
    StatsList **stats;
    strList *names;                     /* filter for values */
} VMIStatsOut;

typedef enum VMIStatsUnit {
    VMI_STATS_NUMBER,
    VMI_STATS_NS,
} VMIStatsUnit;

static void vmi_stats_add(VMIStatsOut *out, const char *name, StatsType type,
                          VMIStatsUnit unit, const uint64_t *values,
                          unsigned count)
{
    StatsSchemaValue *schema;
    Stats *stats;

    if (out->schema) {
        schema = g_new0(StatsSchemaValue, 1);
        schema->name = g_strdup(name);
        schema->type = type;
        if (unit == VMI_STATS_NS) {
            schema->has_unit = true;
            schema->unit = STATS_UNIT_SECONDS;
            schema->has_base = true;
            schema->base = 10;
            schema->exponent = -9;
        }
        QAPI_LIST_APPEND(out->schema, schema);
        return;
    }
    if (!apply_str_list_filter(name, out->names)) {
        return;
    }
    stats = g_new0(Stats, 1);
    stats->name = g_strdup(name);
    stats->value = g_new0(StatsValue, 1);
    if (type == STATS_TYPE_LOG2_HISTOGRAM) {
        uint64List **tail = &stats->value->u.list;

        stats->value->type = QTYPE_QLIST;
        for (unsigned i = 0; i < count; i++) {
            QAPI_LIST_APPEND(tail, values[i]);
        }
    } else {
        stats->value->type = QTYPE_QNUM;
        stats->value->u.scalar = *values;
    }
    QAPI_LIST_APPEND(out->stats, stats);
}

static void vmi_stats_number(VMIStatsOut *out, const char *name,
                             uint64_t value)
{
    vmi_stats_add(out, name, STATS_TYPE_CUMULATIVE, VMI_STATS_NUMBER, &value,
                  1);
}

static void vmi_stats_vm(VMIStatsOut *out, VMIPCIState *vmi)
{
    vmi_stats_number(out, "handshakes", vmi->handshakes);
    vmi_stats_number(out, "guest-errors", stat64_get(&vmi->errors.count));
}

static void vmi_stats_vcpu(VMIStatsOut *out, VMIVCPU *vcpu)
{
    VMIPCIState *vmi = vcpu->vmi;
    VMIStats *stats = &vcpu->stats;
    uint64_t armed, stolen, kept;

    for (unsigned nr = 0; nr < VMI_MAX_CALLS; nr++) {
        /* IRET is mostly carried out in place, where nothing counts it. */
        if (vmi->host[nr] != VMI_HOST_NONE && nr != VMI_CALL_IRET) {
            g_autofree char *name = g_strdup_printf("call-%s",
                                                    vmi_call_info(nr)->name);

            vmi_stats_number(out, name, qatomic_read_u64(&stats->calls[nr]));
        }
    }
    vmi_stats_number(out, "calls-refused", qatomic_read_u64(&stats->refused));

    armed = vmi_alarms_armed(vcpu);
    vmi_stats_add(out, "alarms-armed", STATS_TYPE_INSTANT, VMI_STATS_NUMBER,
                  &armed, 1);
    vmi_stats_number(out, "alarms-fired", stats->alarms_fired);
    vmi_stats_number(out, "alarms-masked", stats->alarms_masked);
    vmi_stats_add(out, "alarm-lateness", STATS_TYPE_LOG2_HISTOGRAM,
                  VMI_STATS_NS, stats->alarm_lateness, VMI_LATENESS_BUCKETS);

    stolen = vmi_cycles_to_ns(vmi, vmi_cycles(vcpu, VMI_CYCLES_STOLEN));
    vmi_stats_add(out, "stolen-time", STATS_TYPE_CUMULATIVE, VMI_STATS_NS,
                  &stolen, 1);

    if (vmi->host[VMI_CALL_SetCR3] != VMI_HOST_NONE) {
        kept = tlb_spaces_kept(CPU(vcpu->cpu));
        vmi_stats_add(out, "spaces-kept", STATS_TYPE_INSTANT, VMI_STATS_NUMBER,
                      &kept, 1);
        vmi_stats_number(out, "spaces-taken-back",
                         qatomic_read_u64(&stats->spaces_taken_back));
        vmi_stats_number(out, "page-table-losses",
                         qatomic_read_u64(&stats->losses));
        vmi_stats_number(out, "spaces-dropped-for-others",
                         qatomic_read_u64(&stats->spaces_dropped));
    }
}

static void vmi_stats_query(StatsResultList **result, StatsTarget target,
                            strList *names, strList *targets, Error **errp)
{
    VMIPCIState *vmi = vmi_find_device();
    VMIStatsOut out = { .names = names };
    StatsList *list = NULL;

    if (!vmi) {
        return;                 /* callbacks cannot be taken back */
    }
    if (target == STATS_TARGET_VM) {
        out.stats = &list;
        vmi_stats_vm(&out, vmi);
        add_stats_entry(result, STATS_PROVIDER_VMI, vmi->qom_path, list);
        return;
    }
    if (target != STATS_TARGET_VCPU) {
        return;
    }
    /* Entries go to the front of the result. */
    for (uint32_t i = vmi->nr_vcpus; i-- > 0; ) {
        g_autofree char *path = NULL;

        if (!vmi->vcpu[i].cpu) {
            continue;
        }
        path = object_get_canonical_path(OBJECT(vmi->vcpu[i].cpu));
        if (apply_str_list_filter(path, targets)) {
            list = NULL;
            out.stats = &list;
            vmi_stats_vcpu(&out, &vmi->vcpu[i]);
            add_stats_entry(result, STATS_PROVIDER_VMI, path, list);
        }
    }
}

static void vmi_stats_schemas(StatsSchemaList **result, Error **errp)
{
    VMIPCIState *vmi = vmi_find_device();
    StatsSchemaValueList *list = NULL;
    VMIStatsOut out = { .schema = &list };

    if (!vmi) {
        return;
    }
    vmi_stats_vm(&out, vmi);
    add_stats_schema(result, STATS_PROVIDER_VMI, STATS_TARGET_VM, list);

    list = NULL;
    out.schema = &list;
    vmi_stats_vcpu(&out, &vmi->vcpu[0]);
    add_stats_schema(result, STATS_PROVIDER_VMI, STATS_TARGET_VCPU, list);
}

static void vmi_send_error(void *opaque)
{
    VMIPCIState *vmi = opaque;
    g_autofree char *msg = qatomic_xchg(&vmi->errors.message, NULL);

    smp_mb__after_rmw();        /* the message before the count */
    if (msg) {
        qapi_event_send_vmi_guest_error(vmi->qom_path, msg,
                                        stat64_get(&vmi->errors.count));
    }
}

void vmi_stats_init(VMIPCIState *vmi)
{
    vmi->errors.bh = qemu_bh_new_guarded(vmi_send_error, vmi,
                                        &DEVICE(vmi)->mem_reentrancy_guard);
    vmi->qom_path = object_get_canonical_path(OBJECT(vmi));
    add_stats_callbacks(STATS_PROVIDER_VMI, vmi_stats_query,
                        vmi_stats_schemas);
}

static void vmi_stats_register(void)
{
    monitor_register_hmp("vmi", true, hmp_info_vmi);
}

type_init(vmi_stats_register)
