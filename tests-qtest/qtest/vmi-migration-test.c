/*
 * QTest testcase for the vmi-pci device: migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "qobject/qjson.h"
#include "vmi-test.h"

#define MACHINE "-machine pc -m 32 "

static char *tmp_dir;
static char *state_path;        /* what a source saved */
static char *err_path;          /* what a destination said */

G_GNUC_PRINTF(1, 2)
static void save(const char *fmt, ...)
{
    g_autofree char *args = NULL;
    QTestState *qts;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    qts = qtest_initf(MACHINE "%s", args);
    g_assert_true(vmi_save(qts, state_path));
    qtest_quit(qts);
}

/* A machine that has tried to load the saved state. */
static QTestState *load(const char *args, bool loads)
{
    QTestState *qts = qtest_initf(MACHINE "%s -incoming defer 2>%s", args,
                                  err_path);

    g_assert_cmpint(vmi_load(qts, state_path), ==, loads);
    return qts;
}

static void assert_load_refused(const char *args, const char *phrase)
{
    QTestState *qts = load(args, false);
    g_autofree char *err = NULL;

    /* Refused, and alive */
    qobject_unref(qtest_qmp_assert_success_ref(qts,
                      "{ 'execute': 'query-status' }"));
    qtest_quit(qts);

    g_assert_true(g_file_get_contents(err_path, &err, NULL, NULL));
    g_test_message("saw: %s", err);
    vmi_assert_contains(err, phrase);
}

static void test_rom_travels(void)
{
    QTestState *qts;

    save("-device vmi-pci,id=vmi,addr=05.0,virtual-top=0xf7c00000");
    qts = load(VMI_DEVICE, true);
    vmi_assert_rom_bar(qts, 0xf7c00000);
    qtest_quit(qts);
}

static void test_reset_after_load(void)
{
    QTestState *qts;

    save(VMI_DEVICE);
    qts = load(VMI_DEVICE, true);
    vmi_assert_running(qts);
    qtest_system_reset(qts);
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_quit(qts);
}

static void test_frequency_of_source(const void *data)
{
    QTestState *qts;

    save("-device vmi-pci,id=vmi,addr=05.0,cycle-frequency=2826365000");
    qts = load(data, true);
    vmi_assert_uint(qts, "cycle-frequency", 2826365000);
    qtest_quit(qts);
}

/* A guest's call sites are patched: what was on must stay on. */
static void test_other_switches(void)
{
    save(VMI_DEVICE);
    assert_load_refused("-device vmi-pci,addr=05.0,timer=off",
                        "other call groups");
    assert_load_refused("-device vmi-pci,addr=05.0,lazy=off",
                        "other call groups");
    save("-device vmi-pci,addr=05.0,mmu=off");
    assert_load_refused(VMI_DEVICE, "other call groups");
    qtest_quit(load("-device vmi-pci,addr=05.0,mmu=off", true));
}

static void test_other_maxcpus(void)
{
    save("-smp 1,maxcpus=2 " VMI_DEVICE);
    assert_load_refused("-smp 1,maxcpus=3 " VMI_DEVICE, "-smp maxcpus");
}

static void test_no_device(void)
{
    save(VMI_DEVICE);
    assert_load_refused("", "vmi-pci");
}

/*
 * State that no source would send: overwrite it behind its cycle frequency.
 */

#define FREQUENCY 987654321012ULL
#define VIRTUAL_TOP 8           /* offsets from there */
#define ACTIVE 16

static void save_with(int offset, const uint8_t *bytes, size_t size)
{
    g_autofree char *state = NULL;
    uint8_t frequency[8];
    char *found;
    gsize len;

    save("-device vmi-pci,addr=05.0,cycle-frequency=%llu", FREQUENCY);
    g_assert_true(g_file_get_contents(state_path, &state, &len, NULL));
    stq_be_p(frequency, FREQUENCY);
    found = memmem(state, len, frequency, sizeof(frequency));
    g_assert_nonnull(found);
    g_assert_null(memmem(found + 1, state + len - found - 1, frequency,
                         sizeof(frequency)));
    memcpy(found + offset, bytes, size);
    g_assert_true(g_file_set_contents(state_path, state, len, NULL));
}

