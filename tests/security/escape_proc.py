#!/usr/bin/env python3
"""What can be written below /proc, /sys and /dev (item 7): every file there is tried, as root inside and as a user.

The list of those that open is agreed: files of the process itself, which change nothing but that process. All
that reaches the kernel as a whole is closed, by its name too, and the flags stay unread.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402

CLOSED = "EROFS|EACCES|ENOENT|EPERM|EISDIR"
# Of a process its own: what it is called, how it is killed and dumped, its memory, its security labels (where no
# module has a say writing gives EINVAL), its id maps (written once, by the host, before it ran; that of projects
# counts for quotas only, and the kernel takes project numbers from its first user namespace alone).
OWN = {"autogroup", "clear_refs", "comm", "coredump_filter", "gid_map", "loginuid", "mem", "oom_adj", "oom_score_adj", "projid_map",
       "sched", "setgroups", "timens_offsets", "timerslack_ns", "uid_map", "attr/current", "attr/exec", "attr/fscreate",
       "attr/keycreate", "attr/prev", "attr/sockcreate", "attr/smack/current", "attr/apparmor/current",
       "attr/apparmor/exec", "attr/apparmor/prev"}
WRITES = {"oom_score_adj": "-1000", "uid_map": "0 0 1", "gid_map": "0 0 1", "setgroups": "allow",
          "timens_offsets": "1 1 1"}

# A program that the kernel starts, its memory, devices, modules, hardware, other groups.
KNOBS = """/proc/sysrq-trigger /proc/sys/kernel/sysrq /proc/sys/kernel/core_pattern /proc/sys/kernel/core_pipe_limit
/proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sys/kernel/poweroff_cmd /proc/sys/kernel/usermodehelper/bset
/proc/sys/kernel/usermodehelper/inheritable /proc/sys/kernel/modules_disabled /proc/sys/kernel/randomize_va_space
/proc/sys/kernel/yama/ptrace_scope /proc/sys/kernel/ns_last_pid /proc/sys/kernel/hostname /proc/sys/kernel/domainname
/proc/sys/kernel/kptr_restrict /proc/sys/kernel/dmesg_restrict /proc/sys/kernel/unprivileged_bpf_disabled
/proc/sys/kernel/shmmax /proc/sys/kernel/sem /proc/sys/kernel/msgmax /proc/sys/kernel/keys/maxkeys
/proc/sys/user/max_user_namespaces /proc/sys/fs/binfmt_misc/register /proc/sys/fs/binfmt_misc/status
/proc/sys/fs/suid_dumpable /proc/sys/fs/protected_symlinks /proc/sys/fs/protected_hardlinks /proc/sys/fs/file-max
/proc/sys/fs/mqueue/queues_max /proc/sys/fs/inotify/max_user_watches /proc/sys/vm/drop_caches
/proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom /proc/sys/vm/mmap_min_addr /proc/sys/vm/unprivileged_userfaultfd
/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/route_localnet /proc/sys/net/ipv4/ip_unprivileged_port_start
/proc/sys/net/ipv6/conf/all/disable_ipv6 /proc/sys/net/core/bpf_jit_enable /proc/sys/net/netfilter/nf_conntrack_max
/proc/irq/default_smp_affinity /proc/bus/pci /proc/mtrr
/proc/pressure/memory /proc/fs/nfsd/threads /proc/acpi/wakeup /proc/scsi/scsi /proc/driver/rtc
/sys/kernel/uevent_helper /sys/kernel/debug/sched_features /sys/kernel/tracing/trace /sys/kernel/kexec_crash_size
/sys/kernel/vmcoreinfo /sys/kernel/security/lockdown /sys/kernel/mm/ksm/run /sys/kernel/mm/transparent_hugepage/enabled
/sys/power/state /sys/power/disk /sys/power/mem_sleep /sys/fs/bpf/x /sys/fs/fuse/connections/1/abort
/sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/release_agent /sys/fs/cgroup/devices/devices.allow
/sys/firmware/efi/efivars/x /sys/firmware/acpi/tables/DSDT /sys/module/kernel/parameters/panic
/sys/class/net/eth0/mtu /sys/class/net/lo/uevent /sys/bus/pci/rescan /sys/bus/pci/drivers_probe
/sys/devices/system/cpu/cpu1/online /sys/devices/system/memory/probe /sys/devices/virtual/powercap/uevent
/dev/mem /dev/kmem /dev/port /dev/kmsg /dev/kvm /dev/fuse /dev/net/tun /dev/loop-control /dev/loop0 /dev/sda /dev/vda
/dev/vhost-net /dev/vsock /dev/console /dev/uinput /dev/hwrng /dev/mapper/control /dev/snapshot""".split()


def walk(a, path):
    """The files below that open for writing, as (mode, name); how many there are."""
    lines = [line.split(" ", 2) for line in a.ask(f"walk {path}")]
    return [(int(line[1], 8), line[2]) for line in lines if line[0] == "open"], \
        int(next(line[1] for line in lines if line[0] == "seen"))


def everything(a, _):
    for path in ("/proc", "/sys", "/dev"):
        opened, seen = walk(a, path)
        a.tap.equal(opened, [], f"{a.what}: no file of {path} opens for writing")
        a.tap.ok(seen > 500 or path == "/dev", f"{a.what}: of all that are there", seen)
    for path in ("/proc/self", "/proc/thread-self", "/proc/self/task"):
        opened, seen = walk(a, path)
        names = {re.sub(r"^/proc/(?:thread-)?self/?|task/|^\d+/", "", re.sub(r"/\d+/", "/", name))
                 for mode, name in opened if mode & 0o222}  # others open for root, and take nothing
        a.tap.equal(names - OWN, set(), f"{a.what}: of {path} the agreed files open")
        a.tap.ok(seen > 20 and names, f"{a.what}: of all that are there", (seen, names))


def own_files(a, _):
    for name, text in WRITES.items():
        if name == "oom_score_adj" and not can_floor():
            continue
        a.refused(f"{text!r} into one's own {name}", f"open s:/proc/self/{name} 1",
                  f"write $0 {attack.quoted(text)} {len(text)}", "EPERM|EACCES|EBADF|EINVAL")


def by_name(a, _):
    for path in KNOBS:
        for flags in ("1", "0x201", "2"):
            a.refused(f"opening {path} with {flags}", f"open {attack.quoted(path)} {flags} 0", CLOSED)


def around(a, _):
    """Other ways to a file than opening it."""
    for path in ("/proc/sys/kernel/core_pattern", "/sys/power/state", "/sys/kernel/uevent_helper", "/proc/sysrq-trigger"):
        p = attack.quoted(path)
        for name, call in (("cutting", f"truncate {p} 0"), ("chmod of", f"chmod {p} 511"), ("chown of", f"chown {p} 0 0"),
                           ("removing", f"unlink {p}"), ("renaming", f"rename {p} s:/tmp/x"),
                           ("linking", f"link {p} s:/tmp/x"), ("an attribute of", f"setxattr {p} s:user.x s:y 1 0"),
                           ("times of", f"utimensat -100 {p} 0 0"), ("covering", f"mount s:/tmp {p} s:none 4096 0")):
            a.refused(f"{name} {path}", call, CLOSED + "|EXDEV|EOPNOTSUPP")
        a.refused(f"{path} by its folder", f"open {attack.quoted(os.path.dirname(path))} 0x10000",
                  f"openat $0 {attack.quoted(os.path.basename(path))} 1", CLOSED + "|EBADF")
        a.refused(f"{path} by a descriptor for reading", f"open {p} 0x200000", "open s:/proc/self/fd/$0 1", CLOSED)
    for where in ("/proc", "/proc/sys", "/sys", "/sys/fs/cgroup", "/proc/self"):
        a.refused(f"a new file in {where}", f"open s:{where}/x 0x41 0x1a4", CLOSED)
        a.refused(f"a new folder in {where}", f"mkdir s:{where}/x 0x1ff", CLOSED)
        a.refused(f"a node in {where}", f"mknod s:{where}/x 0x21b6 0x103", CLOSED)


def covered(a, _):
    """CVE-2025-31133 and -52565 were ways to have these uncovered: they are, and with our own nodes."""
    for path in ("/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/slabinfo",
                 "/proc/kpagecount", "/proc/vmallocinfo", "/proc/kmsg"):
        got = a.ask(f"cat {path}")
        a.tap.ok(got in ([], ["cat ENOENT"], ["cat EACCES"]), f"{a.what}: {path} shows nothing", got)
    for path in ("/sys/firmware", "/sys/kernel/debug", "/sys/kernel/security", "/sys/fs/bpf", "/proc/scsi", "/proc/acpi"):
        names = {line.partition(" ")[2] for line in a.ask(f"names {path}")}
        a.tap.ok(names <= {".", "..", "ENOENT", "EACCES"}, f"{a.what}: {path} is empty", names)


def can_floor():
    """The floor under oom_score_adj needs CAP_SYS_RESOURCE, which some hosts withhold."""
    with open("/proc/self/status", encoding="ascii") as f:
        eff = int(re.search(r"CapEff:\s*(\w+)", f.read()).group(1), 16)
    return bool(eff >> 24 & 1)


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    flags = attack.Flags(h)
    try:
        c = h.client()
        inst = c.start()
        for name, steps in (("every file", everything), ("own files", own_files), ("by name", by_name),
                            ("around", around), ("covered", covered)):
            for uid in (0, 1000):
                a = attack.Attack(tap, h, inst, uid, flags, name)
                steps(a, h)
                a.end()
        c.stop(inst.id)
    finally:
        flags.close()
        h.close()
    tap.end()


main()
