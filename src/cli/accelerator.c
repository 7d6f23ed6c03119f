/*
 * The guest is one page with one instruction, HLT, in real mode. It runs in a child with a deadline:
 * where KVM does not truly work it may never come back.
 */
#include "cli/accelerator.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

enum { PAGE_BYTES = 4096, GUEST_AT = 0x1000, PROBE_MS = 2000 };

static const char device[] = "/dev/kvm";

/* "vmx" or "svm" among the words of the first line of flags. */
static bool processor_can(void)
{
    _cleanup_buf_ struct buf text = BUF_INIT(65536); /* the first processors are enough */
    struct slice rest, line, word;
    int r = fs_read_file(AT_FDCWD, "/proc/cpuinfo", &text, NULL);
    if (r < 0 && r != -ENOBUFS)
        return false;
    rest = buf_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        if (!slice_has_prefix(line, "flags"))
            continue;
        while (slice_next(&line, ' ', &word))
            if (slice_eq_str(word, "vmx") || slice_eq_str(word, "svm"))
                return true;
        return false;
    }
    return false;
}

static int map_guest(int vm)
{
    unsigned char *page =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    page[0] = 0xf4; /* hlt */
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = GUEST_AT, .memory_size = PAGE_BYTES, .userspace_addr = (uintptr_t)page};
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int set_start(int cpu)
{
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = GUEST_AT, .rflags = 2};
    if (ioctl(cpu, KVM_GET_SREGS, &s) < 0)
        return -errno;
    s.cs.base = 0;
    s.cs.selector = 0;
    return ioctl(cpu, KVM_SET_SREGS, &s) < 0 || ioctl(cpu, KVM_SET_REGS, &r) < 0 ? -errno : 0;
}

/* In the child; its end closes everything. */
static int run_guest(int kvm)
{
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (size <= 0 || vm < 0 || map_guest(vm) < 0)
        return -errno;
    int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (cpu < 0 || set_start(cpu) < 0)
        return -errno;
    const struct kvm_run *run =
        mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run == MAP_FAILED || ioctl(cpu, KVM_RUN, 0) < 0)
        return -errno;
    return run->exit_reason == KVM_EXIT_HLT ? 0 : -EIO;
}

static bool guest_runs(int kvm)
{
    int status = 1;
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0)
        _exit(run_guest(kvm) == 0 ? 0 : 1);
    _cleanup_close_ int fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&p, 1, PROBE_MS) <= 0)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void say(struct accelerator *ret, bool kvm, const char *reason)
{
    ret->kvm = kvm;
    (void)snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
}

void accelerator_probe(struct accelerator *ret)
{
    _cleanup_close_ int kvm = open(device, O_RDWR | O_CLOEXEC);
    if (kvm < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        say(ret, false, "there is no /dev/kvm");
    else if (kvm < 0)
        say(ret, false, "/dev/kvm cannot be opened");
    else if (!processor_can())
        say(ret, false, "the processor shows neither vmx nor svm, so /dev/kvm is paravirtual");
    else if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        say(ret, false, "/dev/kvm speaks another version");
    else if (!guest_runs(kvm))
        say(ret, false, "/dev/kvm is there, but a guest of one instruction does not run");
    else
        say(ret, true, "/dev/kvm runs a guest");
}