static void test_bad_frequency(void)
{
    static const uint8_t zero[8];
    static const uint8_t huge[8] = { [0 ... 7] = 0xff };

    save_with(0, zero, sizeof(zero));
    assert_load_refused(VMI_DEVICE, "invalid cycle frequency");
    save_with(0, huge, sizeof(huge));
    assert_load_refused(VMI_DEVICE, "invalid cycle frequency");
}

static void test_bad_virtual_top(void)
{
    static const uint8_t low[4] = { 0x10 };

    save_with(VIRTUAL_TOP, low, sizeof(low));
    assert_load_refused(VMI_DEVICE, "invalid virtual-top");
}

static void test_other_accelerator(void)
{
    /* active, rom_address, rom_linear, accel: in VMI mode under KVM */
    static const uint8_t kvm[] = { 1, 0x00, 0x0c, 0xb0, 0x00,
                                   0xc0, 0x0c, 0xb0, 0x00, 1 };
    static const uint8_t idle[] = { [9] = 1 };

    save_with(ACTIVE, kvm, sizeof(kvm));
    assert_load_refused(VMI_DEVICE, "was started under KVM");
    /* One that has not entered VMI mode can go anywhere. */
    save_with(ACTIVE, idle, sizeof(idle));
    qtest_quit(load(VMI_DEVICE, true));
}

/* What a later QEMU would send, whose ROM has another interface. */
static void test_other_revision(void)
{
    static const uint8_t tcg[] = { 1, 0x00, 0x0c, 0xb0, 0x00,
                                   0xc0, 0x0c, 0xb0, 0x00, 0 };
    static const char name[] = "vmi-pci/rom-revision";
    const size_t behind = ACTIVE + sizeof(tcg) + 128 + 1 + 4 + 58;
    g_autofree char *state = NULL;
    g_autoptr(GByteArray) changed = g_byte_array_new();
    uint8_t head[] = { 5, sizeof(name) - 1 };   /* QEMU_VM_SUBSECTION */
    uint8_t version[4] = { 0, 0, 0, 1 }, revision[4] = { 0, 0, 0, 2 };
    uint8_t frequency[8];
    gsize len, at;

    save_with(ACTIVE, tcg, sizeof(tcg));
    g_assert_true(g_file_get_contents(state_path, &state, &len, NULL));
    stq_be_p(frequency, FREQUENCY);
    at = (char *)memmem(state, len, frequency, sizeof(frequency)) - state +
         behind;
    g_assert_cmphex((uint8_t)state[at], ==, 0x7e);  /* the section's end */
    g_byte_array_append(changed, (uint8_t *)state, at);
    g_byte_array_append(changed, head, sizeof(head));
    g_byte_array_append(changed, (const uint8_t *)name, sizeof(name) - 1);
    g_byte_array_append(changed, version, sizeof(version));
    g_byte_array_append(changed, revision, sizeof(revision));
    g_byte_array_append(changed, (uint8_t *)state + at, len - at);
    g_assert_true(g_file_set_contents(state_path, (char *)changed->data,
                                      changed->len, NULL));
    assert_load_refused(VMI_DEVICE, "runs a ROM of revision 2");
}

static void test_active_travels(void)
{
    static const uint8_t tcg[] = { 1, 0x00, 0x0c, 0xb0, 0x00,
                                   0xc0, 0x0c, 0xb0, 0x00, 0 };
    QTestState *qts;

    save_with(ACTIVE, tcg, sizeof(tcg));
    qts = load(VMI_DEVICE, true);
    vmi_assert_bool(qts, "active", true);
    vmi_assert_uint(qts, "rom-address", 0xcb000);
    qtest_system_reset(qts);
    vmi_assert_bool(qts, "active", false);
    vmi_assert_uint(qts, "rom-address", 0);
    qtest_quit(qts);
}

