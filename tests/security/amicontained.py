#!/usr/bin/env python3
"""What a process in a sandbox is and may do (item 1), as `amicontained` shows it, held against the design.

Prints the table too: capabilities, namespaces, id maps, filters, and what each system call gives. Every number
of the 64-bit ABI is asked, of x32 and of the 32-bit entry as well; the answers must be those of
docs/sandbox-policy.md, which is written from the code.
"""

import fcntl
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402

CAPS = {"chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
        "setpcap": 8, "net_bind_service": 10, "sys_chroot": 18, "audit_write": 29, "setfcap": 31}
CAP_MASK = f"{sum(1 << n for n in CAPS.values()):016x}"
FILTERS = 3  # its two, and the helper's below them
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
CALLS_END = 547  # beyond the last number of the 64-bit ABI, with the old ones of x32
NEWER = {"statmount": 457, "listmount": 458, "mseal": 462, "open_tree_attr": 467}  # than libseccomp may know
# The kernel's own entries for breakpoints of programs: newer kernels pass them by all filters, and end or refuse who
# calls them from elsewhere than such a breakpoint.
BREAKPOINTS = (335, 336)
BY_ARGUMENT = {"personality": "allowed"}  # in no list; of zero, as asked here, it is plain Linux
POLICY = "docs/sandbox-policy.md"

EPERM = """mount umount2 pivot_root setns unshare_user unshare_net unshare_ns clone_user clone_pid bpf perf_event_open
io_uring_setup userfaultfd keyctl add_key request_key init_module kexec_load reboot swapon sethostname settimeofday
syslog open_by_handle_at fanotify_init quotactl fsopen open_tree iopl mknod_block tiocsti tiocsti_high tioclinux
tiocsetd socket_raw""".split()
ENOSYS = ["clone3", "unknown_call", "personality_bad", "io_setup"]
EAFNOSUPPORT = ["socket_packet", "socket_vsock", "socket_alg", "socket_high"]
EPROTONOSUPPORT = ["socket_uevent", "socket_uevent_high", "socket_xfrm", "socket_sctp", "socket_sctp6", "socket_udplite"]
ALLOWED = ["unshare_files", "socket_route", "socket_diag", "socket_audit", "socket_inet", "socket_unix",
           "personality_query"]

# Arguments that decide: every value, asked of the filters and never of the kernel.
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541c, 0x5423
IOCTLS_REFUSED = {TIOCSTI, TIOCLINUX, TIOCSETD}
FAMILIES = {1, 2, 10, 16}
NETLINK = {0, 4, 9, 12, 16}
NEW_FLAGS = sum(attack.CLONE_NEW.values())


def status_of(facts):
    return {k: v.strip() for k, _, v in (line.partition(":") for line in facts["status"])}


def print_table(facts):
    s = status_of(facts)
    print(f"# uid map {facts['uid_map'][0].split()}  gid map {facts['gid_map'][0].split()}")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        bits = int(s[name], 16)
        print(f"# {name} {s[name]} {' '.join(n for n, bit in CAPS.items() if bits >> bit & 1)}")
    print(f"# seccomp mode {s['Seccomp']}, {s['Seccomp_filters']} filters, no_new_privs {s['NoNewPrivs']}")
    for line in facts["ns"]:
        print(f"# namespace {line}")


def identity(tap, inst, facts, base):
    s = status_of(facts)
    tap.equal(s["Uid"].split(), ["0"] * 4, "root inside has all four uids 0")
    tap.equal(s["Groups"], "", "no supplementary groups")
    tap.equal(facts["uid_map"][0].split(), ["0", str(base), "65536"], "uid map is the slot's range, nothing of the host")
    tap.equal(facts["gid_map"][0].split(), ["0", str(base), "65536"], "gid map is the slot's range")
    tap.equal((len(facts["uid_map"]), len(facts["gid_map"])), (1, 1), "and there is no second range")
    tap.equal(facts["pid"], ["1"], "it is process 1")
    tap.equal(facts["hostname"], [inst.id], "the host name is the sandbox's id")
    tap.equal(os.stat(f"/proc/{inst.pid}").st_uid, base, "outside it is an unprivileged uid")


def rights(tap, h, inst, facts):
    s = status_of(facts)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        tap.equal(s[name], CAP_MASK, f"{name} is the agreed set")
    for name in ("CapInh", "CapAmb"):
        tap.equal(s[name], "0" * 16, f"{name} is empty")
    tap.equal(s["Seccomp"], "2", "seccomp filters are in force")
    tap.equal(s["Seccomp_filters"], str(FILTERS), f"{FILTERS} of them")
    tap.equal(s["NoNewPrivs"], "0", "no_new_privs is not set: sudo must work")
    user = status_of(harness.facts_of(h.ask(inst, "as 1000 facts")))
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        tap.equal(user[name], "0" * 16, f"{name} of a user inside is empty")
    tap.equal((user["Uid"].split(), user["CapBnd"]), (["1000"] * 4, CAP_MASK), "who may gain no more than root has")
    for bit in range(64):
        if bit in CAPS.values():
            continue
        answer = h.ask(inst, f"as 0 do prctl 24 {bit} 0 0 0")[0].split()[1]
        if answer == "EINVAL":
            break  # past the kernel's last
        tap.equal(answer, "0", f"capability {bit} cannot be gained by root")


