/*
 * Whether KVM can run a 32-bit guest here, told in one line.
 *
 * A KVM that has no hardware to work with may open and create a machine all
 * the same, and then end each guest that turns 32-bit paging on.  So a guest
 * of a few instructions does just that, and reads through its page table.
 *
 * Exit status: 0 it can, 1 it cannot.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#define MEMORY_SIZE     0x800000
#define DIRECTORY       0x1000
#define CODE            0x2000
#define MAGIC_ADDRESS   0x401000    /* read at 3 GiB + 1000h */
#define MAGIC           0x5a
#define PORT            0xe9
#define SECONDS         10

/* Flat segments, as in a descriptor's bits 40 to 43 */
#define TYPE_CODE       11
#define TYPE_DATA       3

static const uint8_t code[] = {
    0x0f, 0x20, 0xc0,                       /* mov %cr0, %eax */
    0x0d, 0x00, 0x00, 0x00, 0x80,           /* or $0x80000000, %eax */
    0x0f, 0x22, 0xc0,                       /* mov %eax, %cr0 */
    0xa0, 0x00, 0x10, 0x00, 0xc0,           /* mov 0xc0001000, %al */
    0xe6, PORT,                             /* out %al, $PORT */
    0xf4,                                   /* hlt */
};

static int answer(bool able, const char *what)
{
    printf("KVM %s here: %s\n", able ? "runs 32-bit guests" :
                                       "cannot run 32-bit guests", what);
    return able ? 0 : 1;
}

static struct kvm_segment flat(uint8_t type, uint16_t selector)
{
    return (struct kvm_segment) {
        .limit = 0xffffffff, .selector = selector, .type = type, .present = 1,
        .db = 1, .s = 1, .g = 1,
    };
}

static void write_memory(uint8_t *memory)
{
    /* 4 MiB pages, writable and present: 0 to 0, 3 GiB to 4 MiB */
    uint32_t here = 0x83, there = 0x400083;

    memcpy(memory + DIRECTORY, &here, sizeof(here));
    memcpy(memory + DIRECTORY + 4 * (0xc0000000u >> 22), &there,
           sizeof(there));
    memcpy(memory + CODE, code, sizeof(code));
    memory[MAGIC_ADDRESS] = MAGIC;
}

static bool set_state(int vcpu)
{
    struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
    struct kvm_sregs sregs;

    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) {
        return false;
    }
    sregs.cs = flat(TYPE_CODE, 0x08);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss =
        flat(TYPE_DATA, 0x10);
    sregs.cr0 = 0x11;                       /* PE, ET */
    sregs.cr3 = DIRECTORY;
    sregs.cr4 = 0x10;                       /* PSE */
    return ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0 &&
           ioctl(vcpu, KVM_SET_REGS, &regs) == 0;
}

static void on_alarm(int signal)
{
}

static int run(int vcpu, struct kvm_run *state)
{
    struct sigaction action = { .sa_handler = on_alarm };
    static char text[80];

    sigaction(SIGALRM, &action, NULL);
    alarm(SECONDS);
    if (ioctl(vcpu, KVM_RUN, 0) < 0) {
        return answer(false, errno == EINTR ? "a test guest hangs" :
                                              strerror(errno));
    }
    if (state->exit_reason == KVM_EXIT_IO && state->io.port == PORT &&
        ((uint8_t *)state)[state->io.data_offset] == MAGIC) {
        return answer(true, "a test guest used 32-bit paging");
    }
    if (state->exit_reason == KVM_EXIT_SHUTDOWN) {
        return answer(false, "a test guest ends when it turns 32-bit paging "
                             "on, so this machine has no VMX or SVM to offer");
    }
    snprintf(text, sizeof(text), "a test guest ends with KVM's exit reason %u",
             state->exit_reason);
    return answer(false, text);
}

int main(void)
{
    struct kvm_userspace_memory_region region = {
        .memory_size = MEMORY_SIZE,
    };
    uint64_t identity_map = 0xfeffc000;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm, vcpu, size;
    struct kvm_run *state;
    void *memory;

    if (kvm < 0) {
        return answer(false, errno == ENOENT ? "there is no /dev/kvm" :
                      errno == EACCES ? "no access to /dev/kvm" :
                                        strerror(errno));
    }
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm < 0 || size < 0 || memory == MAP_FAILED) {
        return answer(false, strerror(errno));
    }
    write_memory(memory);
    region.userspace_addr = (uintptr_t)memory;
    /* For Intel's processors, which without paging need a page or two */
    ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    ioctl(vm, KVM_SET_TSS_ADDR, identity_map + 0x1000);
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
        return answer(false, strerror(errno));
    }
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    state = vcpu < 0 ? MAP_FAILED :
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (state == MAP_FAILED || !set_state(vcpu)) {
        return answer(false, strerror(errno));
    }
    return run(vcpu, state);
}
