/*
 * QTest: what the host sees of VMI, before a guest uses it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vmi-test.h"

#define ERRORS 1000
#define SECOND 1000000000LL     /* of the virtual clock, in ns */

static QDict *query_vmi(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-vmi' }");
    QDict *info = qdict_get_qdict(rsp, "return");

    g_assert_nonnull(info);
    qobject_ref(info);
    qobject_unref(rsp);
    return info;
}

static void test_absent(void)
{
    QTestState *qts = qtest_init("-machine pc");
    QDict *info = query_vmi(qts);
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-stats', 'arguments': "
                           "{ 'target': 'vm' } }");
    g_autofree char *text = qtest_hmp(qts, "info vmi");

    g_assert_false(qdict_get_bool(info, "present"));
    g_assert_false(qdict_get_bool(info, "active"));
    g_assert_cmpint(qdict_size(info), ==, 2);
    g_assert_true(qlist_empty(qdict_get_qlist(rsp, "return")));
    vmi_assert_contains(text, "no vmi-pci device");
    qobject_unref(rsp);
    qobject_unref(info);
    qtest_quit(qts);
}

static void test_inactive(void)
{
    QTestState *qts = qtest_init("-machine pc " VMI_DEVICE);
    QDict *info = query_vmi(qts);
    g_autofree char *text = qtest_hmp(qts, "info vmi");

    g_assert_true(qdict_get_bool(info, "present"));
    g_assert_false(qdict_get_bool(info, "active"));
    g_assert_cmpstr(qdict_get_str(info, "qom-path"), ==, VMI_QOM_PATH);
    g_assert_cmpint(qdict_size(info), ==, 3);
    vmi_assert_contains(text, "active: no");
    qobject_unref(info);
    qtest_quit(qts);
}

/* The value of a statistic of the machine */
static uint64_t vm_stat(QTestState *qts, const char *name)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-stats', 'arguments': "
                           "{ 'target': 'vm', 'providers': [ "
                           "{ 'provider': 'vmi', 'names': [ %s ] } ] } }",
                           name);
    const QListEntry *entry = qlist_first(qdict_get_qlist(rsp, "return"));
    QDict *result = qobject_to(QDict, qlist_entry_obj(entry));
    const QListEntry *stat = qlist_first(qdict_get_qlist(result, "stats"));
    uint64_t value;

    g_assert_cmpstr(qdict_get_str(result, "qom-path"), ==, VMI_QOM_PATH);
    g_assert_null(qlist_next(stat));
    value = qdict_get_int(qobject_to(QDict, qlist_entry_obj(stat)), "value");
    qobject_unref(rsp);
    return value;
}

/* All errors are counted; an event comes at once, then one a second later. */
static void test_flood(void)
{
    QTestState *qts = qtest_init("-machine pc " VMI_DEVICE);
    QDict *event, *data;
    int64_t count;

    g_assert_cmpuint(vm_stat(qts, "guest-errors"), ==, 0);
    for (int i = 0; i < ERRORS; i++) {
        qtest_outb(qts, VMI_PORT, 0);
    }
    g_assert_cmpuint(vm_stat(qts, "guest-errors"), ==, ERRORS);
    g_assert_cmpuint(vm_stat(qts, "handshakes"), ==, 0);

    event = qtest_qmp_eventwait_ref(qts, "VMI_GUEST_ERROR");
    data = qdict_get_qdict(event, "data");
    count = qdict_get_int(data, "count");
    g_test_message("the first event tells of %" PRId64 " errors", count);
    g_assert_cmpint(count, >, 0);
    g_assert_cmpint(count, <, ERRORS);
    g_assert_cmpstr(qdict_get_str(data, "qom-path"), ==, VMI_QOM_PATH);
    vmi_assert_contains(qdict_get_str(data, "message"), "port written");
    qobject_unref(event);
    g_assert_null(qtest_qmp_event_ref(qts, "VMI_GUEST_ERROR"));

    qtest_clock_step(qts, SECOND - 1);
    vmi_assert_running(qts);
    g_assert_null(qtest_qmp_event_ref(qts, "VMI_GUEST_ERROR"));
    qtest_clock_step(qts, 1);
    event = qtest_qmp_eventwait_ref(qts, "VMI_GUEST_ERROR");
    count = qdict_get_int(qdict_get_qdict(event, "data"), "count");
    g_assert_cmpint(count, ==, ERRORS);
    qobject_unref(event);

    qtest_clock_step(qts, 10 * SECOND);
    vmi_assert_running(qts);
    g_assert_null(qtest_qmp_event_ref(qts, "VMI_GUEST_ERROR"));
    qtest_quit(qts);
}

