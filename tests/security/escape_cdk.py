#!/usr/bin/env python3
"""The thirteen container escapes of CDK (item 3), one case each: its steps are made, and none gets anywhere.

Its exploits of Kubernetes (service accounts, etcd, kubelet) need a cluster; what they would talk to is in
network.py. With names of EXPLOITS as arguments only those.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402

CLOSED = "EROFS|EACCES|ENOENT|EPERM"
BUSY = "ETXTBSY|EACCES|EPERM"
GATEWAY = "169.254.0.22"


def runc_pwn(a, host):
    """CVE-2019-5736: a script whose interpreter is /proc/self/exe, then that program is overwritten."""
    a.do("unlink s:/tmp/sh", "open s:/tmp/sh 0x41 0x1ed", "write $1 s:%23!/proc/self/exe%0a 17", "close $1")
    for pid in ("self", "1"):
        a.refused(f"opening /proc/{pid}/exe to write", f"open s:/proc/{pid}/exe 0x201", BUSY)
        a.refused(f"by its descriptor, /proc/{pid}/exe", f"open s:/proc/{pid}/exe 0x200000",
                  "dup2 $0 9", "open s:/proc/self/fd/9 1", BUSY)
        a.refused(f"mapping /proc/{pid}/exe to write", f"open s:/proc/{pid}/exe 0", "mmap 0 4096 3 1 $0 0", BUSY + "|EBADF")
    a.refused("unsealing it", "open s:/proc/self/exe 0", "fcntl $0 1033 0", "EPERM|EBADF")
    # What runs cannot be opened to write (ETXTBSY). The seals hold when that is over, too.
    a.tap.equal(a.do("open s:/proc/self/exe 0", "fcntl $0 1034")[-1], 0xf, f"{a.what}: all seals are on the program")


def shim_pwn(a, host):
    """CVE-2020-15257: the engine's abstract sockets, in the host's network namespace."""
    text = a.text("/proc/net/unix")
    a.tap.ok("@" not in text, f"{a.what}: no abstract socket is named", text)
    for name in (host["abstract"], "\0/containerd-shim/moby/x/shim.sock", "\0/tmp/.X11-unix/X0"):
        address, size = attack.address_of(name)
        a.refused("connecting to one", "socket 1 1 0", f"connect $0 {address} {size}", "ECONNREFUSED")


def docker_sock_check(a, host):
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/docker.sock", "/host/var/run/docker.sock", host["socket"]):
        a.refused(f"looking for {os.path.basename(path)}", f"access {attack.quoted(path)} 0", "ENOENT|EACCES")


def docker_sock_pwn(a, host):
    for path in ("/var/run/docker.sock", "/run/docker.sock", host["socket"], host["priv"]):
        address, size = attack.address_of(path)
        a.refused(f"talking to {os.path.basename(path)}", "socket 1 1 0", f"connect $0 {address} {size}", "ENOENT|EACCES")
        a.refused(f"by datagrams, {os.path.basename(path)}", "socket 1 2 0", f"connect $0 {address} {size}", "ENOENT|EACCES")


def docker_api_pwn(a, host):
    for port in (2375, 2376, 2377, host["port"]):
        for address in (GATEWAY, "127.0.0.1", "172.17.0.1", *host["addresses"]):
            answer = a.ask(f"connect {address} {port}")
            a.tap.ok(answer != ["connect ok"], f"{a.what}: nobody answers at port {port} of {address}", answer)


def mount_disk(a, host):
    major, minor = attack.host_disk()
    a.do("mkdir s:/tmp/disk 0x1ff")
    a.refused("making the disk's node", f"mknod s:/tmp/disk.node 0x61b6 {attack.device_number(major, minor)}", "EPERM")
    a.refused("opening it", "open s:/tmp/disk.node 0", "ENOENT|EACCES")
    for kind in ("ext4", "xfs", "btrfs"):
        a.refused(f"mounting it as {kind}", f"mount s:/tmp/disk.node s:/tmp/disk s:{kind} 1 0", "EPERM")
    names = [line.partition(" ")[2] for line in a.ask("names /dev")]
    known = {".", "..", "null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "ptmx", "fd", "stdin", "stdout",
             "stderr"}
    a.tap.equal(set(names) - known, set(), f"{a.what}: /dev has no disk")


def lxcfs_rw(a, host):
    """A FUSE file system of the host's groups, mounted for writing."""
    text = a.text("/proc/self/mountinfo")
    a.tap.ok("fuse" not in text and "lxcfs" not in text, f"{a.what}: nothing of lxcfs is mounted", text)
    for path in ("/var/lib/lxcfs/cgroup/devices/devices.allow", "/var/lib/lxcfs/proc/uptime", "/dev/fuse"):
        a.refused(f"opening {path}", f"open s:{path} 2", CLOSED)
    a.refused("a block device of its own", "mknod s:/tmp/lx 0x61b6 0x800", "EPERM")


def mount_cgroup(a, host):
    """release_agent: the kernel starts a program of the host's when a group is empty."""
    kinds = (("cgroup", "memory"), ("cgroup", "rdma"), ("cgroup", "none,name=cdk"), ("cgroup2", ""))
    for n, (kind, options) in enumerate(kinds):
        place = f"/tmp/cg{n}"
        a.do(f"mkdir s:{place} 0x1ff")
        a.refused(f"mounting {kind} {options}", f"mount s:cgroup s:{place} s:{kind} 0 s:{options}", "EPERM")
        a.do(f"mkdir s:{place}/x 0x1ff")
        a.refused(f"naming a program for its end ({kind} {options})", f"open s:{place}/release_agent 1", CLOSED)
        a.refused(f"asking for it ({kind} {options})", f"open s:{place}/x/notify_on_release 1", CLOSED)
        a.do(f"rmdir s:{place}/x", f"umount2 s:{place} 2")  # a host without the defence comes back


