#!/usr/bin/env python3
"""Descriptors and process 1 (items 5 and 6): what a program that envd started holds, and what it can do to envd.

Programs have descriptors 0, 1, 2 and no other, and no way from these to a folder of the host. Envd's own (its
sockets, the files of control groups, the log) and its memory are closed to root inside as well: it cannot be
traced, and what /proc shows of it belongs to nobody inside.
"""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import attack  # noqa: E402
import guest as guests  # noqa: E402
import harness  # noqa: E402
import silica  # noqa: E402

DENIED = "EACCES|EPERM"
HOLD_MAX = 64  # numbers of descriptors of envd that are tried
IOVEC = "h:0000400000000000" "0800000000000000"
SIGNALS = [n for n in range(1, 65) if n not in (32, 33)]
PROC_OF_ONE = ("fd", "fdinfo", "map_files", "task/1/fd")
PROC_FILES = ("mem", "maps", "environ", "auxv", "exe", "cwd", "root", "stack", "syscall", "io", "pagemap", "smaps",
              "personality", "ns/mnt", "ns/user", "ns/net", "ns/pid")
# Root inside owns these files of envd, so they may open; what is written is refused. What would only harm
# the sandbox itself (a higher OOM score, a core filter) is left out.
PROC_WRITES = {"mem": "x", "oom_score_adj": "-1000", "comm": "x", "uid_map": "0 0 1", "gid_map": "0 0 1",
               "setgroups": "allow", "timerslack_ns": "1", "attr/current": "x", "task/1/comm": "x"}
SIGCONT = 18  # may be sent within a session by anyone
RLIMITS = 16
RLIMIT_CORE = 4  # the filter answers changes of it with a success that changes nothing


def own_descriptors(a):
    lines = [line.split() for line in a.ask("links /proc/self/fd")]
    held = {n: target for _, n, target in lines}
    own = [n for n, target in held.items() if re.fullmatch(r"/proc/\d+/fd", target)]
    a.tap.equal(set(held) - set(own), {"0", "1", "2"}, f"{a.what}: descriptors 0, 1, 2 and no other")
    a.tap.equal(len(own), 1, f"{a.what}: but for the folder that is looked at")
    for n in ("0", "1", "2"):
        a.tap.ok(re.match(r"pipe:|/dev/null$|/dev/pts/", held.get(n, "")), f"{a.what}: {n} is a pipe or nothing",
                 held.get(n))
        a.refused(f"entering {n}", f"chdir s:/proc/self/fd/{n}", "ENOTDIR|EACCES")
        a.refused(f"entering {n} itself", f"fchdir {n}", "ENOTDIR|EACCES")
        a.refused(f"opening beside {n}", f"openat {n} s:../../../../etc/hostname 0", "ENOTDIR")
        a.refused(f"a folder above {n}", f"open s:/proc/self/fd/{n}/.. 0x10000", "ENOTDIR|EACCES")
        for path in a.flags.paths:
            a.seen.append(a.reads(f"/proc/self/fd/{n}/../../../../../..{path}"))


def hidden_ones(a):
    """No number above is open either, also where /proc would not show it."""
    got = a.do(*(f"fcntl {n} 1" for n in range(3, 64)))
    a.tap.equal(set(got), {"EBADF"}, f"{a.what}: none of the numbers 3 to 63 is open")


def working_folder(a):
    got = a.do("getcwd b:256 256", "show 0.0 64", "chdir s:../../../../../../..", "getcwd b:256 256", "show 3.0 2")
    a.tap.ok(str(got[1]).startswith("/") and got[4] == "/\0", f"{a.what}: the working folder is inside", got)


def envd_descriptors(a):
    for name in PROC_OF_ONE:
        got = a.ask(f"links /proc/1/{name}")
        a.tap.ok(got in ([], ["link EACCES"], ["link EPERM"]), f"{a.what}: /proc/1/{name} tells no target", got)
    for n in (*range(12), 63):
        a.refused(f"opening descriptor {n} of envd", f"open s:/proc/1/fd/{n} 0x800", DENIED + "|ENOENT")
    got = a.do("pidfd_open 1 0", *(f"pidfd_getfd $0 {n} 0" for n in range(HOLD_MAX - 1)))
    a.tap.equal(set(got[1:]), {"EPERM"}, f"{a.what}: pidfd_getfd gives none of them")