#define CPU_HOTPLUG     0xaf00      /* of the i440FX: which CPU, flags */
#define CPU_FLAGS       (CPU_HOTPLUG + 4)
#define CPU_EJECT       8

/* How many CPUs have numbers */
static unsigned vcpus(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-stats', 'arguments': "
                           "{ 'target': 'vcpu', 'providers': [ "
                           "{ 'provider': 'vmi' } ] } }");
    unsigned count = qlist_size(qdict_get_qlist(rsp, "return"));

    qobject_unref(rsp);
    return count;
}

/* CPUs come and go; the first one in the list is the one that is free. */
static void test_plug(void)
{
    QTestState *qts = qtest_init("-machine pc -smp 1,maxcpus=2 " VMI_DEVICE);

    g_assert_cmpuint(vcpus(qts), ==, 1);
    for (int i = 0; i < 3; i++) {
        QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-hotpluggable-cpus' }");
        const QListEntry *entry = qlist_first(qdict_get_qlist(rsp, "return"));
        QDict *cpu = qobject_to(QDict, qlist_entry_obj(entry));
        QDict *props = qdict_clone_shallow(qdict_get_qdict(cpu, "props"));

        qdict_put_str(props, "id", "cpu");
        qtest_qmp_device_add_qdict(qts, qdict_get_str(cpu, "type"), props);
        qobject_unref(props);
        qobject_unref(rsp);
        g_assert_cmpuint(vcpus(qts), ==, 2);

        qtest_system_reset(qts);
        qtest_outb(qts, CPU_HOTPLUG, 0);    /* leave its old interface */
        qtest_outl(qts, CPU_HOTPLUG, 1);
        qtest_qmp_device_del_send(qts, "cpu");
        qtest_outb(qts, CPU_FLAGS, CPU_EJECT);
        qtest_qmp_eventwait(qts, "DEVICE_DELETED");
        g_assert_cmpuint(vcpus(qts), ==, 1);
        qtest_system_reset(qts);
    }
    qtest_quit(qts);
}

/* The names of a schema, with a space before and behind each */
static char *schema_names(QTestState *qts, const char *target)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-stats-schemas', "
                           "'arguments': { 'provider': 'vmi' } }");
    GString *names = g_string_new(" ");
    const QListEntry *schema, *stat;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), schema) {
        QDict *dict = qobject_to(QDict, qlist_entry_obj(schema));

        if (!g_str_equal(qdict_get_str(dict, "target"), target)) {
            continue;
        }
        QLIST_FOREACH_ENTRY(qdict_get_qlist(dict, "stats"), stat) {
            QDict *value = qobject_to(QDict, qlist_entry_obj(stat));

            g_string_append_printf(names, "%s ", qdict_get_str(value, "name"));
        }
    }
    qobject_unref(rsp);
    return g_string_free(names, false);
}

/* What the host does not serve is not counted, and not in the schema. */
static void test_schema(void)
{
    QTestState *qts = qtest_init("-machine pc " VMI_DEVICE);
    g_autofree char *vm = schema_names(qts, "vm");
    g_autofree char *all = schema_names(qts, "vcpu");
    g_autofree char *rest = NULL;
    g_autofree char *text = qtest_hmp(qts, "info stats vcpu");

    qtest_quit(qts);
    g_test_message("vm:%s", vm);
    g_test_message("vcpu:%s", all);
    g_assert_cmpstr(vm, ==, " handshakes guest-errors ");
    vmi_assert_contains(all, " call-SetCR3 ");
    vmi_assert_contains(all, " call-SetAlarm ");
    vmi_assert_contains(all, " alarm-lateness ");
    g_assert_null(strstr(all, "EnableInterrupts"));
    vmi_assert_contains(text, "provider: vmi");
    vmi_assert_contains(text, "stolen-time (cumulative, ns): ");

    qts = qtest_init("-machine pc " VMI_DEVICE ",timer=off,mmu=off");
    rest = schema_names(qts, "vcpu");
    qtest_quit(qts);
    vmi_assert_contains(rest, " call-Halt ");
    g_assert_null(strstr(rest, "SetAlarm"));
    g_assert_null(strstr(rest, "SetCR3"));
    g_assert_null(strstr(rest, "page-table-losses"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/vmi/stats/absent", test_absent);
    qtest_add_func("/vmi/stats/inactive", test_inactive);
    qtest_add_func("/vmi/stats/flood", test_flood);
    qtest_add_func("/vmi/stats/plug", test_plug);
    qtest_add_func("/vmi/stats/schema", test_schema);
    return g_test_run();
}
