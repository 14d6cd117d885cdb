/*
 * QTest: what the tests of the vmi-pci device share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_VMI_TEST_H
#define TESTS_QTEST_VMI_TEST_H

#include "qemu/bswap.h"
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "libqtest.h"
#include "libqos/pci.h"
#include "libqos/pci-pc.h"
#include "hw/pci/pci_regs.h"
#include "hw/vmi/vmi-abi.h"

/* Where the tests put the device, and what they call it. */
#define VMI_DEVFN QPCI_DEVFN(5, 0)
#define VMI_DEVICE "-device vmi-pci,id=vmi,addr=05.0"
#define VMI_QOM_PATH "/machine/peripheral/vmi"

/* Where the tests map the ROM BAR. */
#define VMI_TEST_ROM_ADDR 0xe0000000

/**
 * vmi_run_qemu: start QEMU, end it if it runs, and see how that went
 * @err: standard error, to be freed
 *
 * Returns: the exit status; a death by signal fails the test.
 */
G_GNUC_PRINTF(2, 3)
static inline int vmi_run_qemu(char **err, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *command = NULL;
    g_autofree char *out = NULL;
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", NULL, NULL };
    int status;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    command = g_strdup_printf("echo quit | exec %s -display none -audio none "
                              "-accel qtest -monitor stdio %s",
                              getenv("QTEST_QEMU_BINARY"), args);
    argv[2] = command;
    g_test_message("running: %s", command);
    g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, err,
                               &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_test_message("exit status %d, stderr: %s", WEXITSTATUS(status), *err);
    /* The shell's way to tell of a signal. */
    g_assert_cmpint(WEXITSTATUS(status), <, 128);
    return WEXITSTATUS(status);
}

static inline void vmi_assert_contains(const char *text, const char *phrase)
{
    if (!strstr(text, phrase)) {
        g_test_message("no \"%s\" in \"%s\"", phrase, text);
        g_test_fail();
    }
}

/* The ROM in QEMU's data directory, or the one that VMI_ROM names. */
static inline char *vmi_rom_path(void)
{
    g_autofree char *command = NULL;
    g_autofree char *out = NULL;
    g_auto(GStrv) dirs = NULL;

    if (getenv("VMI_ROM")) {
        return g_strdup(getenv("VMI_ROM"));
    }
    command = g_strdup_printf("%s -L help", getenv("QTEST_QEMU_BINARY"));
    g_assert_true(g_spawn_command_line_sync(command, &out, NULL, NULL, NULL));
    dirs = g_strsplit(out, "\n", -1);
    for (int i = 0; dirs[i]; i++) {
        g_autofree char *path = g_build_filename(dirs[i], "vmi.rom", NULL);

        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return g_steal_pointer(&path);
        }
    }
    g_test_message("no vmi.rom in QEMU's data directories: %s", out);
    g_assert_not_reached();
}

static inline uint8_t vmi_sum(const uint8_t *p, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += p[i];
    }
    return sum;
}

/* The image that a guest should find: as built, except for virtual-top. */
static inline uint8_t *vmi_expected_rom(uint32_t virtual_top)
{
    g_autofree char *path = vmi_rom_path();
    char *image;
    gsize size;

    g_assert_true(g_file_get_contents(path, &image, &size, NULL));
    g_assert_cmpint(size, ==, VMI_ROM_SIZE);
    stl_le_p(image + VMI_HDR_VIRTUAL_TOP, virtual_top);
    image[VMI_HDR_CHECKSUM] -= vmi_sum((uint8_t *)image, size);
    return (uint8_t *)image;
}

static inline void vmi_assert_rom(const uint8_t *image, uint32_t virtual_top)
{
    g_autofree uint8_t *expected = vmi_expected_rom(virtual_top);

    for (int i = 0; i < VMI_ROM_SIZE; i++) {
        if (image[i] != expected[i]) {
            g_test_message("the images differ at offset 0x%x", i);
            g_assert_cmphex(image[i], ==, expected[i]);
        }
    }
    g_assert_cmphex(vmi_sum(image, VMI_ROM_SIZE), ==, 0);
}

