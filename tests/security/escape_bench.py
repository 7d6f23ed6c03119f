#!/usr/bin/env python3
"""The run-time and kernel levels of SandboxEscapeBench (item 2): what each needs is tried, by root inside and by a user.

A level there gives a container one weakness too many and hides a flag on the host. Here no sandbox has the
weakness, so every step towards the flag is refused, and the flag stays unread. The four levels of
orchestration (role bindings, kubectl cp, CRI-O's kernel parameters, route_localnet of a proxy) need a
Kubernetes node; what is left of the last is in network.py.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402

SOCKETS = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock",
           "/run/podman/podman.sock", "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/silica/priv.sock"]
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
IOVEC = "h:0010000000000000" "0800000000000000"
EXT4_ROOT_HANDLE = "h:08000000" "01000000" "02000000" "00000000"
# A request for a table named "x": head of netlink (ask, answer, create), head of nfnetlink, one attribute.
NF_NEW_TABLE = struct.pack("=IHHII", 28, 0x0a00, 0x405, 1, 0) + struct.pack(">BBH", 2, 0, 0) + \
    struct.pack("=HH", 6, 1) + b"x\0\0\0"


def run_socket(a, h, host):
    """Level: the engine's socket in the container."""
    for path in [*SOCKETS, h.socket, host["socket"]]:
        name, size = attack.address_of(path)
        a.refused(f"connecting to {os.path.basename(path)}", "socket 1 1 0", f"connect $0 {name} {size}",
                  "ENOENT|EACCES")
    name, size = attack.address_of(host["abstract"])
    a.refused("connecting to the host's abstract socket", "socket 1 1 0", f"connect $0 {name} {size}", "ECONNREFUSED")
    names = [line.split()[-1] for line in a.text("/proc/net/unix").splitlines()[1:]]
    a.tap.ok(not [n for n in names if n.startswith(("/", "@"))], f"{a.what}: no socket of anybody is named", names)


def run_privileged(a, h, host):
    """Level: --privileged. The host's disk and its kernel."""
    major, minor = attack.host_disk()
    node = attack.device_number(major, minor)
    a.refused("a node of the host's disk", f"mknod s:/tmp/disk 0x61b6 {node}", "EPERM")
    a.refused("a node of the kernel's memory", f"mknod s:/tmp/mem 0x21b6 {attack.device_number(1, 1)}", "EPERM")
    a.refused("mounting the host's disk", "mkdir s:/tmp/m 0x1ff", "mount s:/tmp/disk s:/tmp/m s:ext4 0 0", "EPERM")
    a.refused("mounting it by the new calls", "fsopen s:ext4 0", "EPERM")
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
                 "/proc/sys/kernel/modprobe"):
        a.refused(f"opening {path}", f"open {attack.quoted(path)} 1", "EROFS|EACCES|ENOENT|EPERM")
    for call in ("iopl 3", "ioperm 0 1 1", "kexec_load 0 0 0 0", "swapon s:/tmp/x 0", "reboot 0 0 0 0", "acct s:/tmp/x",
                 "settimeofday 0 0", "syslog 3 b:64 64", "sethostname s:x 1", "quotactl 0 0 0 0"):
        a.refused(call.split()[0], call, "EPERM")


def run_writable_mount(a, h, host):
    """Level: a path of the host mounted for writing."""
    known = {"overlay", "tmpfs", "proc", "sysfs", "devpts"}
    lines = a.text("/proc/self/mountinfo").splitlines()
    kinds = {line.split(" - ")[1].split()[0] for line in lines}
    a.tap.equal(kinds - known, set(), f"{a.what}: no file system of the host is mounted")
    sources = {line.split(" - ")[1].split()[1] for line in lines}
    a.tap.equal({s for s in sources if s.startswith("/")}, set(), f"{a.what}: none has a device as its source")
    for path in (host["folder"], h.data, os.path.join(h.data, "sandboxes"), "/var/lib/silica"):
        a.refused(f"entering the host's {os.path.basename(path)}", f"open {attack.quoted(path)} 0x10000", "ENOENT|EACCES")


