/*
 * QTest testcase for the vmi-pci device: its option ROM, as built and as the
 * firmware leaves it to guests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "boot-sector.h"
#include "vmi-test.h"

static char *disk;              /* its boot sector says that it has run */

/*
 * The image: literal numbers are those that guests know, whatever vmi-abi.h
 * says.
 */

static uint8_t *read_rom(const char *args)
{
    QTestState *qts = qtest_init(args);
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    g_autofree QPCIDevice *dev = qpci_device_find(bus, VMI_DEVFN);
    uint8_t *image;

    g_assert_nonnull(dev);
    image = vmi_read_rom_bar(dev);
    qpci_free_pc(bus);
    qtest_quit(qts);
    return image;
}

static void assert_string(const uint8_t *image, int offset, const char *text)
{
    int where = lduw_le_p(image + offset);

    g_assert_cmpint(where, <, VMI_ROM_SIZE - strlen(text));
    g_assert_cmpstr((const char *)image + where, ==, text);
}

/* A near jump, as both entries are, to inside of the image. */
static void assert_entry(const uint8_t *image, int offset)
{
    int target;

    if (image[offset] == 0xeb) {
        target = offset + 2 + (int8_t)image[offset + 1];
    } else {
        g_assert_cmphex(image[offset], ==, 0xe9);
        target = offset + 5 + (int32_t)ldl_le_p(image + offset + 1);
    }
    g_assert_cmpint(target, >=, 144);
    g_assert_cmpint(target, <, VMI_ROM_SIZE);
}

static void test_header(void)
{
    g_autofree uint8_t *image = read_rom(VMI_DEVICE);
    const uint8_t *pcir, *pnp;

    g_assert_cmphex(lduw_le_p(image), ==, 0xaa55);
    g_assert_cmpint(image[2], ==, 32);
    g_assert_nonnull(memchr(image + 3, 0xcb, 4));       /* LRET */
    g_assert_cmpmem(image + 8, 4, "cVmi", 4);
    g_assert_cmpint(image[12], ==, 0);
    g_assert_cmpint(image[13], ==, 3);
    g_assert_cmpint(image[14], ==, 128);
    g_assert_cmpint(image[15], ==, 0);
    g_assert_cmphex((uint32_t)ldl_le_p(image + 16), ==, 0xfc000000);
    g_assert_cmphex(lduw_le_p(image + 20), ==, 0);
    assert_string(image, 22, "GPL v2");
    for (int i = 28; i < 128; i++) {
        g_assert_cmphex(image[i], ==, 0);
    }
    assert_entry(image, 128);
    assert_entry(image, 136);
    g_assert_cmphex(vmi_sum(image, VMI_ROM_SIZE), ==, 0);

    g_assert_cmpint(lduw_le_p(image + 24), <, VMI_ROM_SIZE - 0x18);
    pcir = image + lduw_le_p(image + 24);
    g_assert_cmpmem(pcir, 4, "PCIR", 4);
    g_assert_cmphex(lduw_le_p(pcir + 4), ==, 0x15ad);
    g_assert_cmphex(lduw_le_p(pcir + 6), ==, 0x0801);
    g_assert_cmphex(lduw_le_p(pcir + 0xa), ==, 0x18);
    g_assert_cmphex(pcir[0xd], ==, 0);
    g_assert_cmphex(lduw_le_p(pcir + 0xe), ==, 0x0580);
    g_assert_cmpint(lduw_le_p(pcir + 0x10), ==, 32);
    g_assert_cmpint(pcir[0x12], ==, 0);
    g_assert_cmpint(pcir[0x13], ==, 1);
    g_assert_cmphex(pcir[0x14], ==, 0);
    g_assert_cmphex(pcir[0x15], ==, 0x80);

    g_assert_cmpint(lduw_le_p(image + 26), <, VMI_ROM_SIZE - 0x20);
    pnp = image + lduw_le_p(image + 26);
    g_assert_cmpint((pnp - image) % 16, ==, 0);
    g_assert_cmpmem(pnp, 4, "$PnP", 4);
    g_assert_cmpint(pnp[5], ==, 2);
    g_assert_cmphex(vmi_sum(pnp, 32), ==, 0);
    assert_string(image, pnp - image + 14, "VMware, Inc.");
    assert_string(image, pnp - image + 16, "Hypervisor OPROM");
    /* Nothing to boot from. */
    g_assert_cmphex(lduw_le_p(pnp + 0x16), ==, 0);
    g_assert_cmphex(lduw_le_p(pnp + 0x18), ==, 0);
    g_assert_cmphex(lduw_le_p(pnp + 0x1a), ==, 0);
}

/* A driver that writes to the BAR does not change what a guest finds. */
static void test_bar_read_only(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);

    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_memset(qts, VMI_TEST_ROM_ADDR, 0x5a, VMI_ROM_SIZE);
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_quit(qts);
}

/*
 * After the firmware
 */

#define SEGMENT 0xc0000
#define SEGMENT_SIZE 0x20000

/*
 * A SCSI disk, with which QEMU adds no CD-ROM drive: on q35, SeaBIOS before
 * 1.16.3 waits half a minute for that.
 */
#define DISK " -drive if=none,id=hd0,format=raw,file=%s " \
             "-device virtio-scsi-pci -device scsi-hd,drive=hd0"
#define PC "-accel tcg -machine pc "
#define Q35 "-accel tcg -machine q35 "

