/*
 * QTest testcase for the vmi-pci device: migration streams that no source sends
 *
 * The stream itself says which fields it has.  Each of them gets absurd values,
 * and the machine that has loaded them runs, with a CPU that is halted.  Either
 * the stream is refused, with a reason and without effect, or QEMU must stay
 * idle, small and responsive.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "vmi-stream.h"
#include "vmi-test.h"

#define BIOS_SIZE (64 * KiB)
#define MEMORY_LIMIT (1 * GiB)

static char *tmp_dir, *bios_path, *state_path, *err_path;

static QTestState *start(const char *args)
{
    return qtest_initf("-machine pc -accel tcg -m 32 -bios %s %s", bios_path,
                       args);
}

/* A firmware that halts at once */
static void write_bios(void)
{
    static const uint8_t halt[] = { 0xfa, 0xf4, 0xeb, 0xfd };
    g_autofree uint8_t *bios = g_malloc0(BIOS_SIZE);

    memcpy(bios + BIOS_SIZE - 16, halt, sizeof(halt));
    g_assert_true(g_file_set_contents(bios_path, (char *)bios, BIOS_SIZE,
                                      NULL));
}

/* In VMI mode, with both alarms armed for LVTT, in a long time */
static uint8_t *copy_stream(void)
{
    uint8_t *state = g_memdup2(stream, stream_size);

    set_field(state, "active", 1);
    set_field(state, "rom_address", 0xcb000);
    set_field(state, "rom_linear", 0xc00cb000);
    for (int i = 0; i < 2; i++) {
        g_autofree char *alarm = g_strdup_printf("vcpu0.alarm%d.", i);
        g_autofree char *armed = g_strconcat(alarm, "armed", NULL);
        g_autofree char *flags = g_strconcat(alarm, "flags", NULL);
        g_autofree char *expiry = g_strconcat(alarm, "expiry", NULL);
        g_autofree char *period = g_strconcat(alarm, "period", NULL);

        set_field(state, armed, 1);
        set_field(state, flags, VMI_ALARM_LVTT | VMI_ALARM_PERIODIC | i);
        set_field(state, expiry, 1ull << 52);
        set_field(state, period, 1ull << 52);
    }
    return state;
}

/*
 * What QEMU does meanwhile
 */

/* Ticks of CPU time, in a file of Linux's; 0 elsewhere */
static uint64_t cpu_ticks(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", qtest_pid(qts));
    g_autofree char *text = NULL;
    unsigned long user, system;
    char *p;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 0;
    }
    p = strrchr(text, ')');
    g_assert_cmpint(sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                           "%lu %lu", &user, &system), ==, 2);
    return user + system;
}

static uint64_t resident_bytes(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/statm", qtest_pid(qts));
    g_autofree char *text = NULL;
    unsigned long pages;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 0;
    }
    g_assert_cmpint(sscanf(text, "%*u %lu", &pages), ==, 1);
    return (uint64_t)pages * qemu_real_host_page_size();
}

/*
 * A thread that never sleeps uses all of a processor that it can get.  One
 * look at an idle QEMU suffices; a busy host makes a look say less, not more.
 */
static bool is_busy(QTestState *qts)
{
    for (int i = 0; i < 5; i++) {
        int64_t start = g_get_monotonic_time();
        uint64_t before = cpu_ticks(qts);
        double passed, used;

        g_usleep(100 * 1000);
        used = (double)(cpu_ticks(qts) - before) / sysconf(_SC_CLK_TCK);
        passed = (g_get_monotonic_time() - start) / 1e6;
        if (used < passed * 3 / 4) {
            return false;
        }
    }
    return true;
}

static QTestState *load(const uint8_t *state, size_t size, bool *loaded)
{
    g_autofree char *args = g_strdup_printf(VMI_DEVICE " -incoming defer 2>%s",
                                            err_path);
    QTestState *qts = start(args);

    g_assert_true(g_file_set_contents(state_path, (char *)state, size, NULL));
    *loaded = vmi_load(qts, state_path);
    return qts;
}

/* With the reason, and the device is as it was. */
static void check_refused(QTestState *qts, const char *what)
{
    g_autofree char *err = NULL;

    g_assert_true(g_file_get_contents(err_path, &err, NULL, NULL));
    g_test_message("%s, refused: %s", what, err);
    g_assert_true(strstr(err, "vmi-pci: ") || strstr(err, "-smp maxcpus"));
    vmi_assert_uint(qts, "cycle-frequency", NANOSECONDS_PER_SECOND);
    vmi_assert_uint(qts, "virtual-top", VMI_DEFAULT_VIRTUAL_TOP);
    vmi_assert_uint(qts, "rom-address", 0);
    vmi_assert_bool(qts, "active", false);
}