def namespaces(tap, inst, other, facts):
    inside = dict(line.split(" ", 1) for line in facts["ns"])
    for name in NAMESPACES:
        own = os.readlink(f"/proc/{inst.pid}/ns/{name}")
        tap.equal(inside[name], own, f"the {name} namespace is the one that the host sees")
        tap.ok(own != os.readlink(f"/proc/self/ns/{name}"), f"the {name} namespace is not the host's")
        tap.ok(own != os.readlink(f"/proc/{other.pid}/ns/{name}"), f"the {name} namespace is not a neighbour's")


def owners(tap, inst):
    """The mount, pid, ipc, uts, net and cgroup namespaces belong to the host's user namespace."""
    ns_get_userns = 0xB701
    home = os.stat("/proc/self/ns/user").st_ino
    for name in NAMESPACES[1:]:
        fd = os.open(f"/proc/{inst.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        owner = fcntl.ioctl(fd, ns_get_userns)
        tap.equal(os.fstat(owner).st_ino, home, f"the {name} namespace belongs to the host's user namespace")
        os.close(owner)
        os.close(fd)


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
    for path in ("/proc", "/sys", "/dev/shm"):
        tap.ok({"nosuid", "nodev", "noexec"} <= set(table[path][0]), f"{path} is nosuid, nodev, noexec", table[path])
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


def published():
    """What the policy says of each call: name -> "allowed" or "EPERM"."""
    with open(os.path.join(harness.ROOT, POLICY), encoding="utf-8") as f:
        text = f.read().split("## Programs that are put away")[0]
    allowed, refused = text.split("Allowed:")[1].split("Refused with EPERM:")
    names = re.compile(r"`([a-z0-9_]+)`")
    return {**{n: "allowed" for n in names.findall(allowed)}, **{n: "EPERM" for n in names.findall(refused)}}


def every_call(tap, h, inst, uid):
    """Returns what each number gives, for the printed table."""
    want, got, numbers = published(), {}, {}
    for first, last in ((0, BREAKPOINTS[0] - 1), *((n, n) for n in BREAKPOINTS), (BREAKPOINTS[-1] + 1, CALLS_END)):
        for line in h.ask(inst, f"as {uid} filter x86_64 {first} {last}"):
            _, _, nr, name, what = line.split()
            got[int(nr)] = what
            numbers[name] = int(nr)
    numbers.update({n: nr for n, nr in NEWER.items() if n not in numbers})
    names = {nr: name for name, nr in numbers.items()}
    tap.equal(sorted(got), list(range(CALLS_END + 1)), f"uid {uid}: every number of the 64-bit ABI was asked")
    tap.equal(sorted(n for n in want if n not in numbers), [], f"uid {uid}: every call of the policy has a number")
    for nr in BREAKPOINTS:
        answer = got.pop(nr)
        tap.ok(answer in ("ENOSYS", "ENXIO", "none"), f"uid {uid}: {nr}, of breakpoints, does nothing by itself", answer)
    wrong = [f"{names.get(nr, nr)}: {what}, published {want.get(names.get(nr), 'ENOSYS')}" for nr, what in got.items()
             if what != BY_ARGUMENT.get(names.get(nr), want.get(names.get(nr), "ENOSYS"))]
    tap.equal(wrong, [], f"uid {uid}: each gives what the policy says")
    return {names.get(nr, str(nr)): what for nr, what in got.items()}


def other_abis(tap, h, inst, uid):
    for abi in ("x32", "i386"):
        got = {line.split()[4] for line in h.ask(inst, f"as {uid} filter {abi} 0 {CALLS_END}")}
        tap.ok(got in ({"ENOSYS"}, {"none"}), f"uid {uid}: every call of {abi} gives ENOSYS, or has no entry", got)


def decide(h, inst, calls):
    """What the filters say to calls with arguments, in their order."""
    answer = []
    for i in range(0, len(calls), 400):
        answer += [line.split()[4] for line in h.ask(inst, "as 1000 decide " + " ".join(calls[i:i + 400]))]
    return answer


def expect(tap, h, inst, name, wanted):
    """wanted: call with arguments -> answer."""
    got = decide(h, inst, list(wanted))
    wrong = [f"{call}: {g}, want {w}" for (call, w), g in zip(wanted.items(), got) if g != w]
    tap.ok(not wrong and len(got) == len(wanted), name, "\n".join(wrong) or len(got))


def arguments(tap, h, inst):
    high = 1 << 32
    expect(tap, h, inst, "of every flag of clone() those of namespaces are refused",
           {f"clone,{1 << bit}": "EPERM" if 1 << bit & NEW_FLAGS and bit > 7 else "allowed" for bit in range(64)})
    expect(tap, h, inst, "of every flag of unshare() those of namespaces are refused",
           {f"unshare,{1 << bit}": "EPERM" if 1 << bit & NEW_FLAGS else "allowed" for bit in range(64)})
    expect(tap, h, inst, "unix, IPv4, IPv6 and netlink are all families",
           {f"socket,{f},1,0": "allowed" if f in FAMILIES else "EAFNOSUPPORT" for f in (*range(64), high | 1, high | 40)})
    expect(tap, h, inst, "and unix is the only family of pairs",
           {f"socketpair,{f},1,0": "allowed" if f == 1 else "EAFNOSUPPORT" for f in (*range(64), high | 1)})
    expect(tap, h, inst, "five protocols of netlink are left",
           {f"socket,16,3,{p}": "allowed" if p in NETLINK else "EPROTONOSUPPORT" for p in range(32)})
    expect(tap, h, inst, "the upper half of a protocol does not matter",
           {f"socket,16,3,{high | p}": "allowed" if p in NETLINK else "EPROTONOSUPPORT" for p in range(32)})
    unused = {33, 115, 132, 136, 256}
    expect(tap, h, inst, "protocols of IP that nobody uses are refused",
           {f"socket,{f},1,{p}": "EPROTONOSUPPORT" if p in unused else "allowed" for f in (2, 10) for p in range(263)})
    expect(tap, h, inst, "packet sockets by their old name are refused",
           {f"socket,2,{t},0": "EPERM" if t & 0xf == 10 else "allowed" for t in (*range(16), 0x80801, 0x8080a)})
    expect(tap, h, inst, "three requests of terminals are refused, whatever their upper half",
           {f"ioctl,0,{r | up}": "EPERM" if r in IOCTLS_REFUSED else "allowed" for r in range(0x5400, 0x5480)
            for up in (0, high, 1 << 63)})
    expect(tap, h, inst, "watch queues are refused",
           {f"pipe2,0,{1 << bit}": "EPERM" if bit == 7 else "allowed" for bit in range(32)})
    plain = {0, 8, 0x0020000, 0x0020008, 0x0040000, 0xffffffff}
    expect(tap, h, inst, "six personalities are left",
           {f"personality,{p}": "allowed" if p in plain else "ENOSYS"
            for p in (*plain, *(1 << bit for bit in range(33)), 0x0c00000, 0xfffffffe)})


def calls(tap, lines, who):
    """The kernel's own answers, where a filter alone might be taken for more than it is."""
    got = dict(line.split(" ") for line in lines)
    for names, want in ((EPERM, "EPERM"), (ENOSYS, "ENOSYS"), (EAFNOSUPPORT, "EAFNOSUPPORT"),
                        (EPROTONOSUPPORT, "EPROTONOSUPPORT"), (ALLOWED, "ok")):
        for name in names:
            tap.equal(got.get(name), want, f"{who}: {name} gives {want}")


def modules(h, inst):
    """AppArmor and SELinux are nothing that Silica counts on; what the host has is told."""
    current = h.ask(inst, "as 1000 cat /proc/self/attr/current")
    if current and "cat E" not in current[0]:
        print(f"# a security module names the process {current[0].partition(' ')[2]!r}")
    else:
        print("# no security module has a say (AppArmor, SELinux): none is counted on")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        c = h.client()
        inst, other = c.start(), c.start()
        facts = harness.facts_of(h.ask(inst, "facts"))
        base = harness.SANDBOX_UID_BASE + (h.number * 2048 + inst.slot) * 65536
        print_table(facts)
        modules(h, inst)
        identity(tap, inst, facts, base)
        rights(tap, h, inst, facts)
        namespaces(tap, inst, other, facts)
        owners(tap, inst)
        mounts(tap, facts, h)
        for uid in (0, 1000):
            table = every_call(tap, h, inst, uid)
            other_abis(tap, h, inst, uid)
        for what in ("EPERM", "ENOSYS"):
            names = [n for n, w in table.items() if w == what and not n.isdigit()]
            print(f"# {len(names)} known calls give {what}: {' '.join(names)}")
        arguments(tap, h, inst)
        calls(tap, h.ask(inst, "refused"), "root")
        calls(tap, h.ask(inst, "as 1000 refused"), "user")
        for i in (inst, other):
            c.stop(i.id)
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
