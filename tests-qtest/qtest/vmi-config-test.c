/*
 * QTest testcase for the vmi-pci device: configurations that are refused,
 * or warned about
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "vmi-test.h"

static char *tmp_dir;

#define FREQUENCY_ERROR "cycle-frequency must be between 1000000 and " \
                        "1023999999999 Hz"
#define TOP_ERROR "virtual-top must be page-aligned and between 0xe0000000 " \
                  "and 0xfffff000"

static const struct Refused {
    const char *name;
    const char *machine;
    const char *args;
    const char *phrase;
} refused[] = {
    { "isapc", "isapc", "-device vmi-pci", "No 'PCI' bus found" },
    { "microvm", "microvm", "-device vmi-pci", "No 'PCI' bus found" },
    { "no-machine", "none", "-device vmi-pci", "No 'PCI' bus found" },
    { "second-device", "pc", "-device vmi-pci -device vmi-pci",
      "at most one vmi-pci device" },
    { "second-device-q35", "q35", "-device vmi-pci -device vmi-pci",
      "at most one vmi-pci device" },
    { "rombar-0", "pc", "-device vmi-pci,rombar=0", "rombar=0 would hide VMI" },
    { "romfile-missing", "pc", "-device vmi-pci,romfile=/nonexistent/vmi.rom",
      "cannot read romfile \"/nonexistent/vmi.rom\"" },
    { "romfile-empty", "pc", "-device vmi-pci,romfile=",
      "empty romfile" },
    { "romfile-other-rom", "pc", "-device vmi-pci,romfile=kvmvapic.bin",
      "romfile \"kvmvapic.bin\" is not a VMI ROM" },
    { "romsize-8k", "pc", "-device vmi-pci,romsize=8192",
      "romsize must be 16384" },
    { "romsize-32k", "pc", "-device vmi-pci,romsize=32768",
      "romsize must be 16384" },
    { "cycle-frequency/0", "pc", "-device vmi-pci,cycle-frequency=0",
      FREQUENCY_ERROR },
    { "cycle-frequency/too-low", "pc", "-device vmi-pci,cycle-frequency=999999",
      FREQUENCY_ERROR },
    { "cycle-frequency/too-high", "pc",
      "-device vmi-pci,cycle-frequency=1024000000000", FREQUENCY_ERROR },
    { "cycle-frequency/huge", "pc",
      "-device vmi-pci,cycle-frequency=0xfffffffffffffffe", FREQUENCY_ERROR },
    { "cycle-frequency/text", "pc", "-device vmi-pci,cycle-frequency=fast",
      "expects" },
    { "virtual-top/unaligned", "pc", "-device vmi-pci,virtual-top=0xfc000800",
      TOP_ERROR },
    { "virtual-top/last-byte", "pc", "-device vmi-pci,virtual-top=0xffffffff",
      TOP_ERROR },
    { "virtual-top/too-low", "pc", "-device vmi-pci,virtual-top=0xdffff000",
      TOP_ERROR },
    { "virtual-top/0", "pc", "-device vmi-pci,virtual-top=0", TOP_ERROR },
    { "virtual-top/4-gib", "pc", "-device vmi-pci,virtual-top=0x100000000",
      "expects uint32_t" },
    { "exact-stolen", "pc", "-device vmi-pci,exact-stolen=on",
      "exact-stolen=on is for the KVM accelerator" },
    { "check", "pc", "-device vmi-pci,check=on",
      "check=on is for the TCG accelerator" },
    { "switch/cpu", "pc", "-device vmi-pci,cpu=maybe", "'on' or 'off'" },
    { "switch/irq", "pc", "-device vmi-pci,irq=maybe", "'on' or 'off'" },
    { "switch/mmu", "pc", "-device vmi-pci,mmu=maybe", "'on' or 'off'" },
    { "switch/smp", "pc", "-device vmi-pci,smp=maybe", "'on' or 'off'" },
    { "switch/timer", "pc", "-device vmi-pci,timer=maybe", "'on' or 'off'" },
    { "switch/lazy", "pc", "-device vmi-pci,lazy=maybe", "'on' or 'off'" },
};

static void assert_refused(const char *machine, const char *args,
                           const char *phrase)
{
    g_autofree char *err = NULL;

    if (strcmp(machine, "none") && !qtest_has_machine(machine)) {
        g_test_skip("no such machine in this QEMU");
        return;
    }
    g_assert_cmpint(vmi_run_qemu(&err, "-machine %s %s", machine, args), ==,
                    1);
    vmi_assert_contains(err, phrase);
}

static void test_refused(const void *data)
{
    const struct Refused *r = data;

    assert_refused(r->machine, r->args, r->phrase);
}

static char *write_file(const char *name, const void *data, gsize size)
{
    char *path = g_build_filename(tmp_dir, name, NULL);

    g_assert_true(g_file_set_contents(path, data, size, NULL));
    return path;
}

static void check_romfile(const void *image, gsize size, bool good)
{
    g_autofree char *path = write_file("test.rom", image, size);
    g_autofree char *args = g_strdup_printf("-device vmi-pci,romfile=%s",
                                            path);
    g_autofree char *err = NULL;

    if (good) {
        g_assert_cmpint(vmi_run_qemu(&err, "-machine pc %s", args), ==, 0);
    } else {
        assert_refused("pc", args, "is not a VMI ROM");
    }
    unlink(path);
}

static void test_romfile_content(void)
{
    g_autofree uint8_t *rom = vmi_expected_rom(VMI_DEFAULT_VIRTUAL_TOP);
    g_autofree uint8_t *image = g_malloc0(2 * VMI_ROM_SIZE);

    /* The ROM itself, so that the rest is refused for what it says. */
    check_romfile(rom, VMI_ROM_SIZE, true);

    check_romfile(rom, 0, false);
    check_romfile(rom, 512, false);
    check_romfile(rom, VMI_ROM_SIZE - 1, false);
    memcpy(image, rom, VMI_ROM_SIZE);
    check_romfile(image, VMI_ROM_SIZE + 512, false);
    check_romfile(image, 2 * VMI_ROM_SIZE, false);

    /* Checksum */
    image[VMI_ROM_SIZE - 1]++;
    check_romfile(image, VMI_ROM_SIZE, false);

    /* Signatures, with a right checksum */
    memcpy(image, rom, VMI_ROM_SIZE);
    image[VMI_HDR_SIGNATURE]++;
    image[VMI_HDR_CHECKSUM]--;
    check_romfile(image, VMI_ROM_SIZE, false);
    memcpy(image, rom, VMI_ROM_SIZE);
    image[VMI_HDR_OPTROM_SIGNATURE]++;
    image[VMI_HDR_CHECKSUM]--;
    check_romfile(image, VMI_ROM_SIZE, false);

    /* Length in the header */
    memcpy(image, rom, VMI_ROM_SIZE);
    image[VMI_HDR_ROM_BLOCKS]--;
    image[VMI_HDR_CHECKSUM]++;
    check_romfile(image, VMI_ROM_SIZE, false);

    memset(image, 0x5a, VMI_ROM_SIZE);
    check_romfile(image, VMI_ROM_SIZE, false);
}