def envd_memory(a):
    for name in PROC_FILES:
        a.refused(f"reading /proc/1/{name}", f"open s:/proc/1/{name} 0", "read $0 b:16 16", DENIED + "|EBADF")
        a.tap.ok(not a.ask(f"links /proc/1/{name}")[0].startswith(f"link {name} /"), f"{a.what}: nor where it leads")
    for name, text in PROC_WRITES.items():
        a.refused(f"writing /proc/1/{name}", f"open s:/proc/1/{name} 1", f"write $0 {attack.quoted(text)} {len(text)}",
                  DENIED + "|EBADF|EINVAL")
    for name, call in (("attaching to", "ptrace 16 1 0 0"), ("seizing", "ptrace 0x4206 1 0 0"),
                       ("reading the memory of", f"process_vm_readv 1 {IOVEC} 1 {IOVEC} 1 0"),
                       ("writing into", f"process_vm_writev 1 {IOVEC} 1 {IOVEC} 1 0"),
                       ("comparing with", "kcmp 1 1 0 0 0")):
        a.refused(f"{name} envd", call, DENIED)
    # Advice that would throw memory away is none that may be given to another; the filter says so first.
    a.refused("advising its memory", "pidfd_open 1 0", f"process_madvise $0 {IOVEC} 1 4 0", DENIED + "|EINVAL")


def envd_program(a):
    """Item 6: the program behind /proc/1/exe and behind one's own."""
    for flags in ("1", "2", "0x201", "0x200000"):
        a.refused(f"opening /proc/1/exe with {flags}", f"open s:/proc/1/exe {flags}", "read $0 b:4 4",
                  DENIED + "|ETXTBSY|EBADF")
    a.refused("changing its mode", "chmod s:/proc/1/exe 511", DENIED)
    a.refused("cutting it", "truncate s:/proc/1/exe 0", DENIED + "|ETXTBSY")
    a.refused("running it", "execve s:/proc/1/exe 0 0", DENIED)
    a.refused("overwriting the program that runs", "open s:/proc/self/exe 1", "ETXTBSY|EACCES")


def signals(a, guest):
    """Process 1 of a namespace is deaf to what it does not handle, SIGKILL and SIGSTOP included."""
    want = {0} if a.uid == 0 else {"EPERM"}
    for name, pid in (("kill", "kill 1"), ("tgkill", "tgkill 1 1")):
        got = a.do(*(f"{pid} {n}" for n in SIGNALS if n != SIGCONT))
        a.tap.equal(set(got), want, f"{a.what}: {name} of process 1 is taken or refused")
        a.tap.ok(guest.answers(), f"{a.what}: and envd answers")
    a.do("pidfd_open 1 0", "pidfd_send_signal $0 9 0 0", "pidfd_send_signal $0 19 0 0")
    a.do("rt_sigqueueinfo 1 9 b:128")
    a.do("kill -1 9")
    a.tap.ok(guest.answers(), f"{a.what}: after SIGKILL to all envd answers")


def limits_of_envd(a, guest):
    """Root inside may lower what envd may use (that harms its own sandbox); a user may not."""
    if a.uid != 0:
        for what in (n for n in range(RLIMITS) if n != RLIMIT_CORE):
            a.refused(f"lowering limit {what} of envd", f"prlimit64 1 {what} h:{'00' * 16} 0", DENIED)
        a.refused("its priority", "setpriority 0 1 19", DENIED)
    if not silica.MICROVM:  # there a dump is made by the machine's own kernel, on the machine's disk
        a.do(f"prlimit64 1 {RLIMIT_CORE} h:{'ff' * 16} 0")
        core = [line for line in a.text("/proc/self/limits").splitlines() if "core" in line]
        a.tap.equal([line.split()[4:6] for line in core], [["1", "1"]], f"{a.what}: no dump of memory, whatever is asked for")
    a.refused("raising its priority", "setpriority 0 1 -20", DENIED)
    a.refused("a real-time class for it", "sched_setscheduler 1 1 h:01000000", DENIED)
    a.refused("raising a limit of it", "prlimit64 1 7 h:" + "ffffffffffffff7f" * 2 + " 0", DENIED)
    for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"):
        a.refused("moving to another group", f"open s:{path} 1", "ENOENT|EROFS|EACCES")
    a.tap.ok(guest.answers(), f"{a.what}: envd answers")


def main():
    harness.need_root()
    tap = harness.Tap()
    with silica.Server() as server:
        flags = attack.Flags(server)
        try:
            guest = guests.Guest(server)
            # Root of a machine is root of its kernel, envd included: only a user is kept from envd there.
            for uid in (1000,) if silica.MICROVM else (0, 1000):
                for name, steps in (("own descriptors", own_descriptors), ("numbers above", hidden_ones),
                                    ("working folder", working_folder), ("envd's descriptors", envd_descriptors),
                                    ("envd's memory", envd_memory), ("envd's program", envd_program)):
                    a = attack.Attack(tap, guest, guest.inst, uid, flags, name)
                    steps(a)
                    a.end()
                for name, steps in (("limits", limits_of_envd), ("signals", signals)):
                    steps(attack.Attack(tap, guest, guest.inst, uid, flags, name), guest)
            guest.kill()
        finally:
            flags.close()
    tap.end()


main()
