#!/usr/bin/env python3
"""What one sandbox makes of the kernel's objects is charged to it, or has a limit, or is refused.

For each kind: a process inside makes as many as it can. It must be ended for want of memory, or be refused
with the error that is written here, or what it holds must show in the memory of its group. Each time envd
goes on, out of whose group nobody is killed, and a neighbour's command runs.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import abuse  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

KILLED = "killed"  # for want of memory
PRELUDE = """
import ctypes, errno, fcntl, mmap, os, select, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *words):
    got = getattr(libc, name)(*words)
    if got < 0:
        raise OSError(ctypes.get_errno(), name)
    return got
def many(make, limit):
    n, why, keep = 0, "enough", []
    try:
        while n < limit:
            keep.append(make(n))
            n += 1
    except OSError as e:
        why = errno.errorcode[e.errno]
    print("made", n, why, flush=True)
    print("held", flush=True)
    time.sleep(1000)
"""
# name -> (how it may end besides KILLED, least bytes charged for each, code)
KINDS = {
    "memory": ((), 0, "many(lambda n: b'x' * (16 << 20), 512)"),
    "files in /dev/shm": (("ENOSPC",), 1 << 20, """
def one(n):
    with open(f"/dev/shm/{n}", "wb", buffering=0) as f:
        f.write(bytes(1 << 20))
many(one, 8192)"""),
    "inodes of /dev/shm": (("ENOSPC", "enough"), 300, """
many(lambda n: os.close(os.open(f"/dev/shm/{n}", os.O_CREAT | os.O_WRONLY)), 50000)"""),
    "System V shared memory": (("ENOSPC",), 1 << 20, """
libc.shmat.restype = ctypes.c_void_p
many(lambda n: ctypes.memset(libc.shmat(call("shmget", 0, 1 << 20, 0o1600), None, 0), 1, 1 << 20), 8192)"""),
    "System V semaphores": (("ENOSPC",), 32000 * 8, """
many(lambda n: call("semget", 0, 32000, 0o1600), 32000)"""),
    "System V messages": (("ENOSPC", "enough"), 8192, """
text = ctypes.create_string_buffer(8200)
struct.pack_into("q", text, 0, 1)
def one(n):
    call("msgsnd", call("msgget", 0, 0o1600), text, 8192, 0o4000)
many(one, 20000)"""),
    "POSIX message queues": (("EMFILE", "ENOSPC"), 0, """
many(lambda n: call("mq_open", b"/q%d" % n, os.O_RDWR | os.O_CREAT, 0o600, None), 1000)"""),
    "buffers of unix sockets": (("EMFILE", "ENOBUFS"), 65536, """
def one(n):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.setblocking(False)
    try:
        while True:
            a.send(bytes(65536))
    except BlockingIOError:
        return a, b
many(one, 40000)"""),
    "descriptors under way": (("ETOOMANYREFS", "EMFILE"), 0, """
end = os.pipe()[0]
def one(n):
    a, b = socket.socketpair()
    a.setblocking(False)
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("250i", *[end] * 250))])
    a.close()
    return b
many(one, 100000)"""),
    "full pipes": (("EMFILE",), 4096, """
def one(n):
    r, w = os.pipe()
    os.set_blocking(w, False)
    try:
        while True:
            os.write(w, bytes(65536))
    except BlockingIOError:
        return r, w
many(one, 500000)"""),
    "open files": (("EMFILE",), 100, "many(lambda n: os.open('/dev/null', 0), 2000000)"),
    "watches of epoll": (("ENOSPC", "enough"), 64, """