/* Returns: whether it was loaded */
static bool check_load(const char *what, const uint8_t *state, size_t size)
{
    bool loaded;
    QTestState *qts = load(state, size, &loaded);
    g_autofree char *info = NULL;

    if (!loaded) {
        check_refused(qts, what);
    } else if (is_busy(qts)) {
        g_test_message("%s: loaded, and QEMU is busy", what);
        g_test_fail();
    }
    if (resident_bytes(qts) > MEMORY_LIMIT) {
        g_test_message("%s: QEMU is large", what);
        g_test_fail();
    }
    info = qtest_hmp(qts, "info vmi");
    g_assert_nonnull(strstr(info, "device: "));
    qobject_unref(qtest_qmp_assert_success_ref(qts, "{ 'execute': "
                      "'query-stats', 'arguments': { 'target': 'vcpu' } }"));
    if (loaded) {
        vmi_assert_running(qts);
        qtest_system_reset(qts);
        vmi_assert_bool(qts, "active", false);
    }
    qtest_quit(qts);
    return loaded;
}

/* In bytes: the first and the last one, and all between */
static const struct {
    const char *name;
    uint8_t first, middle, last;
} values[] = {
    { "0", 0, 0, 0 },
    { "1", 0, 0, 1 },
    { "the largest signed one", 0x7f, 0xff, 0xff },
    { "all ones", 0xff, 0xff, 0xff },
};

static void set_value(uint8_t *bytes, size_t size, int value)
{
    memset(bytes, values[value].middle, size);
    bytes[size - 1] = values[value].last;
    if (size > 1) {
        bytes[0] = values[value].first;
    }
}

static void test_field(const void *data)
{
    const Field *field = data;

    for (int i = 0; i < ARRAY_SIZE(values); i++) {
        g_autofree uint8_t *state = copy_stream();
        g_autofree char *what = g_strdup_printf("%s = %s", field->name,
                                                values[i].name);

        set_value(state + field->offset, field->size, i);
        check_load(what, state, stream_size);
    }
}

/* What this source does not send, behind its structure's fields */
static void test_subsection(const void *data)
{
    const char *name = data;
    bool is_revision = !strcmp(name, "vmi-pci/rom-revision");
    const Field *last = &g_array_index(fields, Field, fields->len - 1);
    const size_t at = last->offset + last->size;
    const size_t size = is_revision ? 4 : sizeof(VMIAPState);

    for (int i = 0; i < ARRAY_SIZE(values); i++) {
        g_autofree uint8_t *state = copy_stream();
        g_autofree uint8_t *value = g_malloc0(size);
        g_autofree char *what = g_strdup_printf("%s = %s", name,
                                                values[i].name);
        g_autoptr(GByteArray) longer = g_byte_array_new();
        uint8_t head[] = { 5, strlen(name) };       /* QEMU_VM_SUBSECTION */
        uint8_t version[4] = { 0, 0, 0, 1 };

        set_value(value, size, i);
        g_assert_cmphex(state[at], ==, 0x7e);       /* the section's end */
        g_byte_array_append(longer, state, at);
        g_byte_array_append(longer, head, sizeof(head));
        g_byte_array_append(longer, (const uint8_t *)name, strlen(name));
        g_byte_array_append(longer, version, sizeof(version));
        g_byte_array_append(longer, value, size);
        g_byte_array_append(longer, state + at, stream_size - at);
        g_assert_true(check_load(what, longer->data, longer->len) ==
                      (!is_revision || i == 1));
    }
}

/* Under KVM, the device writes there. */
static void test_rom_address(void)
{
    static const struct {
        uint32_t address;
        bool valid;
    } cases[] = {
        { 0 }, { 0xbf800 }, { 0xc0000, true }, { 0xcb000, true }, { 0xcb400 },
        { 0xcb800, true }, { 0xdc000, true }, { 0xdc800 }, { 0xe0000 },
        { 0xfffff800 }, { UINT32_MAX },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree uint8_t *state = copy_stream();
        g_autofree char *what = g_strdup_printf("rom_address = 0x%" PRIx32,
                                                cases[i].address);

        set_field(state, "rom_address", cases[i].address);
        g_assert_true(check_load(what, state, stream_size) == cases[i].valid);
    }
}

/* Several at once: a counter that stands still in front of an expiry */
static void test_still_counter(const void *data)
{
    const char *name = data;
    g_autofree uint8_t *state = copy_stream();
    const uint64_t high = 1ull << 62;

    if (!strcmp(name, "unknown")) {
        set_field(state, "vcpu0.alarm0.flags", 5);
        set_field(state, "vcpu0.alarm0.expiry", 1);
    } else if (!strcmp(name, "available")) {
        set_field(state, "vcpu0.available_seen", high);
        set_field(state, "vcpu0.alarm1.expiry", high + 1);
    } else {
        set_field(state, "vcpu0.stolen", high);
        set_field(state, "vcpu0.available_seen", -high);
        set_field(state, "vcpu0.alarm1.expiry", 1 - high);
    }
    g_assert_true(check_load(name, state, stream_size));
}