/* Alarms that no guest could set, on a machine that then runs. */
static void test_garbage(void)
{
    uint8_t garbage[10 + 128 + 1];
    uint8_t vcpu[2 * (1 + 4 + 8 + 8) + 8 + 8];
    QTestState *qts;

    memset(garbage, 0xff, sizeof(garbage));
    stl_be_p(&garbage[1], 0xcb000);     /* rom_address */
    garbage[9] = 0;             /* accel */
    save_with(ACTIVE, garbage, sizeof(garbage));
    qts = load(VMI_DEVICE, true);
    vmi_assert_running(qts);
    qtest_quit(qts);

    for (int i = 0; i < 3; i++) {
        memset(vcpu, i == 0 ? 0x01 : i == 1 ? 0x81 : 0xff, sizeof(vcpu));
        save_with(ACTIVE + sizeof(garbage) + 4, vcpu, sizeof(vcpu));
        qts = load(VMI_DEVICE, true);
        for (int j = 0; j < 10; j++) {
            qtest_clock_step(qts, NANOSECONDS_PER_SECOND / 10);
        }
        vmi_assert_running(qts);
        qtest_quit(qts);
    }
}

/*
 * The format, as machines that are out there send it
 */

static const struct Field {
    const char *name;
    int size;
    int num;                    /* of an array's elements */
} device_fields[] = {
    { "parent_obj", 0 },        /* PCI's own affair */
    { "cycle_frequency", 8 },
    { "virtual_top", 4 },
    { "loaded_groups", 4 },
    { "active", 1 },
    { "rom_address", 4 },
    { "rom_linear", 4 },
    { "accel", 1 },
    { "relocated", 1, 128 },
    { "wallclock_updated", 1 },
    { "nr_vcpus", 4 },
    { "vcpu", 0 },              /* of the host's structure */
    { NULL }
}, vcpu_fields[] = {
    { "alarm", 0, 2 },
    { "stolen", 8 },
    { "available_seen", 8 },
    { NULL }
}, alarm_fields[] = {
    { "armed", 1 },
    { "flags", 4 },
    { "expiry", 8 },
    { "period", 8 },
    { NULL }
}, revision_fields[] = {
    { "rom_revision", 4 },
    { NULL }
}, ap_fields[] = {
    { "ap_state", 90 },
    { NULL }
};

/* Returns: the description of the nested field, not a reference */
static QDict *assert_fields(QDict *description, const char *name,
                            const struct Field *field, const char *nested)
{
    const QListEntry *entry;
    QDict *found = NULL;

    g_assert_cmpstr(qdict_get_str(description, "name"), ==, name);
    g_assert_cmpint(qdict_get_int(description, "version_id"), ==, 1);
    QLIST_FOREACH_ENTRY(qdict_get_qlist(description, "Fields"), entry) {
        QDict *f = qobject_to(QDict, qlist_entry_obj(entry));

        g_test_message("%s: %s, size %" PRId64, name,
                       qdict_get_str(f, "field"), qdict_get_int(f, "size"));
        g_assert_cmpstr(qdict_get_str(f, "field"), ==, field->name);
        if (field->size) {
            g_assert_cmpint(qdict_get_int(f, "size"), ==, field->size);
        }
        g_assert_cmpint(qdict_get_try_int(f, "num", 0), ==, field->num);
        if (!g_strcmp0(field->name, nested)) {
            found = qdict_get_qdict(f, "Description");
        }
        field++;
    }
    g_assert_null(field->name);
    return found;
}

static void test_dump_vmstate(void)
{
    g_autofree char *err = NULL;
    g_autofree char *json = NULL;
    QObject *dump;
    QDict *device, *vcpu, *alarm, *ap, *revision;

    g_assert_cmpint(vmi_run_qemu(&err, "-machine pc -dump-vmstate %s",
                                 state_path), ==, 0);
    g_assert_true(g_file_get_contents(state_path, &json, NULL, NULL));
    dump = qobject_from_json(json, &error_abort);
    device = qdict_get_qdict(qobject_to(QDict, dump), "vmi-pci");
    g_assert_nonnull(device);
    g_assert_cmpint(qdict_get_int(device, "version_id"), ==, 1);

    vcpu = assert_fields(qdict_get_qdict(device, "Description"), "vmi-pci",
                         device_fields, "vcpu");
    alarm = assert_fields(vcpu, "vmi-pci/vcpu", vcpu_fields, "alarm");
    assert_fields(alarm, "vmi-pci/vcpu/alarm", alarm_fields, NULL);
    ap = qobject_to(QDict, qlist_peek(qdict_get_qlist(vcpu, "Subsections")));
    assert_fields(ap, "vmi-pci/vcpu/ap-state", ap_fields, NULL);
    revision = qobject_to(QDict, qlist_peek(qdict_get_qlist(
                   qdict_get_qdict(device, "Description"), "Subsections")));
    assert_fields(revision, "vmi-pci/rom-revision", revision_fields, NULL);
    qobject_unref(dump);
}