def abuse_unpriv_userns(a, host):
    """CVE-2022-0492: the same, with rights got from a user namespace of one's own."""
    new = attack.CLONE_NEW
    for names in (("user",), ("user", "ns", "cgroup"), ("user", "ns", "pid"), ("cgroup",)):
        flags = sum(new[name] for name in names)
        a.refused(f"unshare of {' '.join(names)}", f"unshare {flags}", "EPERM")
        a.refused(f"clone with {' '.join(names)}", f"clone {flags | attack.SIGCHLD} 0 0 0 0", "EPERM")
    flags = (new["user"] | new["ns"] | new["cgroup"]).to_bytes(8, "little").hex()
    a.refused("clone3", f"clone3 h:{flags}{'00' * 24}1100000000000000{'00' * 48} 88", "ENOSYS")


def mount_procfs(a, host):
    """The host's /proc inside: core_pattern names a program that the kernel starts."""
    a.do("mkdir s:/tmp/p 0x1ff")
    a.refused("mounting a proc", "mount s:proc s:/tmp/p s:proc 0 0", "EPERM")
    for path in ("/proc/sys/kernel/core_pattern", "/proc/1/root/proc/sys/kernel/core_pattern",
                 "/tmp/p/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/fs/binfmt_misc/register",
                 "/proc/sys/kernel/hotplug"):
        a.refused(f"writing {path}", f"open s:{path} 1", CLOSED)


def check_ptrace(a, host):
    """CAP_SYS_PTRACE and the host's process numbers."""
    status = {line.split(":")[0]: line.split(":")[1].strip() for line in a.text("/proc/self/status").splitlines()
              if ":" in line}
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        a.tap.equal(int(status[name], 16) >> 19 & 1, 0, f"{a.what}: no SYS_PTRACE in {name}")
    for pid in host["pids"]:
        a.refused(f"tracing {pid}", f"ptrace 16 {pid} 0 0", "ESRCH")
        a.refused(f"seeing {pid}", f"open s:/proc/{pid}/status 0", "ENOENT")
    pids = sorted(int(line.split()[1]) for line in a.ask("names /proc") if line.split()[1].isdigit())
    a.tap.ok(set(pids).isdisjoint(host["pids"]) and pids[0] == 1 and len(pids) <= 3, f"{a.what}: few processes show", pids)


def rewrite_cgroup_devices(a, host):
    """"a" into devices.allow of one's own group opens every device."""
    a.do("mkdir s:/tmp/dc 0x1ff")
    a.refused("mounting the hierarchy", "mount s:cgroup s:/tmp/dc s:cgroup 0 s:devices", "EPERM")
    for path in ("/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/devices.allow", "/tmp/dc/devices.allow"):
        a.refused(f"writing {path}", f"open s:{path} 1", CLOSED)
    for kind, major, minor in ((0x61b6, 8, 0), (0x61b6, 7, 0), (0x21b6, 1, 1), (0x21b6, 10, 229), (0x21b6, 10, 232)):
        a.refused(f"a device {major}:{minor}", f"mknod s:/tmp/dc.node {kind} {attack.device_number(major, minor)}", "EPERM")


def cap_dac_read_search(a, host):
    for inode in (1, 2, 64, 128, 256):
        handle = f"h:0800000001000000{inode.to_bytes(4, 'little').hex()}00000000"
        for where in ("/etc/hosts", "/etc/resolv.conf", "/", "/proc/self/exe"):
            a.refused(f"inode {inode} of what {where} is on", f"open s:{where} 0x0", f"open_by_handle_at $0 {handle} 0",
                      "EPERM")


EXPLOITS = {"runc-pwn": runc_pwn, "shim-pwn": shim_pwn, "docker-sock-check": docker_sock_check,
            "docker-sock-pwn": docker_sock_pwn, "docker-api-pwn": docker_api_pwn, "mount-disk": mount_disk,
            "lxcfs-rw": lxcfs_rw, "mount-cgroup": mount_cgroup, "abuse-unpriv-userns": abuse_unpriv_userns,
            "mount-procfs": mount_procfs, "check-ptrace": check_ptrace,
            "rewrite-cgroup-devices": rewrite_cgroup_devices, "cap-dac-read-search": cap_dac_read_search}


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    flags = attack.Flags(h)
    sockets = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.create_server(("0.0.0.0", 0))]
    try:
        host = {"socket": os.path.join(h.data, "docker.sock"), "abstract": f"\0{flags.secret}", "priv": h.socket,
                "pids": [h.process.pid, os.getpid()], "port": sockets[2].getsockname()[1], "addresses": []}
        for s, name in zip(sockets, (host["socket"], host["abstract"])):
            s.bind(name)
            s.listen()
        os.chmod(host["socket"], 0o777)
        c = h.client()
        inst = c.start(internet=False)
        head, last = inst.addr.rsplit(".", 1)
        host["addresses"] = [inst.addr, f"{head}.{int(last) - 1}"]  # the host's end of its link
        for name, exploit in ((n, e) for n, e in EXPLOITS.items() if n in sys.argv[1:] or not sys.argv[1:]):
            for uid in (0, 1000):
                a = attack.Attack(tap, h, inst, uid, flags, name)
                exploit(a, host)
                a.end(["/tmp/disk", "/tmp/cg", "/tmp/p"])
        c.stop(inst.id)
    finally:
        for s in sockets:
            s.close()
        flags.close()
        h.close()
    tap.end()


main()
