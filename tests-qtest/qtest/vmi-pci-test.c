/*
 * QTest testcase for the vmi-pci device: what it is without a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "vmi-test.h"

typedef struct Place {
    const char *name;
    const char *args;
    bool bridged;               /* at 01:03.0, behind 00:06.0 */
} Place;

#define BEHIND_BRIDGE "-device pci-bridge,id=bridge,chassis_nr=1,addr=06.0 " \
                      "-device vmi-pci,id=vmi,bus=bridge,addr=03.0"

static const Place places[] = {
    { "pc", "-machine pc " VMI_DEVICE },
    { "q35", "-machine q35 " VMI_DEVICE },
    { "pc-bridge", "-machine pc " BEHIND_BRIDGE, true },
    { "q35-bridge", "-machine q35 " BEHIND_BRIDGE, true },
};

static QPCIDevice *start_at(const Place *place)
{
    QTestState *qts = qtest_init(place->args);
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    g_autofree QPCIDevice *bridge = NULL;
    QPCIDevice *dev;

    if (place->bridged) {
        g_assert_cmpint(qpci_secondary_buses_init(bus), ==, 1);
        bridge = qpci_device_find(bus, QPCI_DEVFN(6, 0));
        qpci_config_writew(bridge, PCI_MEMORY_BASE, VMI_TEST_ROM_ADDR >> 16);
        qpci_config_writew(bridge, PCI_MEMORY_LIMIT, VMI_TEST_ROM_ADDR >> 16);
        qpci_config_writew(bridge, PCI_COMMAND,
                           PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        dev = qpci_device_find(bus, 1 << 8 | QPCI_DEVFN(3, 0));
    } else {
        dev = qpci_device_find(bus, VMI_DEVFN);
    }
    g_assert_nonnull(dev);
    return dev;
}

static void stop(QPCIDevice *dev)
{
    QTestState *qts = dev->bus->qts;

    qpci_free_pc(dev->bus);
    g_free(dev);
    qtest_quit(qts);
}

/* Literal numbers: those that guests know, whatever vmi-abi.h says. */
static void test_identity(const void *data)
{
    QPCIDevice *dev = start_at(data);

    g_assert_cmphex(qpci_config_readw(dev, PCI_VENDOR_ID), ==, 0x15ad);
    g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==, 0x0801);
    g_assert_cmphex(qpci_config_readw(dev, PCI_CLASS_DEVICE), ==, 0x0580);
    g_assert_cmphex(qpci_config_readb(dev, PCI_CLASS_PROG), ==, 0);
    g_assert_cmphex(qpci_config_readb(dev, PCI_REVISION_ID), ==, 1);
    g_assert_cmphex(qpci_config_readb(dev, PCI_HEADER_TYPE), ==, 0);
    stop(dev);
}

static void test_no_resource_but_rom(const void *data)
{
    QPCIDevice *dev = start_at(data);
    uint32_t rom;

    for (int i = 0; i < 6; i++) {
        qpci_config_writel(dev, PCI_BASE_ADDRESS_0 + i * 4, UINT32_MAX);
        g_assert_cmphex(qpci_config_readl(dev, PCI_BASE_ADDRESS_0 + i * 4),
                        ==, 0);
    }
    g_assert_cmphex(qpci_config_readb(dev, PCI_INTERRUPT_PIN), ==, 0);

    g_assert_cmphex(qpci_config_readl(dev, PCI_ROM_ADDRESS), ==, 0);
    qpci_config_writel(dev, PCI_ROM_ADDRESS, PCI_ROM_ADDRESS_MASK);
    rom = qpci_config_readl(dev, PCI_ROM_ADDRESS);
    g_assert_cmphex(-rom, ==, 16 * KiB);
    stop(dev);
}

static void test_rom_bar(const void *data)
{
    QPCIDevice *dev = start_at(data);
    g_autofree uint8_t *image = vmi_read_rom_bar(dev);

    vmi_assert_rom(image, VMI_DEFAULT_VIRTUAL_TOP);
    stop(dev);
}

/*
 * Properties
 */

static void test_cycle_frequency(const void *data)
{
    const char *value = data;
    QTestState *qts = qtest_initf("-device vmi-pci,id=vmi,addr=05.0,"
                                  "cycle-frequency=%s", value);

    vmi_assert_uint(qts, "cycle-frequency", g_ascii_strtoull(value, NULL, 0));
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_quit(qts);
}

/* The frequency in force, not the property's own "not set". */
static void test_cycle_frequency_default(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);

    vmi_assert_uint(qts, "cycle-frequency", 1000000000);
    qtest_quit(qts);
}