end = os.pipe()[0]
sets, ends = [select.epoll() for _ in range(20)], [os.dup(end) for _ in range(2000)]
many(lambda n: sets[n // 2000].register(ends[n % 2000], select.EPOLLIN), 40000)"""),
    "timers": (("EAGAIN", "enough"), 128, """
number = ctypes.c_int()
many(lambda n: call("timer_create", 1, None, ctypes.byref(ctypes.c_void_p())), 50000)"""),
    "pending signals": (("EAGAIN",), 0, """
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
many(lambda n: call("sigqueue", os.getpid(), 40, 0), 5000000)"""),
    "page tables": (("enough",), 3500, """
m = mmap.mmap(-1, 1 << 35, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
many(lambda n: m[n << 21], 1 << 14)"""),
    "mappings": (("ENOMEM",), 100, "many(lambda n: mmap.mmap(-1, 4096, prot=1 + n % 2 * 2), 2000000)"),
    "keys": (("EPERM", "ENOSYS"), 0, "many(lambda n: call('syscall', 248, b'user', b'k', b'x', 1, -2), 10)"),
    "user namespaces": (("EPERM", "ENOSYS"), 0, "many(lambda n: call('unshare', 0x10000000), 10)"),
    "mounts": (("EPERM", "ENOSYS"), 0, "many(lambda n: call('mount', b'none', b'/tmp', b'tmpfs', 0, None), 10)"),
}
BYTES_OF_OPEN_FILE = 128
REFUSED = ("keys", "user namespaces", "mounts")


class Group:
    """A control group's files, of either version."""

    def __init__(self, server, sandbox, leaf):
        below = f"silica-{server.instance}/{sandbox.id}/{leaf}"
        v1 = pathlib.Path("/sys/fs/cgroup/memory", below)
        self.is_v1 = v1.exists()
        self.folder = v1 if self.is_v1 else pathlib.Path("/sys/fs/cgroup", below)

    def used(self):
        name = "memory.usage_in_bytes" if self.is_v1 else "memory.current"
        return int((self.folder / name).read_text(encoding="ascii"))

    def kills(self):
        name = "memory.oom_control" if self.is_v1 else "memory.events"
        text = (self.folder / name).read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def take(server, sandbox, code):
    """(how many, how it ended, bytes that the group holds more than before)"""
    user = Group(server, sandbox, "user")
    sandbox.run_true()
    before = user.used()
    start = sandbox._start_bytes("/usr/bin/python3", ["-c", PRELUDE + code], "user")
    stream = abuse.Abuse(sandbox, start)
    sandbox.streams.append(stream)
    try:
        stream.wait("held")
    except RuntimeError as why:
        assert user.kills() > 0 or silica.MICROVM, why
        return 0, KILLED, 0
    _, n, how = next(line for line in stream.text.splitlines() if line.startswith("made ")).split()
    return int(n), how, user.used() - before


def kind(server, neighbour, name):
    if silica.MICROVM:
        raise tap.Skip("objects of a machine's own kernel are in its memory: none is the host's")
    ends, bytes_each, code = KINDS[name]
    sandbox = abuse.Sandbox(server)
    try:
        n, how, charged = take(server, sandbox, code)
        print(f"# {name}: {n}, {how}, {charged >> 10} KiB", flush=True)
        assert how == KILLED or how in ends, (n, how)
        assert how == KILLED or n > 0 or name in REFUSED, "none at all"
        assert charged >= n * bytes_each, f"{n} of them cost only {charged} bytes"
        neighbour.run_true()
        sandbox.health()
        sandbox.list()
        assert Group(server, sandbox, "envd").kills() == 0, "a process of envd's own group was killed"
        with open("/dev/null", "rb"):
            pass
    finally:
        sandbox.kill()


def all_files(server, neighbour):
    """Every process that is allowed opens every file that it can: the host has some left."""
    sandbox = abuse.Sandbox(server)
    try:
        code = """
import resource
count = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for i in range(40):
    if os.fork() == 0:
        break
many(lambda n: os.open("/dev/null", 0), count)"""
        take(server, sandbox, code)
        with open("/proc/sys/fs/file-nr", encoding="ascii") as f:
            used, _, most = map(int, f.read().split())
        print(f"# {used} files of {most} are open on the host")
        neighbour.run_true()
        with open("/proc/meminfo", encoding="ascii") as f:
            memory = int(f.readline().split()[1]) << 10
        assert most >= memory // BYTES_OF_OPEN_FILE, "the host has fewer files than memory for them"
        assert used < most
        pid = os.fork()
        if pid == 0:  # a user without rights
            os.setgid(65534)
            os.setuid(65534)
            os.open("/dev/null", os.O_RDONLY)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0, "nobody can open a file on the host"
    finally:
        sandbox.kill()


def limits_inside(server):
    sandbox = abuse.Sandbox(server)
    try:
        text, _ = sandbox.run("/usr/bin/python3", "-c", """
import resource as r
for name in ("NOFILE", "CORE", "MEMLOCK", "NICE", "RTPRIO"):
    print(name, *r.getrlimit(getattr(r, "RLIMIT_" + name, {"NICE": 13, "RTPRIO": 14}.get(name))))""")
        limits = {line.split()[0]: tuple(map(int, line.split()[1:])) for line in text.decode().splitlines()}
        soft, hard = limits.pop("NOFILE")
        assert 1024 <= soft <= hard <= 524288, (soft, hard)
        assert max(limits.pop("CORE")) <= 1, "room for a core file"
        assert limits == {"MEMLOCK": (8 << 20, 8 << 20), "NICE": (0, 0), "RTPRIO": (0, 0)}, limits
    finally:
        sandbox.kill()


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        neighbour = abuse.Sandbox(server)
        t.case("limits of a process", limits_inside, server)
        for name in KINDS:
            t.case(name, kind, server, neighbour, name)
        t.case("all files of all processes", all_files, server, neighbour)
        neighbour.kill()
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
