/*
 * VMI: the option ROM's image
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/datadir.h"
#include "system/hw_accel.h"
#include "vmi-parts.h"

static uint8_t vmi_rom_sum(const uint8_t *image)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < VMI_ROM_SIZE; i++) {
        sum += image[i];
    }
    return sum;
}

bool vmi_rom_check(const char *romfile, Error **errp)
{
    g_autofree char *path = qemu_find_file(QEMU_FILE_TYPE_BIOS, romfile);
    g_autofree char *buf = NULL;
    g_autoptr(GError) err = NULL;
    const uint8_t *image;
    gsize size;

    if (!g_file_get_contents(path ?: romfile, &buf, &size, &err)) {
        error_setg(errp, "vmi-pci: cannot read romfile \"%s\": %s", romfile,
                   err->message);
        return false;
    }
    image = (const uint8_t *)buf;
    if (size != VMI_ROM_SIZE ||
        lduw_le_p(image + VMI_HDR_OPTROM_SIGNATURE) != VMI_OPTROM_SIGNATURE ||
        ldl_le_p(image + VMI_HDR_SIGNATURE) != VMI_SIGNATURE ||
        image[VMI_HDR_ROM_BLOCKS] * 512 != VMI_ROM_SIZE ||
        vmi_rom_sum(image)) {
        error_setg(errp, "vmi-pci: romfile \"%s\" is not a VMI ROM", romfile);
        error_append_hint(errp, "A VMI ROM is %d bytes with the signature "
                          "\"cVmi\" at offset %d and a byte sum of 0.\n",
                          VMI_ROM_SIZE, VMI_HDR_SIGNATURE);
        return false;
    }
    return true;
}

bool vmi_virtual_top_valid(uint32_t virtual_top)
{
    return QEMU_IS_ALIGNED(virtual_top, TARGET_PAGE_SIZE) &&
           virtual_top >= VMI_MIN_VIRTUAL_TOP;
}

void vmi_rom_write_header(VMIPCIState *vmi)
{
    uint8_t *image = memory_region_get_ram_ptr(&vmi->parent_obj.rom);

    stl_le_p(image + VMI_HDR_VIRTUAL_TOP, vmi->virtual_top);
    image[VMI_HDR_CHECKSUM] -= vmi_rom_sum(image);
    memory_region_set_dirty(&vmi->parent_obj.rom, 0, VMI_HDR_SIZE);
}

bool vmi_rom_address_valid(hwaddr address)
{
    return address >= VMI_ROM_SEARCH_START &&
           address <= VMI_ROM_SEARCH_END - VMI_ROM_SIZE &&
           QEMU_IS_ALIGNED(address, VMI_ROM_ALIGN);
}

bool vmi_rom_find(X86CPU *cpu, uint32_t linear, uint32_t *phys)
{
    CPUState *cs = CPU(cpu);
    uint8_t header[VMI_HDR_SIZE];
    hwaddr start = 0;

    /* Contiguous in the segment, page by page and at its end. */
    for (uint32_t offset = 0; offset < VMI_ROM_SIZE; ) {
        uint32_t addr = linear + offset;
        hwaddr page = cpu_get_phys_page_debug(cs, addr & TARGET_PAGE_MASK);
        hwaddr here = page + (addr & ~TARGET_PAGE_MASK);

        if (page == -1 || (offset && here != start + offset)) {
            return false;
        }
        if (!offset) {
            start = here;
        }
        offset += TARGET_PAGE_SIZE - (addr & ~TARGET_PAGE_MASK);
    }
    if (!vmi_rom_address_valid(start)) {
        return false;
    }

    cpu_physical_memory_read(start, header, sizeof(header));
    if (lduw_le_p(header + VMI_HDR_OPTROM_SIGNATURE) != VMI_OPTROM_SIGNATURE ||
        ldl_le_p(header + VMI_HDR_SIGNATURE) != VMI_SIGNATURE) {
        return false;
    }
    *phys = start;
    return true;
}