static void test_virtual_top(const void *data)
{
    const char *value = data;
    QTestState *qts = qtest_initf("-device vmi-pci,id=vmi,addr=05.0,"
                                  "virtual-top=%s", value);

    vmi_assert_uint(qts, "virtual-top", g_ascii_strtoull(value, NULL, 0));
    vmi_assert_rom_bar(qts, g_ascii_strtoull(value, NULL, 0));
    qtest_quit(qts);
}

static const char *const switches[] = {
    "cpu", "irq", "mmu", "smp", "timer", "lazy",
};

static void test_switch_off(const void *data)
{
    const char *off = data;
    QTestState *qts = qtest_initf("-device vmi-pci,id=vmi,addr=05.0,%s=off",
                                  off);

    for (int i = 0; i < ARRAY_SIZE(switches); i++) {
        vmi_assert_bool(qts, switches[i], strcmp(switches[i], off));
    }
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qtest_quit(qts);
}

static void test_switches_on(void)
{
    QTestState *qts = qtest_init("-device vmi-pci,id=vmi,addr=05.0,cpu=on,"
                                 "irq=on,mmu=on,smp=on,timer=on,lazy=on");

    for (int i = 0; i < ARRAY_SIZE(switches); i++) {
        vmi_assert_bool(qts, switches[i], true);
    }
    qtest_quit(qts);
}

static void test_constant_once_realized(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);
    static const char *const property[] = {
        "cycle-frequency", "virtual-top", "rom-address",
    };

    for (int i = 0; i < ARRAY_SIZE(property); i++) {
        qobject_unref(qtest_qmp_assert_failure_ref(qts,
            "{ 'execute': 'qom-set', 'arguments': "
            "{ 'path': %s, 'property': %s, 'value': 4227858432 } }",
            VMI_QOM_PATH, property[i]));
    }
    qobject_unref(qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'qom-set', 'arguments': "
        "{ 'path': %s, 'property': 'active', 'value': true } }",
        VMI_QOM_PATH));
    qtest_quit(qts);
}

static void test_property_list(void)
{
    QTestState *qts = qtest_init("-machine none");
    g_autofree char *help = qtest_hmp(qts, "device_add vmi-pci,help");
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'device-list-properties', "
                           "'arguments': { 'typename': 'vmi-pci' } }");
    static const struct {
        const char *name;
        const char *type;
    } contract[] = {
        { "cycle-frequency", "uint64" }, { "virtual-top", "uint32" },
        { "cpu", "bool" }, { "irq", "bool" }, { "mmu", "bool" },
        { "smp", "bool" }, { "timer", "bool" }, { "lazy", "bool" },
        { "active", "bool" }, { "rom-address", "uint32" },
    };

    for (int i = 0; i < ARRAY_SIZE(contract); i++) {
        g_autofree char *line = g_strdup_printf("%s=<%s>", contract[i].name,
                                                contract[i].type);
        const QListEntry *entry;
        const char *type = NULL;

        QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
            QDict *property = qobject_to(QDict, qlist_entry_obj(entry));

            if (!strcmp(qdict_get_str(property, "name"), contract[i].name)) {
                type = qdict_get_str(property, "type");
            }
        }
        g_test_message("%s: %s", contract[i].name, type ?: "missing");
        g_assert_cmpstr(type, ==, contract[i].type);
        vmi_assert_contains(help, line);
    }
    qobject_unref(rsp);
    qtest_quit(qts);
}

static void test_not_active_before_guest(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);

    vmi_assert_bool(qts, "active", false);
    vmi_assert_uint(qts, "rom-address", 0);
    qtest_quit(qts);
}

/*
 * The running machine
 */

static void test_port_without_cpu(void)
{
    QTestState *qts = qtest_init(VMI_DEVICE);

    g_assert_cmphex(qtest_inb(qts, 0xe4), ==, 0xff);
    for (int i = 0; i < 256; i++) {
        qtest_outb(qts, 0xe4, i);
    }
    qtest_outw(qts, 0xe4, 0x8080);
    qtest_outl(qts, 0xe4, 0x80808080);
    g_assert_cmphex(qtest_inb(qts, 0xe4), ==, 0xff);
    vmi_assert_bool(qts, "active", false);
    vmi_assert_running(qts);
    qtest_quit(qts);
}