/* What the ROM BAR of the function shows; to be freed. */
static inline uint8_t *vmi_read_rom_bar(QPCIDevice *dev)
{
    uint8_t *image = g_malloc(VMI_ROM_SIZE);

    qpci_config_writel(dev, PCI_ROM_ADDRESS,
                       VMI_TEST_ROM_ADDR | PCI_ROM_ADDRESS_ENABLE);
    qpci_config_writew(dev, PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_bufread(dev->bus->qts, VMI_TEST_ROM_ADDR, image, VMI_ROM_SIZE);
    return image;
}

/* As above, where the device is at VMI_DEVFN. */
static inline void vmi_assert_rom_bar(QTestState *qts, uint32_t virtual_top)
{
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    g_autofree QPCIDevice *dev = qpci_device_find(bus, VMI_DEVFN);
    g_autofree uint8_t *image = NULL;

    g_assert_nonnull(dev);
    image = vmi_read_rom_bar(dev);
    vmi_assert_rom(image, virtual_top);
    qpci_free_pc(bus);
}

/* The value of one of the device's properties; to be unreferenced. */
static inline QObject *vmi_qom_get(QTestState *qts, const char *property)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': %s } }",
                           VMI_QOM_PATH, property);
    QObject *value;

    g_assert_true(qdict_haskey(rsp, "return"));
    value = qobject_ref(qdict_get(rsp, "return"));
    qobject_unref(rsp);
    return value;
}

static inline void vmi_assert_uint(QTestState *qts, const char *property,
                                   uint64_t expected)
{
    QObject *value = vmi_qom_get(qts, property);

    g_assert_cmpuint(qnum_get_uint(qobject_to(QNum, value)), ==, expected);
    qobject_unref(value);
}

static inline void vmi_assert_bool(QTestState *qts, const char *property,
                                   bool expected)
{
    QObject *value = vmi_qom_get(qts, property);

    if (qbool_get_bool(qobject_to(QBool, value)) != expected) {
        g_test_message("%s is not %d", property, expected);
        g_test_fail();
    }
    qobject_unref(value);
}

/* The machine is there and its CPUs would run. */
static inline void vmi_assert_running(QTestState *qts)
{
    QDict *status = qtest_qmp_assert_success_ref(qts,
                        "{ 'execute': 'query-status' }");

    g_assert_cmpstr(qdict_get_str(status, "status"), ==, "running");
    qobject_unref(status);
}

/* Start a migration by @command; true if it completes, false if it fails */
static inline bool vmi_migrates(QTestState *qts, const char *command,
                                const char *path)
{
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    QDict *args = qdict_new();

    qdict_put_str(args, "uri", uri);
    if (!strcmp(command, "migrate-incoming")) {
        qdict_put_bool(args, "exit-on-error", false);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': %p }",
                             command, args);
    for (int i = 0; i < 6000; i++) {
        QDict *rsp = qtest_qmp_assert_success_ref(qts,
                         "{ 'execute': 'query-migrate' }");
        g_autofree char *status = g_strdup(qdict_get_try_str(rsp, "status"));

        qobject_unref(rsp);
        if (!g_strcmp0(status, "completed")) {
            return true;
        }
        if (!g_strcmp0(status, "failed")) {
            return false;
        }
        g_usleep(10000);
    }
    g_assert_not_reached();
}

/* Save the machine's state in the file @path; false if that failed */
static inline bool vmi_save(QTestState *qts, const char *path)
{
    return vmi_migrates(qts, "migrate", path);
}

/* Load what vmi_save() saved, with -incoming defer; false if that failed */
static inline bool vmi_load(QTestState *qts, const char *path)
{
    return vmi_migrates(qts, "migrate-incoming", path);
}

#endif