def run_sys_admin(a, h, host):
    """Level: CAP_SYS_ADMIN. Mounts of any kind, by old calls and new; namespaces."""
    a.do("mkdir s:/tmp/m 0x1ff")
    for kind in ("proc", "sysfs", "tmpfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "overlay",
                 "devpts", "ext4", "fuse", "binfmt_misc", "mqueue", "nfs"):
        a.refused(f"mounting {kind}", f"mount s:none s:/tmp/m s:{kind} 0 0", "EPERM")
        a.refused(f"fsopen of {kind}", f"fsopen s:{kind} 0", "EPERM")
    a.refused("a bind mount", "mount s:/proc/1/root s:/tmp/m s:none 4096 0", "EPERM")
    a.refused("remounting /sys for writing", "mount s:none s:/sys s:none 32 0", "EPERM")
    a.refused("remounting /proc/sys for writing", "mount s:none s:/proc/sys s:none 4128 0", "EPERM")
    a.refused("uncovering /proc/kcore", "umount2 s:/proc/kcore 2", "EPERM")
    a.refused("copying a mount", "open_tree -100 s:/ 1", "EPERM")
    a.refused("moving one", "move_mount -100 s:/proc -100 s:/tmp/m 0", "EPERM")
    a.refused("changing one", "mount_setattr -100 s:/sys 0 b:32 32", "EPERM")
    a.refused("a root of its own by pivot_root", "pivot_root s:/ s:/tmp", "EPERM")
    for name, flag in attack.CLONE_NEW.items():
        a.refused(f"a new {name} namespace", f"unshare {flag}", "EPERM")
        if name != "time":  # of clone() that bit is part of the signal's number
            a.refused(f"a process in a new {name} namespace", f"clone {flag | attack.SIGCHLD} 0 0 0 0", "EPERM")
    a.refused("the same by clone3", "clone3 b:88 88", "ENOSYS")
    for name in ("mnt", "pid", "net", "user", "ipc", "uts", "cgroup"):
        a.refused(f"joining a {name} namespace", f"open s:/proc/1/ns/{name} 0", "setns $0 0", "EPERM")


def run_sys_module(a, h, host):
    """Level: CAP_SYS_MODULE. Loading code into the kernel, oneself or by making the kernel do it."""
    a.refused("init_module", "init_module b:64 64 s:", "EPERM")
    a.refused("finit_module of memory", "memfd_create s:m 0", "write $0 b:64 64", "finit_module $0 s: 0", "EPERM")
    a.refused("delete_module", "delete_module s:ext4 0", "EPERM")
    for family in (*range(3, 10), *range(11, 16), *range(17, 46)):
        a.refused(f"a socket of family {family}", f"socket {family} 1 0", "EAFNOSUPPORT")
        a.refused(f"a pair of family {family}", f"socketpair {family} 1 0 b:8", "EAFNOSUPPORT")
    for protocol in (33, 115, 132, 136, 256):
        a.refused(f"IP protocol {protocol}", f"socket 2 1 {protocol}", "EPROTONOSUPPORT")


def run_dac_read_search(a, h, host):
    """Level: CAP_DAC_READ_SEARCH ("shocker"): opening the host's inodes by number."""
    a.do("mkdir s:/tmp/h 0x1ff")
    handle = "name_to_handle_at -100 s:/etc/template h:80000000" + "00" * 132 + " b:8 0"
    for where in ("/", "/etc", "/proc", "/sys", "/dev", "/dev/shm"):
        a.refused(f"the host's root by its number from {where}", f"open s:{where} 0x10000",
                  f"open_by_handle_at $0 {EXT4_ROOT_HANDLE} 0", "EPERM")
    a.refused("a file by its own handle", handle, "open s:/ 0x10000", "open_by_handle_at $1 @0.2 0", "EPERM")


def run_overwrite(a, h, host):
    """Level: CVE-2019-5736. The program that the host put in, through what /proc shows of it."""
    for path in ("/proc/self/exe", "/proc/1/exe"):
        a.refused(f"writing {path}", f"open s:{path} 1", "ETXTBSY|EACCES|EPERM")
        a.refused(f"truncating {path}", f"open s:{path} 0x201", "ETXTBSY|EACCES|EPERM")
        a.refused(f"writing {path} by a descriptor of its path", f"open s:{path} 0x200000",
                  "open s:/proc/self/fd/$0 1", "ETXTBSY|EACCES|EPERM|ENOENT")
        a.refused(f"changing the mode of {path}", f"chmod s:{path} 511", "EPERM|EACCES")
        a.refused(f"truncate of {path}", f"truncate s:{path} 0", "ETXTBSY|EACCES|EPERM")
    seals = a.do("open s:/proc/self/exe 0", "fcntl $0 1034")[-1]
    a.tap.equal(seals, 0xf, f"{a.what}: the program is a copy sealed against writing, growing, shrinking, unsealing")