/* Look at the segment as a guest does, and at all that lies in it. */
static void assert_segment(QTestState *qts, uint32_t virtual_top)
{
    g_autofree uint8_t *seg = g_malloc(SEGMENT_SIZE);
    int vmi = -1, vga = -1, nic = -1, size;

    qtest_bufread(qts, SEGMENT, seg, SEGMENT_SIZE);
    for (int i = 0; i < SEGMENT_SIZE; i += size) {
        const uint8_t *image = seg + i;
        int pcir = lduw_le_p(image + 0x18);

        size = 0x800;
        if (lduw_le_p(image) != 0xaa55) {
            continue;
        }
        size = ROUND_UP(image[2] * 512, 0x800);
        g_test_message("0x%x: an image of %d bytes", SEGMENT + i,
                       image[2] * 512);
        g_assert_cmphex(i + size, <=, SEGMENT_SIZE);
        if (!memcmp(image + 8, "cVmi", 4)) {
            g_assert_cmpint(vmi, ==, -1);
            vmi = i;
        } else if (pcir < size && !memcmp(image + pcir, "PCIR", 4)) {
            vga = lduw_le_p(image + pcir + 4) == 0x1234 ? i : vga;
            nic = lduw_le_p(image + pcir + 4) == 0x8086 ? i : nic;
        }
    }
    /* The neighbours are still there. */
    g_assert_cmpint(vga, ==, 0);
    g_assert_cmpint(nic, !=, -1);

    g_assert_cmpint(vmi, !=, -1);
    vmi_assert_rom(seg + vmi, virtual_top);
}

static void test_firmware(const void *data)
{
    QTestState *qts = qtest_initf(data, disk);

    boot_sector_test(qts);
    assert_segment(qts, VMI_DEFAULT_VIRTUAL_TOP);
    vmi_assert_bool(qts, "active", false);
    qtest_quit(qts);
}

static void test_firmware_virtual_top(void)
{
    QTestState *qts = qtest_initf(PC "-device vmi-pci,virtual-top=0xf7c00000"
                                  DISK, disk);

    boot_sector_test(qts);
    assert_segment(qts, 0xf7c00000);
    qtest_quit(qts);
}

static void test_firmware_reset(void)
{
    QTestState *qts = qtest_initf(PC VMI_DEVICE DISK, disk);

    for (int i = 0; i < 2; i++) {
        boot_sector_test(qts);
        assert_segment(qts, VMI_DEFAULT_VIRTUAL_TOP);
        qtest_system_reset(qts);
    }
    qtest_quit(qts);
}

/* SeaBIOS itself need not survive this. */
static void test_reset_in_firmware(void)
{
    QTestState *qts = qtest_initf(PC VMI_DEVICE DISK, disk);

    for (int i = 0; i < 15; i++) {
        g_usleep(i * 5000);
        qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
        qtest_system_reset(qts);
        vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
        qtest_system_reset(qts);
        qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    }
    vmi_assert_running(qts);
    qtest_quit(qts);
}

/* The topology of ESX Server: the device behind bridges, at 02:03.0. */
static void test_readconfig(void)
{
    const char *config = getenv("VMI_READCONFIG");
    g_autofree QPCIDevice *dev = NULL;
    QTestState *qts;
    QPCIBus *bus;

    if (!config || !*config) {
        g_test_skip("VMI_READCONFIG does not name the configuration file");
        return;
    }
    qts = qtest_initf("-accel tcg -readconfig %s" DISK, config, disk);
    boot_sector_test(qts);
    assert_segment(qts, VMI_DEFAULT_VIRTUAL_TOP);

    bus = qpci_new_pc(qts, NULL);
    dev = qpci_device_find(bus, 2 << 8 | QPCI_DEVFN(3, 0));
    g_assert_nonnull(dev);
    g_assert_cmphex(qpci_config_readw(dev, PCI_VENDOR_ID), ==, 0x15ad);
    g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==, 0x0801);
    qpci_free_pc(bus);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);

    qtest_add_func("/vmi-rom/header", test_header);
    qtest_add_func("/vmi-rom/bar-read-only", test_bar_read_only);
    if (!qtest_has_accel("tcg")) {
        g_test_message("no TCG in this QEMU: no firmware");
        return g_test_run();
    }

    disk = g_build_filename(g_get_tmp_dir(), "vmi-rom-test-XXXXXX", NULL);
    if (boot_sector_init(disk)) {
        return 1;
    }
    qtest_add_data_func("/vmi-rom/in-segment/pc", PC VMI_DEVICE DISK,
                        test_firmware);
    qtest_add_data_func("/vmi-rom/in-segment/q35", Q35 VMI_DEVICE DISK,
                        test_firmware);
    qtest_add_data_func("/vmi-rom/in-segment/bridge", PC
                        "-device pci-bridge,id=bridge,chassis_nr=1 "
                        "-device vmi-pci,id=vmi,bus=bridge,addr=03.0" DISK,
                        test_firmware);
    qtest_add_func("/vmi-rom/in-segment/virtual-top",
                   test_firmware_virtual_top);
    qtest_add_func("/vmi-rom/in-segment/reset", test_firmware_reset);
    qtest_add_func("/vmi-rom/reset-in-firmware", test_reset_in_firmware);
    qtest_add_func("/vmi-rom/in-segment/readconfig", test_readconfig);

    ret = g_test_run();
    boot_sector_cleanup(disk);
    g_free(disk);
    return ret;
}
