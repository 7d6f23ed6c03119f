#!/usr/bin/env python3
"""Limits hold: memory, processes and CPU of what runs inside, while process 1 goes on answering."""

import ctypes
import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402


def group_file(h, inst, controller, name, v2_name):
    for path in (f"/sys/fs/cgroup/{controller}/silica-{h.number}/{inst.id}/user/{name}",
                 f"/sys/fs/cgroup/silica-{h.number}/{inst.id}/user/{v2_name}"):
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                return f.read().strip()
    return None


def v2_options():
    """The options of the hierarchy of version 2."""
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        return next((line.split()[-1].split(",") for line in f if " - cgroup2 " in line), [])


def host_can_watch():
    fd = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def shared(tap, h, inst, other):
    """What the kernel counts for a user or for the whole host is not used up by one sandbox."""
    ns_get_owner_uid = 0xB704
    fd = os.open(f"/proc/{inst.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    owner = struct.unpack("=I", fcntl.ioctl(fd, ns_get_owner_uid, b"\0" * 4))[0]
    os.close(fd)
    base = harness.SANDBOX_UID_BASE + (h.number * 2048 + inst.slot) * 65536
    tap.equal(owner, base, "what it uses is counted for its own id on the host")
    took = h.ask(inst, "take inotify")[0].split()
    tap.ok(int(took[1]) > 0 and took[2] in ("EMFILE", "ok"), "one sandbox takes all inotify instances it can get", took)
    tap.ok(host_can_watch(), "the host has some left")
    tap.ok(int(h.ask(other, "as 1000 take inotify")[0].split()[1]) > 0, "so has a neighbour")
    took = h.ask(inst, "take pty")[0].split()
    tap.ok(64 <= int(took[1]) <= 256 and took[2] == "ENOSPC", "terminals have a limit for each sandbox", took)
    tap.ok(int(h.ask(other, "as 1000 take pty")[0].split()[1]) >= 64, "and a neighbour has its own")


def main():
    harness.need_root()
    options = v2_options()
    tap, h = harness.Tap(), harness.Helper()
    try:
        c = h.client()
        before = h.snapshot()
        inst = c.start(memory=64 * harness.MIB, pids=20, cpu=500)
        tap.equal(group_file(h, inst, "memory", "memory.limit_in_bytes", "memory.max"), str(64 * harness.MIB),
                  "the memory limit is set")
        tap.ok(group_file(h, inst, "memory", "memory.kmem.tcp.limit_in_bytes", "memory.max")
               in (str(16 * harness.MIB), str(64 * harness.MIB)), "buffers of sockets are limited")
        tap.ok(group_file(h, inst, "cpu", "cpu.cfs_quota_us", "cpu.max") in ("10000", "10000 20000"),
               "the CPU limit is set")
        tap.equal(h.ask(inst, "as 1000 hog 16"), ["hog ok"], "memory below the limit is given")
        tap.equal(h.ask(inst, "as 1000 hog 200"), ["killed 9"], "above it the process is killed")
        tap.equal(h.ask(inst, "as 0 hog 200"), ["killed 9"], "root's too")
        made, why = h.ask(inst, "as 1000 forks 100")[0].split()[1:]
        tap.ok(int(made) < 20 and why == "EAGAIN", "no more processes than the limit", f"{made} {why}")
        tap.equal(h.ask(inst, "cat /etc/hostname"), [f"cat {inst.id}"], "process 1 answers after all that")
        groups = [line.split(":", 2) for line in harness.facts_of(h.ask(inst, "as 1000 facts"))["cgroup"]]
        limited = [path for _, names, path in groups if names in ("memory", "cpu", "pids", "cpu,cpuacct", "")]
        tap.ok(limited and all(path.endswith("/user") for path in limited), "children run in the limited group", groups)
        tap.ok(all("silica" not in path for _, _, path in groups), "and see no path of the host's groups", groups)
        other = c.start(cpu=1000 * os.cpu_count())
        part = 1000 * (os.cpu_count() - 1) if os.cpu_count() > 1 else 800
        tap.ok(group_file(h, other, "cpu", "cpu.cfs_quota_us", "cpu.max") in (str(part * 20), f"{part * 20} 20000"),
               "no sandbox gets the whole machine", group_file(h, other, "cpu", "cpu.cfs_quota_us", "cpu.max"))
        if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 0):
            tap.ok("favordynmods" in v2_options(), "moves between groups are favoured", v2_options())
            tap.ok(set(options) <= set(v2_options()), "with the options that were there", (options, v2_options()))
        shared(tap, h, inst, other)
        c.stop(inst.id)
        c.stop(other.id)
        tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