/* What this machine would go on with, laid out as the first stream */
static uint8_t *save_again(QTestState *qts)
{
    const size_t offset = field_named("cycle_frequency")->offset;
    uint8_t *state = g_malloc0(stream_size);
    g_autofree char *saved = NULL;
    uint8_t frequency[8];
    char *found;
    gsize size;

    g_assert_true(vmi_save(qts, state_path));
    g_assert_true(g_file_get_contents(state_path, &saved, &size, NULL));
    stq_be_p(frequency, FREQUENCY);
    found = memmem(saved, size, frequency, sizeof(frequency));
    g_assert_nonnull(found);
    memcpy(state + offset, found, MIN(stream_size - offset,
                                      saved + size - found));
    return state;
}

static unsigned alarms_fired(QTestState *qts)
{
    g_autofree char *text = qtest_hmp(qts, "info stats vcpu");
    const char *line = strstr(text, "alarms-fired");
    unsigned fired;

    g_assert_nonnull(line);
    g_assert_cmpint(sscanf(line, "%*[^:]: %u", &fired), ==, 1);
    return fired;
}

/*
 * What the guest has learned of its available time bounds what can be found to
 * have been stolen.  It learns of an expiry, not of what the host sees when it
 * looks after its alarms.
 */
static void test_available_seen(const void *data)
{
    bool expires = !strcmp(data, "fires");
    const uint64_t expiry = expires ? 12345 : 1ull << 52;
    g_autofree uint8_t *state = copy_stream();
    g_autofree uint8_t *after = NULL;
    QTestState *qts;
    bool loaded;

    set_field(state, "vcpu0.alarm0.armed", 0);
    set_field(state, "vcpu0.alarm1.flags", VMI_CYCLES_AVAILABLE);
    set_field(state, "vcpu0.alarm1.expiry", expiry);
    qts = load(state, stream_size, &loaded);
    g_assert_true(loaded);
    for (int i = 0; expires && !alarms_fired(qts) && i < 6000; i++) {
        g_usleep(10000);
    }
    g_assert_cmpuint(alarms_fired(qts), ==, expires);
    after = save_again(qts);
    g_assert_cmpuint(get_field(after, "vcpu0.alarm1.armed"), ==, !expires);
    g_assert_cmpuint(get_field(after, "vcpu0.alarm1.expiry"), ==, expiry);
    g_assert_cmpuint(get_field(after, "vcpu0.available_seen"), ==,
                     expires ? expiry : 0);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const char *const still[] = { "unknown", "available", "stolen" };
    static const char *const seen[] = { "fires", "waits" };
    static const char *const subsections[] = {
        "vmi-pci/rom-revision", "vmi-pci/vcpu/ap-state",
    };
    const char *qemu = getenv("QTEST_QEMU_BINARY");
    QTestState *qts;
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (!qemu || !qtest_has_accel("tcg")) {
        g_test_skip("it takes TCG");
        return 0;
    }
    tmp_dir = g_dir_make_tmp("vmi-stream-test-XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);
    bios_path = g_build_filename(tmp_dir, "bios", NULL);
    state_path = g_build_filename(tmp_dir, "state", NULL);
    err_path = g_build_filename(tmp_dir, "stderr", NULL);
    write_bios();

    qts = start("-device vmi-pci,addr=05.0,cycle-frequency="
                stringify(987654321012));
    g_assert_true(vmi_save(qts, state_path));
    qtest_quit(qts);
    g_assert_true(g_file_get_contents(state_path, (char **)&stream,
                                      &stream_size, NULL));
    fields = g_array_new(false, false, sizeof(Field));
    find_fields();

    for (guint i = 0; i < fields->len; i++) {
        Field *field = &g_array_index(fields, Field, i);
        g_autofree char *path = g_strdup_printf("/vmi-stream/field/%s",
                                                field->name);

        /* What is PCI's own is not looked at. */
        if (!g_str_has_prefix(field->name, "parent_obj")) {
            qtest_add_data_func(path, field, test_field);
        }
    }
    for (int i = 0; i < ARRAY_SIZE(still); i++) {
        g_autofree char *path = g_strdup_printf("/vmi-stream/still-counter/%s",
                                                still[i]);

        qtest_add_data_func(path, still[i], test_still_counter);
    }
    for (int i = 0; i < ARRAY_SIZE(subsections); i++) {
        const char *name = strchr(subsections[i], '/') + 1;
        g_autofree char *path = g_strdup_printf("/vmi-stream/subsection/%s",
                                                name);

        qtest_add_data_func(path, subsections[i], test_subsection);
    }
    qtest_add_func("/vmi-stream/rom-address", test_rom_address);
    for (int i = 0; i < ARRAY_SIZE(seen); i++) {
        g_autofree char *path = g_strdup_printf("/vmi-stream/available-seen/%s",
                                                seen[i]);

        qtest_add_data_func(path, seen[i], test_available_seen);
    }
    ret = g_test_run();

    unlink(state_path);
    unlink(err_path);
    unlink(bios_path);
    rmdir(tmp_dir);
    return ret;
}
