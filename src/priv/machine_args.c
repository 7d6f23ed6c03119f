/*
 * QEMU's command line: the fewest devices, everything by descriptor, nothing by path but its own files.
 *
 * - Clones get the machine of the boot without its kernel: the loader's ROM stays, so that the memory
 *   map is the same, and 14 MB for each clone are saved.
 * - The disks are never flushed to the host's disk: a machine's layer does not outlive the host's crash,
 *   like a container's.
 * - Software emulation: `rep movsb` is emulated byte by byte, so the guest is not told that it is fast
 *   (a fifth of the time to the first answer). The time stamp counter is emulated and steady.
 * - migration.send-configuration=off: what xen-save-devices-state writes has no such section.
 */
#include "priv/machine.h"

#include "base/buf.h"

#include <inttypes.h>
#include <string.h>

const char machine_program[] = "/usr/bin/qemu-system-x86_64";

struct words {
    struct machine_args *to;
    size_t used;
    unsigned n;
    int error;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *w, const char *fmt, ...)
{
    va_list ap;
    size_t left = sizeof(w->to->text) - w->used;
    char *at = w->to->text + w->used;
    va_start(ap, fmt);
    int n = vsnprintf(at, left, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= left || w->n == MACHINE_ARGS_MAX) {
        w->error = -ENOBUFS;
        return;
    }
    w->to->argv[w->n++] = at;
    w->used += (size_t)n + 1;
}

static void add_all(struct words *w, const char *const *all)
{
    for (; *all != NULL; all++)
        add(w, "%s", *all);
}

static void add_machine(struct words *w, const struct machine_shape *shape, bool boot)
{
    static const char *const fixed[] = {
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-L",
        "/usr/share/qemu",
        "-no-reboot",
        "-rtc",
        "base=utc",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-global",
        "migration.send-configuration=off",
        NULL};
    uint64_t mib = shape->memory_bytes >> 20;
    add_all(w, fixed);
    add(w, "-machine");
    add(w, "pc,usb=off,vmport=off,hpet=off,dump-guest-core=off,mem-merge=off,suppress-vmdesc=on,"
           "memory-backend=ram");
    add(w, "-accel");
    add(w, "%s", shape->kvm ? "kvm" : "tcg,tb-size=32");
    add(w, "-cpu");
    add(w, "%s", shape->kvm ? "host" : "max,-erms,-fsrm");
    add(w, "-smp");
    add(w, "%u", shape->cpus);
    add(w, "-m");
    add(w, "%" PRIu64 "M", mib);
    add(w, "-object");
    add(w, "memory-backend-file,id=ram,size=%" PRIu64 "M,mem-path=/proc/self/fd/%d,share=%s", mib,
        MACHINE_FD_MEMORY, boot ? "on" : "off");
}

static void add_kernel(struct words *w, const struct machine_shape *shape)
{
    add(w, "-kernel");
    add(w, "/guest/kernel");
    add(w, "-initrd");
    add(w, "/guest/initrd");
    add(w, "-append");
    add(w, "console=ttyS0 quiet panic=-1 reboot=t random.trust_bootloader=on%s",
        shape->kvm ? "" : " tsc=reliable mitigations=off");
}

static void add_disk(struct words *w, int fd, const char *name, const char *how, int address)
{
    add(w, "-add-fd");
    add(w, "fd=%d,set=%d", fd, fd);
    add(w, "-blockdev");
    add(w, "driver=file,node-name=%s,filename=/dev/fdset/%d,locking=off,auto-read-only=off,%s",
        name, fd, how);
    add(w, "-device");
    add(w, "virtio-blk-pci,drive=%s,addr=%d", name, address);
}

static void add_devices(struct words *w)
{
    add_disk(w, MACHINE_FD_BASE, "base", "read-only=on", 4);
    add_disk(w, MACHINE_FD_LAYER, "layer", "cache.no-flush=on", 5);
    add(w, "-netdev");
    add(w, "tap,id=net,fd=%d,vhost=off", MACHINE_FD_TAP);
    add(w, "-device");
    add(w, "virtio-net-pci,netdev=net,mac=02:53:4c:00:00:02,romfile=,addr=6");
    add(w, "-fw_cfg");
    add(w, "name=opt/silica/launch,file=/proc/self/fd/%d", MACHINE_FD_LAUNCH);
    add(w, "-chardev"); /* the serial line is standard output: never waited for */
    add(w, "stdio,id=serial,signal=off");
    add(w, "-serial");
    add(w, "chardev:serial");
    add(w, "-chardev");
    add(w, "socket,id=qmp,fd=%d,server=on,wait=off", MACHINE_FD_QMP);
    add(w, "-mon");
    add(w, "chardev=qmp,mode=control");
}

int machine_args_make(const struct machine_shape *shape, const char *id, bool boot,
                      struct machine_args *ret)
{
    struct words w = {.to = ret};
    add(&w, "%s", machine_program);
    add(&w, "-name");
    add(&w, "%s", id);
    add_machine(&w, shape, boot);
    add_devices(&w);
    if (boot) {
        add_kernel(&w, shape);
        add(&w, "-add-fd");
        add(&w, "fd=%d,set=%d", MACHINE_FD_DEVICES, MACHINE_FD_DEVICES);
    } else {
        add(&w, "-option-rom");
        add(&w, "linuxboot_dma.bin");
        add(&w, "-incoming");
        add(&w, "defer");
        add(&w, "-S");
    }
    ret->argv[w.n] = NULL;
    return w.error;
}
