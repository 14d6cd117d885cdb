/*
 * VMI: the I/O port, by which the ROM calls a host that VMCALL cannot reach
 *
 * The handshake takes this way under every accelerator, the calls that the
 * host serves under KVM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "hw/core/cpu.h"
#include "system/hw_accel.h"
#include "system/kvm.h"
#include "trace.h"
#include "vmi-internal.h"

static uint64_t vmi_port_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0xff;                /* as if nothing were there */
}

/* Only a 32-bit kernel may call: not its users, whatever its IOPL. */
static bool vmi_port_allowed(CPUX86State *env)
{
    return (env->hflags & (HF_PE_MASK | HF_CS32_MASK)) ==
           (HF_PE_MASK | HF_CS32_MASK) &&
           !(env->hflags & (HF_CPL_MASK | HF_LMA_MASK | HF_SMM_MASK |
                            HF_GUEST_MASK)) &&
           !(env->eflags & VM_MASK);
}

static void vmi_port_relocate(VMIPCIState *vmi, CPUX86State *env)
{
    static const struct {
        uint8_t type;
        uint16_t slots;
    } answer[] = {
        [VMI_SERVICE_NONE]   = { VMI_RELOCATION_NONE },
        [VMI_SERVICE_NATIVE] = { VMI_RELOCATION_CALL_REL,
                                 VMI_ROM_NATIVE_SLOTS },
        [VMI_SERVICE_HOST]   = { VMI_RELOCATION_CALL_REL },
        [VMI_SERVICE_NOP]    = { VMI_RELOCATION_NOP, VMI_ROM_NATIVE_SLOTS },
        [VMI_SERVICE_SHARED] = { VMI_RELOCATION_CALL_REL,
                                 VMI_ROM_NATIVE_SLOTS },
    };
    uint32_t nr = env->regs[R_EAX];
    VMIService service = VMI_SERVICE_NONE;
    uint32_t slots;

    if (!vmi->active) {
        vmi_guest_error(vmi, "GetRelocationInfo before VMI_Init");
    } else {
        service = vmi_service(vmi, nr);
    }
    slots = answer[service].slots;
    if (service == VMI_SERVICE_HOST) {
        slots = vmi->accel == VMI_ACCEL_TCG ? VMI_ROM_VMCALL_SLOTS :
                                              VMI_ROM_PORT_SLOTS;
    }
    if (nr < VMI_MAX_CALLS) {
        vmi->relocated[nr] = service;
        trace_vmi_relocation(nr, vmi_call_info(nr)->name ?: "unassigned",
                             answer[service].type);
    }
    env->regs[R_EAX] = service == VMI_SERVICE_NONE ? 0 :
                       slots + nr * VMI_ROM_SLOT_SIZE;
    env->regs[R_EDX] = answer[service].type;
}

/* BQL held.  The number is in EDI, see vmi-abi.h. */
static void vmi_port_write(void *opaque, hwaddr addr, uint64_t val,
                           unsigned size)
{
    VMIPCIState *vmi = opaque;
    CPUX86State *env;
    uint32_t nr;

    if (!current_cpu) {
        vmi_guest_error(vmi, "port written by none of the guest's CPUs");
        return;
    }
    if (kvm_enabled() && vmi_kvm_port_call(vmi, current_cpu)) {
        return;
    }
    cpu_synchronize_state(current_cpu);
    env = cpu_env(current_cpu);
    if (!vmi_port_allowed(env)) {
        trace_vmi_refused(current_cpu->cpu_index, 0, "not a 32-bit kernel");
        vmi_guest_error(vmi, "port written outside of 32-bit code at CPL 0");
        vmi_count(&vmi->vcpu[current_cpu->cpu_index].stats.refused);
        return;
    }

    nr = env->regs[R_EDI];
    if (nr == VMI_HOST_INIT) {
        env->regs[R_EAX] = vmi_init(vmi, X86_CPU(current_cpu),
                                    env->regs[R_EAX],
                                    env->regs[R_EDX]) ? 0 : UINT32_MAX;
    } else if (nr == VMI_HOST_RELOCATE) {
        vmi_port_relocate(vmi, env);
    } else if (!vmi->active || nr >= VMI_MAX_CALLS) {
        trace_vmi_refused(current_cpu->cpu_index, nr,
                          vmi->active ? "no such call" : "before VMI_Init");
        vmi_guest_error(vmi, "port written with number %" PRIu32, nr);
        vmi_count(&vmi->vcpu[current_cpu->cpu_index].stats.refused);
        /* Before VMI_Init, the write may be for what the guest has here. */
        if (vmi->active) {
            env->regs[R_EAX] = UINT32_MAX;
            env->regs[R_EDX] = UINT32_MAX;
        }
    } else {
        VMICall call = {
            .vmi = vmi,
            .vcpu = &vmi->vcpu[current_cpu->cpu_index],
            .cpu = X86_CPU(current_cpu),
            .nr = nr,
            .arg = { env->regs[R_EAX], env->regs[R_EDX], env->regs[R_ECX],
                     env->regs[R_EBX], env->regs[R_ESI] },
        };

        vmi_dispatch(&call);
        env->regs[R_EAX] = (uint32_t)call.result;
        env->regs[R_EDX] = call.result >> 32;
    }
}

static const MemoryRegionOps vmi_port_ops = {
    .read = vmi_port_read,
    .write = vmi_port_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .impl = {
        .min_access_size = 1,
        .max_access_size = 1,
    },
};

void vmi_port_init(VMIPCIState *vmi)
{
    memory_region_init_io(&vmi->port, OBJECT(vmi), &vmi_port_ops, vmi,
                          "vmi-port", 1);
    /*
     * A call that waits for another vCPU gives up the BQL meanwhile, and that
     * vCPU may make calls of its own.  The port is no memory, so nothing that
     * the device writes to gets here.
     */
    vmi->port.disable_reentrancy_guard = true;
    memory_region_add_subregion(get_system_io(), VMI_PORT, &vmi->port);
}
