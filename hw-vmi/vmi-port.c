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
#include "vmi-kvm.h"
#include "vmi-parts.h"

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

/* BQL held.  The number is in EDI, see vmi-abi.h. */
static void vmi_port_write(void *opaque, hwaddr addr, uint64_t val,
                           unsigned size)
{
    VMIPCIState *vmi = opaque;
    CPUX86State *env;
    VMIVCPU *vcpu;
    uint32_t nr;

    if (!current_cpu) {
        vmi_guest_error(vmi, "port written by none of the guest's CPUs");
        return;
    }
    if (kvm_enabled() && vmi_kvm_port_call(vmi, current_cpu)) {
        return;
    }
    cpu_synchronize_state(current_cpu);
    vcpu = &vmi->vcpu[current_cpu->cpu_index];
    env = cpu_env(current_cpu);
    if (!vmi_port_allowed(env)) {
        vmi_refuse(vcpu, 0, "not a 32-bit kernel",
                   "port written outside of 32-bit code at CPL 0");
        return;
    }

    nr = env->regs[R_EDI];
    if (nr == VMI_HOST_INIT) {
        env->regs[R_EAX] = vmi_handshake(vmi, X86_CPU(current_cpu),
                                         env->regs[R_EAX],
                                         env->regs[R_EDX]) ? 0 : UINT32_MAX;
    } else if (nr == VMI_HOST_RELOCATE) {
        vmi_relocate(vmi, env);
    } else if (nr == VMI_HOST_IRET && vmi->active && kvm_enabled() &&
               vmi_kvm_iret(X86_CPU(current_cpu))) {
        return;
    } else if (!vmi->active || nr >= VMI_MAX_CALLS) {
        vmi_refuse(vcpu, nr, vmi->active ? "no such call" : "before VMI_Init",
                   "port written with number %" PRIu32, nr);
        /* Before VMI_Init, the write may be for what the guest has here. */
        if (vmi->active) {
            env->regs[R_EAX] = UINT32_MAX;
            env->regs[R_EDX] = UINT32_MAX;
        }
    } else {
        VMICall call = vmi_call_begin(vmi, X86_CPU(current_cpu), nr, 0);

        vmi_dispatch(&call);
        vmi_call_end(&call);
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