def run_working_folder(a, h, host):
    """Level: CVE-2024-21626. A descriptor or working folder that was left open on the host's side."""
    for who in ("self", "1"):
        answer = a.ask(f"links /proc/{who}/fd")
        numbers = [line.split()[1] for line in answer if line.split()[1].isdigit()]
        for n in numbers:
            for path in a.flags.paths:
                a.seen.append(a.reads(f"/proc/{who}/fd/{n}/../../../../../..{path}"))
            a.refused(f"entering descriptor {n} of {who}", f"chdir s:/proc/{who}/fd/{n}",
                      "ENOTDIR|EACCES|ENOENT|EPERM")
    a.do("chdir s:/")
    got = a.do("getcwd b:256 256", "show 0.0 2", "chdir s:/proc/1/cwd", "getcwd b:256 256", "show 3.0 2",
               "chdir s:../../../../../../../..", "getcwd b:256 256", "show 6.0 2")
    a.tap.ok(got[1] == "/\0" and got[4] in ("/\0", "\0\0"), f"{a.what}: the working folder is inside", got)
    a.refused("leaving by chroot and ..", "mkdir s:/tmp/jail 0x1ff", "open s:/ 0x10000", "chroot s:/tmp/jail",
              "fchdir $1", "chdir s:../../../../..", "chroot s:.", f"open {attack.quoted(a.flags.paths[1])} 0", "ENOENT")


def kernel_pids(a, h, host):
    """Level: the host's process numbers."""
    for pid in host["pids"]:
        for name, call in (("seeing", f"kill {pid} 0"), ("tracing", f"ptrace {PTRACE_ATTACH} {pid} 0 0"),
                           ("seizing", f"ptrace {PTRACE_SEIZE} {pid} 0 0"), ("holding", f"pidfd_open {pid} 0"),
                           ("limiting", f"prlimit64 {pid} 7 0 b:16"), ("scheduling", f"sched_setaffinity {pid} 8 b:8"),
                           ("reading", f"process_vm_readv {pid} {IOVEC} 1 {IOVEC} 1 0")):
            a.refused(f"{name} a process of the host", call, "ESRCH")
        a.refused("its root", f"open s:/proc/{pid}/root 0x10000", "ENOENT")
        a.refused("its memory", f"open s:/proc/{pid}/mem 2", "ENOENT")


def kernel_release_agent(a, h, host):
    """Level: CVE-2022-0492. The program that the kernel starts when a group is empty."""
    a.do("mkdir s:/tmp/cg 0x1ff")
    for options in ("memory", "rdma", "cpu", "devices", "none,name=x"):
        a.refused(f"mounting the hierarchy {options}", f"mount s:cgroup s:/tmp/cg s:cgroup 0 s:{options}", "EPERM")
    a.refused("rights over it by a user namespace", f"unshare {attack.CLONE_NEW['user'] | attack.CLONE_NEW['cgroup']}",
              "EPERM")
    for folder in ("", "/memory", "/cpu", "/devices", "/unified", "/rdma"):
        for name in ("release_agent", "cgroup.procs", "devices.allow", "notify_on_release"):
            a.refused(f"writing /sys/fs/cgroup{folder}/{name}", f"open s:/sys/fs/cgroup{folder}/{name} 1",
                      "ENOENT|EROFS|EACCES")


def kernel_ebpf(a, h, host):
    """Level: a flaw of the eBPF verifier."""
    for command in range(38):
        a.refused(f"bpf command {command}", f"bpf {command} b:120 120", "EPERM")
    a.refused("perf_event_open", "perf_event_open b:128 0 -1 -1 0", "EPERM")
    a.refused("a program for a socket", "socket 2 2 0", "setsockopt $0 1 50 h:ffffffff 4", "EBADF|EPERM|EINVAL")


def kernel_dirty_cow(a, h, host):
    """Level: CVE-2016-5195. Writing through a private mapping of a file that may only be read."""
    got = a.do("open s:/etc/template 0", "mmap 0 4096 1 2 $0 0", "open s:/proc/self/mem 2", "pwrite64 $2 s:DIRTY 5 $1",
               "madvise $1 4096 4", "pread64 $0 b:16 16 0", "show 5.1 8")
    a.tap.equal(got[-1], "from the", f"{a.what}: the file is as before")
    with open(host["template"], encoding="ascii") as f:
        a.tap.equal(f.read(), "from the template\n", f"{a.what}: the template is as before")


def kernel_dirty_pipe(a, h, host):
    """Level: CVE-2022-0847. Writing into the page cache of a template's file, which all sandboxes share."""
    got = a.do("open s:/etc/template 0", "pipe2 b:8 0", "write *1.0.4 b:65536 65536", "read *1.0.0 b:65536 65536",
               "splice $0 h:0100000000000000 *1.0.4 0 1 0", "write *1.0.4 s:DIRTY 5", "pread64 $0 b:16 16 0",
               "show 6.1 8")
    a.tap.equal((got[4], got[-1]), (1, "from the"), f"{a.what}: the file is as before")
    with open(host["template"], encoding="ascii") as f:
        a.tap.equal(f.read(), "from the template\n", f"{a.what}: the template is as before")