/* The description at the stream's end, as analyze-migration.py reads it. */
static void test_stream_description(void)
{
    g_autofree char *state = NULL;
    const QListEntry *entry;
    QObject *description = NULL;
    QDict *device = NULL;
    int fields = 0;
    gsize len;

    save(VMI_DEVICE);
    g_assert_true(g_file_get_contents(state_path, &state, &len, NULL));
    /* QEMU_VM_VMDESCRIPTION, its length, and then nothing more */
    for (gsize i = len - 5; i && !description; i--) {
        if (state[i] == 6 && ldl_be_p(state + i + 1) == len - i - 5) {
            g_autofree char *json = g_strndup(state + i + 5, len - i - 5);

            description = qobject_from_json(json, &error_abort);
        }
    }
    g_assert_nonnull(description);

    QLIST_FOREACH_ENTRY(qdict_get_qlist(qobject_to(QDict, description),
                                        "devices"), entry) {
        QDict *d = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_has_suffix(qdict_get_str(d, "name"), "/vmi-pci")) {
            g_assert_null(device);
            device = d;
        }
    }
    g_assert_nonnull(device);
    g_test_message("saw section %s", qdict_get_str(device, "name"));
    g_assert_cmpint(qdict_get_int(device, "version"), ==, 1);
    QLIST_FOREACH_ENTRY(qdict_get_qlist(device, "fields"), entry) {
        QDict *f = qobject_to(QDict, qlist_entry_obj(entry));

        g_assert_cmpstr(qdict_get_str(f, "name"), ==,
                        device_fields[fields++].name);
    }
    g_assert_null(device_fields[fields].name);
    qobject_unref(description);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    tmp_dir = g_dir_make_tmp("vmi-migration-test-XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);
    state_path = g_build_filename(tmp_dir, "state", NULL);
    err_path = g_build_filename(tmp_dir, "stderr", NULL);

    qtest_add_func("/vmi-migration/rom-travels", test_rom_travels);
    qtest_add_func("/vmi-migration/reset-after-load", test_reset_after_load);
    qtest_add_data_func("/vmi-migration/frequency-of-source/default",
                        VMI_DEVICE, test_frequency_of_source);
    qtest_add_data_func("/vmi-migration/frequency-of-source/other",
                        VMI_DEVICE ",cycle-frequency=1000001",
                        test_frequency_of_source);
    qtest_add_func("/vmi-migration/active-travels", test_active_travels);

    qtest_add_func("/vmi-migration/refused/other-switches",
                   test_other_switches);
    qtest_add_func("/vmi-migration/refused/other-maxcpus",
                   test_other_maxcpus);
    qtest_add_func("/vmi-migration/refused/no-device", test_no_device);
    qtest_add_func("/vmi-migration/refused/bad-frequency",
                   test_bad_frequency);
    qtest_add_func("/vmi-migration/refused/bad-virtual-top",
                   test_bad_virtual_top);
    qtest_add_func("/vmi-migration/refused/other-accelerator",
                   test_other_accelerator);
    qtest_add_func("/vmi-migration/refused/other-revision",
                   test_other_revision);
    qtest_add_func("/vmi-migration/garbage-survived", test_garbage);

    qtest_add_func("/vmi-migration/dump-vmstate", test_dump_vmstate);
    qtest_add_func("/vmi-migration/stream-description",
                   test_stream_description);

    ret = g_test_run();
    unlink(state_path);
    unlink(err_path);
    rmdir(tmp_dir);
    g_free(state_path);
    g_free(err_path);
    g_free(tmp_dir);
    return ret;
}