static void test_reset(void)
{
    QTestState *qts = qtest_init("-S -device vmi-pci,id=vmi,addr=05.0,"
                                 "virtual-top=0xf0000000");

    for (int i = 0; i < 3; i++) {
        /* Before it has run, running, stopped */
        if (i == 1) {
            qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
        } else if (i == 2) {
            qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
        }
        vmi_assert_rom_bar(qts, 0xf0000000);
        qtest_system_reset(qts);
        vmi_assert_rom_bar(qts, 0xf0000000);
        vmi_assert_bool(qts, "active", false);
        vmi_assert_uint(qts, "rom-address", 0);
    }
    qtest_quit(qts);
}

static void test_cpu_hotplug(void)
{
    QTestState *qts = qtest_init("-machine pc -smp 1,maxcpus=2 " VMI_DEVICE);
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-hotpluggable-cpus' }");
    QDict *slot = qobject_to(QDict,
                             qlist_peek(qdict_get_qlist(rsp, "return")));
    QDict *args = qdict_clone_shallow(qdict_get_qdict(slot, "props"));

    g_assert_false(qdict_haskey(slot, "qom-path"));
    qtest_qmp_device_add_qdict(qts, qdict_get_str(slot, "type"), args);
    vmi_assert_running(qts);
    qtest_system_reset(qts);
    vmi_assert_rom_bar(qts, VMI_DEFAULT_VIRTUAL_TOP);
    qobject_unref(args);
    qobject_unref(rsp);
    qtest_quit(qts);
}

/*
 * Slots that the guest can power off.  The device is not hotpluggable, so it
 * must stay, and so must a bridge in front of it.
 */

#define NATIVE_HOTPLUG "-machine q35 -global " \
                       "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
#define ROOT_PORT "-device pcie-root-port,id=front,chassis=1,slot=1,addr=06.0 "
#define ACPI_EJECT_PC 0xae08    /* a bit for each slot of the bus */
#define ACPI_BUS_PC 0xae10      /* which bus */
#define SHPC_COMMAND 0x14       /* and the slot's number in the next byte */
#define SHPC_OFF 0x0f           /* disable the slot, power indicator off */