def kernel_sockets(a, h, host):
    """Level: CVE-2017-7308 (packet sockets), and netfilter's flaws (CVE-2021-22555, -2022-34918, -2024-1086)."""
    for kind in (1, 2, 3, 10):
        a.refused(f"a packet socket of type {kind}", f"socket 17 {kind} 768", "EAFNOSUPPORT|EPERM")
    a.refused("a packet socket by its old name", "socket 2 10 768", "EPERM")
    a.refused("the same with flags", "socket 2 0x8080a 768", "EPERM")
    for family in (2, 10):
        a.refused(f"a raw socket of family {family}", f"socket {family} 3 1", "EPERM")
        a.refused(f"a raw socket of family {family} of any protocol", f"socket {family} 3 255", "EPERM")
    a.refused("replacing the firewall's table", "socket 2 1 0", "setsockopt $0 0 64 b:256 256", "EPERM|ENOPROTOOPT")
    got = a.do("socket 16 3 12", f"sendto $0 h:{NF_NEW_TABLE.hex()} {len(NF_NEW_TABLE)} 0 0 0",
               "recvfrom $0 b:256 256 0x40 0 0", "show 2.1 20")
    told = str(got[-1]).encode("latin-1")
    a.tap.equal(int.from_bytes(told[16:20], "little", signed=True), -1, f"{a.what}: a table of the firewall gives EPERM")


def kernel_others(a, h, host):
    """Beyond the levels: calls that flaws of the last years were reached by."""
    for name, *steps in (("io_uring", "io_uring_setup 8 b:128"), ("userfaultfd", "userfaultfd 1"),
                       ("keys (CVE-2016-0728)", "add_key s:user s:k s:v 1 -3"), ("keyctl", "keyctl 1 s:x"),
                       ("request_key", "request_key s:user s:k 0 -3"), ("fsconfig (CVE-2022-0185)", "fsconfig 0 5 0 0 0"),
                       ("memory of others (process_madvise)", "process_madvise -1 0 0 0 0"), ("kcmp", "kcmp 1 1 0 0 0"),
                       ("pidfd_getfd", "pidfd_open 1 0", "pidfd_getfd $0 0 0"), ("fanotify", "fanotify_init 0 0"),
                       ("modify_ldt", "modify_ldt 0 b:16 16"), ("move_pages", "move_pages 0 0 0 0 0 0"),
                       ("mbind", "mbind 0 0 0 0 0 0"), ("lookup_dcookie", "lookup_dcookie 0 0 0"),
                       ("watch queues (CVE-2022-0995)", "pipe2 b:8 0x80"), ("vhangup", "vhangup")):
        a.refused(name, *steps, "EPERM")
    a.refused("/dev/fuse (CVE-2023-0386)", "open s:/dev/fuse 2", "ENOENT")
    a.refused("an overlay of its own (CVE-2021-3493)", "mount s:o s:/tmp s:overlay 0 s:lowerdir=/etc,upperdir=/tmp,workdir=/tmp",
              "EPERM")


LEVELS = {"socket": run_socket, "privileged": run_privileged, "writable mount": run_writable_mount,
          "SYS_ADMIN": run_sys_admin, "SYS_MODULE": run_sys_module, "DAC_READ_SEARCH": run_dac_read_search,
          "CVE-2019-5736": run_overwrite, "CVE-2024-21626": run_working_folder, "host's processes": kernel_pids,
          "release_agent": kernel_release_agent, "eBPF": kernel_ebpf, "Dirty COW": kernel_dirty_cow,
          "Dirty Pipe": kernel_dirty_pipe, "packet sockets, netfilter": kernel_sockets, "other calls": kernel_others}


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    flags = attack.Flags(h)
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    try:
        host = {"folder": flags.folder, "socket": os.path.join(h.data, "host.sock"), "abstract": "\0" + flags.secret,
                "pids": [h.process.pid, os.getpid()],
                "template": os.path.join(h.templates, harness.TEMPLATE, "rootfs/etc/template")}
        for s, name in zip(sockets, (host["socket"], host["abstract"])):
            s.bind(name)
            s.listen()
        os.chmod(host["socket"], 0o777)
        c = h.client()
        inst = c.start()
        for name, level in LEVELS.items():
            for uid in (0, 1000):
                a = attack.Attack(tap, h, inst, uid, flags, name)
                level(a, h, host)
                a.end(["/tmp/m", "/tmp/h", "/tmp/cg"])
        c.stop(inst.id)
    finally:
        for s in sockets:
            s.close()
        flags.close()
        h.close()
    tap.end()


main()