static void test_no_hotplug(void)
{
    QTestState *qts = qtest_init("-machine pc");
    QDict *err = qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'device_add', 'arguments': "
        "{ 'driver': 'vmi-pci', 'id': 'vmi' } }");

    g_test_message("saw: %s", qdict_get_str(err, "desc"));
    vmi_assert_contains(qdict_get_str(err, "desc"), "hotplug");
    qobject_unref(err);
    vmi_assert_running(qts);
    qtest_quit(qts);
}

static void test_no_hotunplug(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);
    QDict *err = qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'device_del', 'arguments': { 'id': 'vmi' } }");

    g_test_message("saw: %s", qdict_get_str(err, "desc"));
    vmi_assert_contains(qdict_get_str(err, "desc"), "hot");
    qobject_unref(err);
    vmi_assert_running(qts);
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_quit(qts);
}

/*
 * Firmware that runs no option ROMs
 */

#define NO_OPTION_ROMS "firmware runs no option ROMs"

/* What UEFI firmware of QEMU's kind has near its end. */
static char *fake_ovmf(void)
{
    g_autofree uint8_t *image = g_malloc0(128 * KiB);
    static const QemuUUID footer = {
        .data = UUID_LE(0x96b582de, 0x1fb2, 0x45f7, 0xba, 0xea,
                        0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d)
    };

    memcpy(image + 128 * KiB - 0x30, &footer, sizeof(footer));
    return write_file("ovmf.fd", image, 128 * KiB);
}

static void test_warn_ovmf_bios(void)
{
    g_autofree char *path = fake_ovmf();
    g_autofree char *err = NULL;

    g_assert_cmpint(vmi_run_qemu(&err, "-machine pc -device vmi-pci -bios %s",
                                 path), ==, 0);
    vmi_assert_contains(err, NO_OPTION_ROMS);
    unlink(path);
}

static void test_warn_ovmf_pflash(void)
{
    g_autofree char *path = fake_ovmf();
    g_autofree char *err = NULL;

    g_assert_cmpint(vmi_run_qemu(&err, "-machine q35 -device vmi-pci -drive "
                                 "if=pflash,format=raw,readonly=on,file=%s",
                                 path), ==, 0);
    vmi_assert_contains(err, NO_OPTION_ROMS);
    unlink(path);
}

static void test_warn_microvm(void)
{
    g_autofree char *err = NULL;

    if (!qtest_has_machine("microvm")) {
        g_test_skip("no microvm in this QEMU");
        return;
    }
    g_assert_cmpint(vmi_run_qemu(&err, "-machine microvm,pcie=on "
                                 "-device vmi-pci"), ==, 0);
    vmi_assert_contains(err, NO_OPTION_ROMS);
}

static void test_no_warning_seabios(const void *data)
{
    g_autofree char *err = NULL;

    g_assert_cmpint(vmi_run_qemu(&err, "-machine %s -device vmi-pci",
                                 (const char *)data), ==, 0);
    g_assert_null(strstr(err, "vmi"));
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    tmp_dir = g_dir_make_tmp("vmi-config-test-XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);

    for (int i = 0; i < ARRAY_SIZE(refused); i++) {
        g_autofree char *path = g_strdup_printf("/vmi-config/refused/%s",
                                                refused[i].name);

        qtest_add_data_func(path, &refused[i], test_refused);
    }
    qtest_add_func("/vmi-config/refused/romfile-content", test_romfile_content);
    qtest_add_func("/vmi-config/refused/hotplug", test_no_hotplug);
    qtest_add_func("/vmi-config/refused/hotunplug", test_no_hotunplug);

    qtest_add_func("/vmi-config/firmware-warning/ovmf-bios",
                   test_warn_ovmf_bios);
    qtest_add_func("/vmi-config/firmware-warning/ovmf-pflash",
                   test_warn_ovmf_pflash);
    qtest_add_func("/vmi-config/firmware-warning/microvm", test_warn_microvm);
    qtest_add_data_func("/vmi-config/firmware-warning/none-for-seabios-pc",
                        "pc", test_no_warning_seabios);
    qtest_add_data_func("/vmi-config/firmware-warning/none-for-seabios-q35",
                        "q35", test_no_warning_seabios);

    ret = g_test_run();
    rmdir(tmp_dir);
    g_free(tmp_dir);
    return ret;
}
