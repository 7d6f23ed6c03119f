#!/usr/bin/env python3
"""What a process inside a sandbox is and may do, held against docs/design/0002-container-jail.md."""

import fcntl
import os
import re
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

CAPS = {"chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
        "setpcap": 8, "net_bind_service": 10, "sys_chroot": 18, "audit_write": 29, "setfcap": 31}
CAP_MASK = f"{sum(1 << n for n in CAPS.values()):016x}"

EPERM = """mount umount2 pivot_root setns unshare_user unshare_net unshare_ns clone_user clone_pid bpf perf_event_open
io_uring_setup userfaultfd keyctl add_key request_key init_module kexec_load reboot swapon sethostname settimeofday
syslog open_by_handle_at fanotify_init quotactl fsopen open_tree iopl mknod_block tiocsti tiocsti_high tioclinux
tiocsetd socket_raw""".split()
ENOSYS = ["clone3", "unknown_call", "personality_bad", "io_setup"]
EAFNOSUPPORT = ["socket_packet", "socket_vsock", "socket_alg", "socket_high"]
EPROTONOSUPPORT = ["socket_uevent", "socket_uevent_high", "socket_xfrm", "socket_sctp", "socket_sctp6", "socket_udplite"]
ALLOWED = ["unshare_files", "socket_route", "socket_diag", "socket_audit", "socket_inet", "socket_unix",
           "personality_query"]
USAGE_FILES = r"memory\.current|memory\.usage_in_bytes|cpu\.stat"


def status_of(facts):
    return {k: v.strip() for k, _, v in (line.partition(":") for line in facts["status"])}


def identity(tap, inst, facts, base):
    s = status_of(facts)
    tap.equal(s["Uid"].split(), ["0"] * 4, "root inside has all four uids 0")
    tap.equal(s["Groups"], "", "no supplementary groups")
    tap.equal(facts["uid_map"][0].split(), ["0", str(base), "65536"], "uid map is the slot's range, nothing of the host")
    tap.equal(facts["gid_map"][0].split(), ["0", str(base), "65536"], "gid map is the slot's range")
    tap.equal(facts["pid"], ["1"], "it is process 1")
    tap.equal(facts["hostname"], [inst.id], "the host name is the sandbox's id")
    tap.equal(os.stat(f"/proc/{inst.pid}").st_uid, base, "outside it is an unprivileged uid")


def rights(tap, facts):
    s = status_of(facts)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        tap.equal(s[name], CAP_MASK, f"{name} is the agreed set")
    for name in ("CapInh", "CapAmb"):
        tap.equal(s[name], "0" * 16, f"{name} is empty")
    tap.equal(s["Seccomp"], "2", "seccomp filters are in force")
    tap.equal(s["Seccomp_filters"], "3", "its two, and the helper's below them")
    tap.equal(s["NoNewPrivs"], "0", "no_new_privs is not set: sudo must work")


def namespaces(tap, facts):
    inside = dict(line.split(" ", 1) for line in facts["ns"])
    for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        tap.ok(inside[name] != os.readlink(f"/proc/self/ns/{name}"), f"the {name} namespace is its own")