static void pcie_power_off(QPCIDevice *slot)
{
    uint8_t cap = qpci_find_capability(slot, PCI_CAP_ID_EXP, 0);
    uint16_t control = qpci_config_readw(slot, cap + PCI_EXP_SLTCTL);

    g_assert_cmphex(cap, !=, 0);
    g_assert_cmphex(control & PCI_EXP_SLTCTL_PCC, ==, 0);
    qpci_config_writew(slot, cap + PCI_EXP_SLTCTL, control |
                       PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

static void shpc_power_off(QPCIDevice *bridge)
{
    QPCIBar bar = qpci_iomap(bridge, 0, NULL);

    qpci_device_enable(bridge);
    qpci_io_writew(bridge, bar, SHPC_COMMAND, SHPC_OFF | 3 << 8);
    qpci_iounmap(bridge, bar);
}

static void acpi_eject(QPCIDevice *bridge)
{
    for (int bus = 0; bus < 4; bus++) {
        qtest_outl(bridge->bus->qts, ACPI_BUS_PC, bus);
        qtest_outl(bridge->bus->qts, ACPI_EJECT_PC, UINT32_MAX);
    }
}

static const struct Slot {
    const char *name;
    const char *args;
    void (*power_off)(QPCIDevice *slot);
    const char *fixed;          /* device_del refuses it */
} slots[] = {
    { "pcie", NATIVE_HOTPLUG ROOT_PORT "-device vmi-pci,id=vmi,bus=front",
      pcie_power_off, "vmi" },
    { "pcie-6.0", "-machine pc-q35-6.0 " ROOT_PORT
      "-device vmi-pci,id=vmi,bus=front", pcie_power_off, "vmi" },
    { "pcie-acpi", "-machine q35 " ROOT_PORT "-device vmi-pci,id=vmi,bus=front",
      pcie_power_off, "vmi" },
    { "pcie-bridge", NATIVE_HOTPLUG ROOT_PORT
      "-device pcie-pci-bridge,id=bridge,bus=front "
      "-device vmi-pci,id=vmi,bus=bridge,addr=03.0", pcie_power_off, "bridge" },
    { "pcie-switch", NATIVE_HOTPLUG ROOT_PORT
      "-device x3130-upstream,id=up,bus=front "
      "-device xio3130-downstream,id=down,bus=up,chassis=2,slot=2 "
      "-device pcie-pci-bridge,id=bridge,bus=down "
      "-device vmi-pci,id=vmi,bus=bridge,addr=03.0", pcie_power_off, "up" },
    { "pcie-function", NATIVE_HOTPLUG ROOT_PORT
      "-device e1000,id=nic,bus=front,addr=0.0,multifunction=on "
      "-device vmi-pci,id=vmi,bus=front,addr=0.1", pcie_power_off, "nic" },
    { "shpc", "-machine pc -device pci-bridge,id=front,chassis_nr=1,shpc=on,"
      "addr=06.0 -device vmi-pci,id=vmi,bus=front,addr=03.0", shpc_power_off,
      "vmi" },
    { "shpc-bridge", "-machine pc -global "
      "PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off "
      "-device pci-bridge,id=front,chassis_nr=1,shpc=on,addr=06.0 "
      "-device pci-bridge,id=bridge,chassis_nr=2,bus=front,addr=03.0 "
      "-device vmi-pci,id=vmi,bus=bridge,addr=03.0", shpc_power_off, "bridge" },
    { "acpi", "-machine pc -device e1000,id=front,addr=06.0 " VMI_DEVICE,
      acpi_eject, "vmi" },
    { "acpi-bridge", "-machine pc "
      "-device pci-bridge,id=front,chassis_nr=1,addr=06.0 "
      "-device vmi-pci,id=vmi,bus=front,addr=03.0", acpi_eject, "vmi" },
};

static void assert_vmi_present(QTestState *qts)
{
    QDict *vmi = qtest_qmp_assert_success_ref(qts,
                     "{ 'execute': 'query-vmi' }");

    g_assert_true(qdict_get_bool(vmi, "present"));
    qobject_unref(vmi);
    qobject_unref(qtest_qmp_assert_success_ref(qts, "{ 'execute': "
                      "'query-stats', 'arguments': { 'target': 'vm' } }"));
    qobject_unref(qtest_qmp_assert_success_ref(qts, "{ 'execute': "
                      "'query-stats', 'arguments': { 'target': 'vcpu' } }"));
}

/* The destination gets what the guest did to the slot, and keeps the device. */
static void assert_migrates(QTestState *source, const char *args)
{
    g_autofree char *path = NULL;
    QTestState *qts;

    g_assert_cmpint(close(g_file_open_tmp("vmi-pci-test-XXXXXX", &path, NULL)),
                    ==, 0);
    g_assert_true(vmi_save(source, path));

    qts = qtest_initf("%s -incoming defer", args);
    g_assert_true(vmi_load(qts, path));
    assert_vmi_present(qts);
    qtest_system_reset(qts);
    assert_vmi_present(qts);
    qtest_quit(qts);
    unlink(path);
}

static void test_slot(const void *data)
{
    const struct Slot *slot = data;
    QTestState *qts = qtest_init(slot->args);
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    QPCIDevice *dev = qpci_device_find(bus, QPCI_DEVFN(6, 0));

    g_assert_nonnull(dev);
    for (int i = 0; i < 2; i++) {
        slot->power_off(dev);
        assert_vmi_present(qts);
        qobject_unref(qtest_qmp_assert_failure_ref(qts,
            "{ 'execute': 'device_del', 'arguments': { 'id': %s } }",
            slot->fixed));
        assert_vmi_present(qts);
        qtest_system_reset(qts);
        assert_vmi_present(qts);
        if (slot->power_off == acpi_eject) {
            break;
        }
    }
    slot->power_off(dev);
    assert_migrates(qts, slot->args);
    g_free(dev);
    qpci_free_pc(bus);
    qtest_quit(qts);
}

/* What is hotpluggable goes as before. */
static void test_slot_of_another(void)
{
    QTestState *qts = qtest_init(NATIVE_HOTPLUG ROOT_PORT VMI_DEVICE
                                 " -device e1000,id=nic,bus=front");
    QPCIBus *bus = qpci_new_pc(qts, NULL);
    QPCIDevice *dev = qpci_device_find(bus, QPCI_DEVFN(6, 0));

    g_assert_nonnull(dev);
    pcie_power_off(dev);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    assert_vmi_present(qts);
    g_free(dev);
    qpci_free_pc(bus);
    qtest_quit(qts);
}

/* Only the monitor can do this. */
static void test_unrealized(void)
{
    QTestState *qts = qtest_init("-machine pc " VMI_DEVICE);
    QDict *vmi;

    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': %s, 'property': 'realized', "
                             "'value': false } }", VMI_QOM_PATH);
    vmi = qtest_qmp_assert_success_ref(qts, "{ 'execute': 'query-vmi' }");
    g_assert_false(qdict_get_bool(vmi, "present"));
    qobject_unref(vmi);
    for (int i = 0; i < 2; i++) {
        qobject_unref(qtest_qmp_assert_success_ref(qts,
            "{ 'execute': 'query-stats', 'arguments': { 'target': %s } }",
            i ? "vm" : "vcpu"));
        qobject_unref(qtest_qmp_assert_success_ref(qts,
            "{ 'execute': 'query-stats-schemas' }"));
        qtest_outb(qts, VMI_PORT, 0);
        qtest_system_reset(qts);
        qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    }
    qobject_unref(qtest_qmp_assert_failure_ref(qts, "{ 'execute': 'qom-set', "
        "'arguments': { 'path': %s, 'property': 'realized', 'value': true } }",
        VMI_QOM_PATH));
    vmi_assert_running(qts);
    qtest_quit(qts);
}

static uint16_t pit_count(QTestState *qts)
{
    uint8_t low;

    qtest_outb(qts, 0x43, 0x00);
    low = qtest_inb(qts, 0x40);
    return qtest_inb(qts, 0x40) << 8 | low;
}

/*
 * Linux 2.6.22 with VMI silences the PIT by mode 5. If the counter reads high
 * then, its clock source starts the PIT again, with 250 interrupts a second.
 */
static void test_silent_pit(void)
{
    QTestState *qts = qtest_init("-machine pc " VMI_DEVICE);

    qtest_irq_intercept_in(qts, "ioapic");
    qtest_clock_step(qts, 1000);
    g_assert_cmpint(pit_count(qts), >, 0xf000);
    qtest_outb(qts, 0x43, 0x3a);
    qtest_clock_step(qts, NANOSECONDS_PER_SECOND);
    g_assert_cmpint(pit_count(qts), ==, 0);
    g_assert_false(qtest_get_irq(qts, 0));
    qtest_clock_step(qts, NANOSECONDS_PER_SECOND / 10);
    g_assert_cmpint(pit_count(qts), ==, 0);
    g_assert_false(qtest_get_irq(qts, 0));

    /* It goes on in another mode. */
    qtest_outb(qts, 0x43, 0x30);
    qtest_outb(qts, 0x40, 0xe8);
    qtest_outb(qts, 0x40, 0x03);
    g_assert_false(qtest_get_irq(qts, 0));
    qtest_clock_step(qts, NANOSECONDS_PER_SECOND / 1000);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

static void add(const char *prefix, const char *name, const void *data,
                void (*fn)(const void *))
{
    g_autofree char *path = g_strdup_printf("/vmi-pci/%s/%s", prefix, name);

    qtest_add_data_func(path, data, fn);
}

int main(int argc, char **argv)
{
    static const char *const frequencies[] = {
        "1000000", "2826365000", "1023999999999",
    };
    static const char *const tops[] = {
        "0xe0000000", "0xf7c00000", "0xfffff000",
    };

    g_test_init(&argc, &argv, NULL);

    for (int i = 0; i < ARRAY_SIZE(places); i++) {
        add("identity", places[i].name, &places[i], test_identity);
        add("no-resource-but-rom", places[i].name, &places[i],
            test_no_resource_but_rom);
        add("rom-bar-is-built-rom", places[i].name, &places[i], test_rom_bar);
    }

    for (int i = 0; i < ARRAY_SIZE(frequencies); i++) {
        add("cycle-frequency", frequencies[i], frequencies[i],
            test_cycle_frequency);
    }
    qtest_add_func("/vmi-pci/cycle-frequency/default",
                   test_cycle_frequency_default);
    for (int i = 0; i < ARRAY_SIZE(tops); i++) {
        add("virtual-top-in-header", tops[i], tops[i], test_virtual_top);
    }
    for (int i = 0; i < ARRAY_SIZE(switches); i++) {
        add("switch-off", switches[i], switches[i], test_switch_off);
    }
    qtest_add_func("/vmi-pci/switches-on", test_switches_on);
    qtest_add_func("/vmi-pci/constant-once-realized",
                   test_constant_once_realized);
    qtest_add_func("/vmi-pci/property-list", test_property_list);
    qtest_add_func("/vmi-pci/not-active-before-guest",
                   test_not_active_before_guest);

    qtest_add_func("/vmi-pci/port-without-cpu", test_port_without_cpu);
    qtest_add_func("/vmi-pci/reset", test_reset);
    qtest_add_func("/vmi-pci/cpu-hotplug", test_cpu_hotplug);

    for (int i = 0; i < ARRAY_SIZE(slots); i++) {
        add("slot-power-off", slots[i].name, &slots[i], test_slot);
    }
    qtest_add_func("/vmi-pci/slot-power-off/another-device",
                   test_slot_of_another);
    qtest_add_func("/vmi-pci/unrealized", test_unrealized);
    qtest_add_func("/vmi-pci/silent-pit", test_silent_pit);

    return g_test_run();
}
