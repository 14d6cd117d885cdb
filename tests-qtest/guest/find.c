/*
 * The ROM is where guests look for it and as they expect it
 *
 * Arguments: top=N the virtual-top property; vga: a VGA BIOS is there, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "console.h"
#include "desc.h"
#include "vmi.h"

static uint8_t sum(uint32_t offset, uint32_t length)
{
    uint8_t total = 0;

    for (uint32_t i = 0; i < length; i++) {
        total += VMI_ROM_FIELD(uint8_t, offset + i);
    }
    return total;
}

static void test_place(void)
{
    uint32_t rom = (uint32_t)vmi_rom, found = 0, others = 0, overlaps = 0;

    for (uint32_t addr = VMI_ROM_SEARCH_START; addr < VMI_ROM_SEARCH_END;
         addr += VMI_ROM_ALIGN) {
        if (AT(uint16_t, addr) != VMI_OPTROM_SIGNATURE) {
            continue;
        }
        if (AT(uint32_t, addr + VMI_HDR_SIGNATURE) == VMI_SIGNATURE) {
            found++;
            continue;
        }
        others++;
        overlaps += addr < rom + VMI_ROM_SIZE &&
                    addr + AT(uint8_t, addr + VMI_HDR_ROM_BLOCKS) * 512 > rom;
    }
    report(found == 1, "the scan finds one VMI ROM", "%u", found);
    report(rom % VMI_ROM_ALIGN == 0, "the ROM is at a multiple of 2 KiB",
           "0x%05x", rom);
    report(rom >= VMI_ROM_SEARCH_START &&
           rom + VMI_ROM_SIZE <= VMI_ROM_SEARCH_END,
           "all of the ROM is in the segment that guests scan", "0x%05x", rom);
    report(!overlaps, "no other option ROM overlaps it",
           "%u others, %u overlap", others, overlaps);
    if (guest_has_arg("vga")) {
        report(AT(uint16_t, 0xc0000) == VMI_OPTROM_SIGNATURE &&
               rom != 0xc0000, "the VGA BIOS is at C0000h beside it",
               "0x%04x", AT(uint16_t, 0xc0000));
    }
    if (guest_has_arg("pxe")) {
        report(others >= 2, "a network boot ROM is beside it",
               "%u other ROMs", others);
    }
}

static void test_header(void)
{
    uint32_t top = guest_arg_number("top", VMI_DEFAULT_VIRTUAL_TOP);
    uint32_t reserved = VMI_ROM_FIELD(uint8_t, 15) |
                        VMI_ROM_FIELD(uint16_t, 20) |
                        VMI_ROM_FIELD(uint32_t, 28);
    uint8_t blocks = VMI_ROM_FIELD(uint8_t, VMI_HDR_ROM_BLOCKS);
    uint8_t minor = VMI_ROM_FIELD(uint8_t, VMI_HDR_API_MINOR);
    uint8_t major = VMI_ROM_FIELD(uint8_t, VMI_HDR_API_MAJOR);
    uint8_t slots = VMI_ROM_FIELD(uint8_t, VMI_HDR_JUMP_SLOTS);
    uint32_t top_seen = VMI_ROM_FIELD(uint32_t, VMI_HDR_VIRTUAL_TOP);

    for (unsigned i = 32; i < VMI_HDR_INIT; i++) {
        reserved |= VMI_ROM_FIELD(uint8_t, i);
    }
    report(VMI_ROM_FIELD(uint16_t, 0) == 0xaa55,
           "bytes 0 and 1 are the option ROM signature AA55h", "0x%04x",
           VMI_ROM_FIELD(uint16_t, 0));
    report(!memcmp(vmi_rom + 8, "cVmi", 4), "bytes 8 to 11 are \"cVmi\"",
           "0x%08x", VMI_ROM_FIELD(uint32_t, 8));
    report(blocks * 512 == VMI_ROM_SIZE, "the length byte says 16 KiB",
           "%u blocks", blocks);
    report(!sum(0, blocks * 512), "the byte sum of the image is 0", "0x%02x",
           sum(0, blocks * 512));
    report(major == 3 && minor == 0, "the API version is 3.0", "%u.%u", major,
           minor);
    report(slots == 128, "the header promises 128 call numbers", "%u", slots);
    report(top_seen == top, "virtual_top is the device's virtual-top property",
           "0x%08x, property 0x%08x", top_seen, top);
    report(!reserved, "reserved header fields are 0", "0x%x", reserved);
    report(VMI_ROM_FIELD(uint8_t, VMI_HDR_INIT) != 0,
           "there is code at the VMI_Init entry", "0x%02x",
           VMI_ROM_FIELD(uint8_t, VMI_HDR_INIT));
    report(VMI_ROM_FIELD(uint8_t, VMI_HDR_GET_RELOCATION) != 0,
           "there is code at the VMI_GetRelocationInfo entry", "0x%02x",
           VMI_ROM_FIELD(uint8_t, VMI_HDR_GET_RELOCATION));
}

static const char *string_at(uint16_t offset)
{
    return offset && offset < VMI_ROM_SIZE ? (const char *)vmi_rom + offset :
                                             "(none)";
}

static void test_pcir(void)
{
    uint16_t pcir = VMI_ROM_FIELD(uint16_t, VMI_HDR_PCIR_OFFSET);
    uint16_t vendor, device, length;
    uint8_t major, minor, code, last;

    if (!report(pcir && pcir % 4 == 0 && pcir < VMI_ROM_SIZE - 24,
                "the header points at a PCI data structure", "0x%04x", pcir)) {
        return;
    }
    vendor = VMI_ROM_FIELD(uint16_t, pcir + VMI_PCIR_VENDOR);
    device = VMI_ROM_FIELD(uint16_t, pcir + VMI_PCIR_DEVICE);
    length = VMI_ROM_FIELD(uint16_t, pcir + 0x10);
    minor = VMI_ROM_FIELD(uint8_t, pcir + VMI_PCIR_ROM_MINOR);
    major = VMI_ROM_FIELD(uint8_t, pcir + VMI_PCIR_ROM_MAJOR);
    code = VMI_ROM_FIELD(uint8_t, pcir + 0x14);
    last = VMI_ROM_FIELD(uint8_t, pcir + 0x15);
    report(!memcmp(vmi_rom + pcir, "PCIR", 4),
           "the PCI data structure begins with \"PCIR\"", "0x%08x",
           VMI_ROM_FIELD(uint32_t, pcir));
    report(vendor == 0x15ad && device == 0x0801,
           "it names VMware's VMI device 15AD:0801", "%04x:%04x", vendor,
           device);
    report(VMI_ROM_FIELD(uint32_t, pcir + 0x0c) >> 8 == 0x058000,
           "its class is 0580h, a memory controller", "0x%06x",
           VMI_ROM_FIELD(uint32_t, pcir + 0x0c) >> 8);
    report(length * 512 == VMI_ROM_SIZE, "its image length is the ROM's",
           "%u blocks", length);
    report(major == 1 && minor == 0, "the ROM version is 1.0", "%u.%u", major,
           minor);
    report(code == 0 && (last & 0x80), "it is the last image, for x86",
           "code type %u, indicator 0x%02x", code, last);
}

static void test_strings(void)
{
    uint16_t pnp = VMI_ROM_FIELD(uint16_t, VMI_HDR_PNP_OFFSET);
    const char *license, *manufacturer, *product;

    license = string_at(VMI_ROM_FIELD(uint16_t, VMI_HDR_LICENSE_OFFSET));
    report(!strcmp(license, "GPL v2"), "the licence is one that Linux takes",
           "\"%s\"", license);
    if (!report(pnp && pnp < VMI_ROM_SIZE - 32,
                "the header points at a PnP header", "0x%04x", pnp)) {
        return;
    }
    manufacturer = string_at(VMI_ROM_FIELD(uint16_t,
                                           pnp + VMI_PNP_MANUFACTURER));
    product = string_at(VMI_ROM_FIELD(uint16_t, pnp + VMI_PNP_PRODUCT));
    report(!memcmp(vmi_rom + pnp, "$PnP", 4),
           "the PnP header begins with \"$PnP\"", "0x%08x",
           VMI_ROM_FIELD(uint32_t, pnp));
    report(!sum(pnp, VMI_ROM_FIELD(uint8_t, pnp + 5) * 16),
           "the byte sum of the PnP header is 0", "0x%02x",
           sum(pnp, VMI_ROM_FIELD(uint8_t, pnp + 5) * 16));
    report(!strcmp(manufacturer, "VMware, Inc."),
           "the manufacturer is VMware, Inc.", "\"%s\"", manufacturer);
    report(!strcmp(product, "Hypervisor OPROM"),
           "the product is Hypervisor OPROM", "\"%s\"", product);
}

static void test_write_protected(void)
{
    static const uint32_t offsets[] = {
        VMI_HDR_OPTROM_SIGNATURE, VMI_HDR_INIT, VMI_ROM_NATIVE_SLOTS,
        VMI_ROM_VMCALL_SLOTS, VMI_ROM_SIZE - 4,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
        uint32_t before = VMI_ROM_FIELD(uint32_t, offsets[i]), after;

        VMI_ROM_FIELD(uint32_t, offsets[i]) = ~before;
        after = VMI_ROM_FIELD(uint32_t, offsets[i]);
        VMI_ROM_FIELD(uint32_t, offsets[i]) = before;
        report(after == before,
               text("a store to offset 0x%04x does not change the ROM",
                    offsets[i]), "0x%08x was 0x%08x", after, before);
    }
}

void guest_main(void)
{
    bool found = vmi_find();

    if (guest_has_arg("absent")) {
        report(!found, "without the device there is no VMI ROM", "%s",
               found ? "found one" : "none");
        report_end();
    }
    if (!report(found, "the scan finds a VMI ROM of API 3", "at 0x%05x",
                (uint32_t)vmi_rom)) {
        report_end();
    }
    test_place();
    test_header();
    test_pcir();
    test_strings();
    if (guest_has_arg("kvm")) {
        report_skip("a store does not change the ROM",
                    "KVM makes it an exit, and QEMU carries it out");
    } else {
        test_write_protected();
    }
    report_end();
}