def owners(tap, inst):
    """The mount, pid, ipc, uts and net namespaces belong to the host's user namespace."""
    ns_get_userns = 0xB701
    home = os.stat("/proc/self/ns/user").st_ino
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        fd = os.open(f"/proc/{inst.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        owner = fcntl.ioctl(fd, ns_get_userns)
        tap.equal(os.fstat(owner).st_ino, home, f"the {name} namespace belongs to the host's user namespace")
        os.close(owner)
        os.close(fd)


def access_mode(inst, fd):
    with open(f"/proc/{inst.pid}/fdinfo/{fd}", encoding="ascii") as f:
        flags = next(line for line in f if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE


def descriptors(tap, facts, inst):
    fds = dict(line.split(" ", 1) for line in facts["fd"])
    tap.equal(fds.pop("0", None), "/dev/null", "descriptor 0 is /dev/null")
    for n in ("1", "2"):
        tap.ok(fds.pop(n, "").endswith(f"/{inst.id}.log"), f"descriptor {n} is the log pipe")
    tap.ok(fds.pop("4", "").startswith("socket:"), "descriptor 4 is the listening socket")
    groups = [n for n, target in fds.items() if re.search(rf"/{inst.id}/user/cgroup\.procs$", target)]
    tap.ok(1 <= len(groups) <= 4 and sorted(map(int, groups)) == list(range(5, 5 + len(groups))),
           "then come the limited group's files, for writing")
    usage = [n for n, target in fds.items() if re.search(rf"/{inst.id}/user/({USAGE_FILES})$", target)]
    tap.ok(len(usage) <= 2 and all(access_mode(inst, n) == os.O_RDONLY for n in usage),
           "then what that group uses, for reading only")
    for n in groups + usage:
        del fds[n]
    # 3 and what follows are the probe's own connection and folder
    rest = [t for t in fds.values() if not t.startswith("socket:") and t != "/proc/1/fd"]
    tap.equal(rest, [], "and nothing else: no folder, no file, no socket of the helper")


def mounts(tap, facts, h):
    table = {}
    for line in facts["mount"]:
        left, right = line.split(" - ")
        table[left.split(" ")[4]] = (left.split(" ")[5].split(","), right.split(" ")[0])
    text = "\n".join(facts["mount"])
    tap.ok(h.data not in text and "/var/" not in text, "no path of the host shows in the mounts", text)
    tap.equal(table["/"][1], "overlay", "the root is an overlay")
    tap.ok("nodev" in table["/"][0], "the root is nodev")
    tap.equal(table["/proc"][1], "proc", "/proc is its own")
    for path in ("/proc/sys", "/proc/bus", "/proc/irq", "/proc/fs", "/sys"):
        tap.ok("ro" in table[path][0], f"{path} is read-only")
    tap.ok(not os.path.exists("/proc/pressure") or "ro" in table.get("/proc/pressure", [[]])[0], "/proc/pressure is read-only")
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/sys/firmware"):
        tap.ok(path in table or not os.path.exists(path), f"{path} is covered")
    known = {"overlay", "tmpfs", "proc", "sysfs", "devpts"}
    tap.equal({kind for _, kind in table.values()} - known, set(), "no other kind of file system")
    tap.equal(set(facts["dev"]) - {".", ".."},
              {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "ptmx", "fd", "stdin", "stdout",
               "stderr"}, "/dev holds the agreed nodes")


def calls(tap, lines, who):
    got = dict(line.split(" ") for line in lines)
    for names, want in ((EPERM, "EPERM"), (ENOSYS, "ENOSYS"), (EAFNOSUPPORT, "EAFNOSUPPORT"),
                        (EPROTONOSUPPORT, "EPROTONOSUPPORT"), (ALLOWED, "ok")):
        for name in names:
            tap.equal(got.get(name), want, f"{who}: {name} gives {want}")


def kernel_files(tap, h, inst):
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                 "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward", "/sys/kernel/uevent_helper",
                 "/sys/power/state"):
        answer = h.ask(inst, f"write {path} 1")
        tap.ok(answer != ["write ok"], f"root inside cannot write {path}", answer)
    if can_floor():
        tap.ok(h.ask(inst, "write /proc/self/oom_score_adj 0") != ["write ok"],
               "nor make itself a lesser victim of memory pressure")
    for path in ("/proc/kcore", "/proc/kallsyms", "/proc/keys"):
        answer = h.ask(inst, f"cat {path}")
        tap.ok(answer in ([], ["cat ENOENT"]), f"{path} shows nothing", answer)
    tap.ok(h.ask(inst, "write /proc/self/exe x")[0] in ("write ETXTBSY", "write EACCES", "write EPERM"),
           "the running program cannot be overwritten through /proc/self/exe")


def can_floor():
    """The floor under oom_score_adj needs CAP_SYS_RESOURCE, which some hosts withhold."""
    with open("/proc/self/status", encoding="ascii") as f:
        eff = int(re.search(r"CapEff:\s*(\w+)", f.read()).group(1), 16)
    return bool(eff >> 24 & 1)


def host_files(tap, h, inst):
    flag = os.path.join(h.data, "flag")
    with open(flag, "w", encoding="ascii") as f:
        f.write("secret of the host")
    os.chmod(flag, 0o644)
    ways = [flag, ".." + flag, "/.." * 20 + flag, "/proc/1/root" + flag, "/proc/self/cwd/../../../../.." + flag,
            "/proc/1/fd/1/../../flag", "/proc/self/fd/5/../../../../../.." + flag, "/dev/fd/0/../../.." + flag]
    for way in ways:
        answer = "\n".join(h.ask(inst, f"cat {way}"))
        tap.ok("secret" not in answer, f"a file of the host is not there by {way.replace(h.data, 'DATA')}", answer)
    os.remove(flag)
    tap.equal(h.ask(inst, "cat /etc/shadow"), ["cat ENOENT"], "the host's /etc is not there")
    for what in ("1", "2"):
        answer = h.ask(inst, f"cat /proc/self/fd/{what}")
        tap.ok(answer == ["cat EACCES"], f"the log pipe {what} cannot be opened again", answer)
    for n in range(5, 9):
        answer = h.ask(inst, f"write /proc/self/fd/{n} 0")
        tap.ok(answer != ["write ok"], f"nor the group file {n}", answer)


def neighbours(tap, h, inst, other):
    answer = h.ask(inst, "names /proc")
    pids = [line.split(" ")[1] for line in answer if line.split(" ")[1].isdigit()]
    tap.equal(pids, ["1"], "only its own processes show in /proc")
    h.ask(other, "write /dev/shm/shared x")
    tap.equal(h.ask(inst, "cat /dev/shm/shared"), ["cat ENOENT"], "/dev/shm is not shared")
    h.ask(other, "write /tmp/shared x")
    tap.equal(h.ask(inst, "cat /tmp/shared"), ["cat ENOENT"], "/tmp is not shared")
    mode = os.stat(os.path.join(h.data, "sandboxes", inst.id))
    tap.equal((stat.S_IMODE(mode.st_mode), mode.st_uid), (0o700, 0), "its files are closed to all but root outside")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        c = h.client()
        inst, other = c.start(), c.start()
        facts = harness.facts_of(h.ask(inst, "facts"))
        base = harness.SANDBOX_UID_BASE + (h.number * 2048 + inst.slot) * 65536
        identity(tap, inst, facts, base)
        rights(tap, facts)
        namespaces(tap, facts)
        owners(tap, inst)
        descriptors(tap, facts, inst)
        mounts(tap, facts, h)
        calls(tap, h.ask(inst, "refused"), "root")
        calls(tap, h.ask(inst, "as 1000 refused"), "user")
        user = status_of(harness.facts_of(h.ask(inst, "as 1000 facts")))
        tap.equal((user["Uid"].split()[0], user["CapEff"], user["CapPrm"]), ("1000", "0" * 16, "0" * 16),
                  "a user inside has no capability")
        kernel_files(tap, h, inst)
        host_files(tap, h, inst)
        neighbours(tap, h, inst, other)
        for i in (inst, other):
            c.stop(i.id)
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
