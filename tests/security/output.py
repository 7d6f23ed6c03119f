#!/usr/bin/env python3
"""What a sandbox says without end costs little: output of commands, and the daemon's own log.

A gibibyte of output, for a reader that sleeps, one that reads, and none: neither silicad nor envd holds more
than a few MiB of it. And what runs inside cannot reach the pipe that envd's messages go through.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import abuse  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

MIB = 1 << 20
OUTPUT = (1 << 30) // silica.limit(1)
HELD_MAX = 64 * MIB
LIMIT_S = silica.limit(240)
REACH = """
import errno, os
said = []
for path in ("/proc/1/fd/1", "/proc/1/fd/2", "/dev/fd/3", "/proc/self/fd/3"):
    try:
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        said.append(path)
    except OSError as e:
        if e.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT):
            said.append(f"{path} {e}")
mine = [os.stat(f"/proc/self/fd/{n}") for n in (0, 1, 2)]
print(said, [s.st_uid for s in mine if s.st_uid == 65534])
"""


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmRSS:"))


class Held:
    """How much more silicad and envd hold than when this was made."""

    def __init__(self, server, sandbox):
        names = {pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip(): pid
                 for pid in children(server.process.pid)}
        self.sandbox, self.pids = sandbox, {"silicad": names["silicad"]}
        if not silica.MICROVM:
            below = f"silica-{server.instance}/{sandbox.id}/envd/cgroup.procs"
            procs = next(path for path in (pathlib.Path("/sys/fs/cgroup/memory", below), pathlib.Path("/sys/fs/cgroup", below))
                         if path.exists())
            self.pids["envd"] = int(procs.read_text(encoding="ascii").split()[0])
        self.before = self.now()

    def now(self):
        sizes = {name: resident(pid) for name, pid in self.pids.items()}
        if silica.MICROVM:  # envd's are pages of the machine: looked at inside
            text, _ = self.sandbox.run("/bin/grep", "VmRSS", "/proc/1/status", client=abuse.Client(self.sandbox.server))
            sizes["envd"] = int(text.split()[1]) << 10
        return sizes

    def check(self, when):
        more = {name: size - self.before[name] for name, size in self.now().items()}
        print(f"# {when}: " + ", ".join(f"{name} {size >> 20} MiB more" for name, size in more.items()), flush=True)
        assert max(more.values()) < HELD_MAX, (when, more)


def start(sandbox, script):
    client = abuse.Client(sandbox.server, LIMIT_S)
    client.send(sandbox._start_bytes("/bin/sh", ["-c", script], "user"))
    status, fields = client.head()
    assert status == 200, status
    return client, client.pieces(fields)


def sleeping_reader(server):
    sandbox = abuse.Sandbox(server)
    try:
        held = Held(server, sandbox)
        readers = [start(sandbox, "yes") for _ in range(4)]
        for _ in range(5):
            time.sleep(1)
            held.check("nobody reads")
        sandbox.health()
        for client, _ in readers:
            client.close()
    finally:
        sandbox.kill()


def slow_reader(server):
    sandbox = abuse.Sandbox(server)
    try:
        held = Held(server, sandbox)
        client, pieces = start(sandbox, f"head -c {OUTPUT} /dev/zero")
        total, mark = 0, 0
        for piece in pieces:
            total += len(piece)
            if total > mark:
                time.sleep(0.2)
                held.check(f"{total >> 20} MiB were read")
                mark += OUTPUT // 4
        assert total > OUTPUT * 4 // 3, total  # base64
        client.close()
        held.check("at the end")
    finally:
        sandbox.kill()


def no_reader(server):
    """The process goes on without anybody, and ends."""
    sandbox = abuse.Sandbox(server)
    try:
        held = Held(server, sandbox)
        client, pieces = start(sandbox, f"head -c {OUTPUT} /dev/zero; echo over >/tmp/over")
        next(pieces)
        client.close()

        def over():
            held.check("nobody is there")
            return sandbox.run("/bin/sh", "-c", "cat /tmp/over 2>/dev/null || :")[0] == b"over\n"

        silica.wait_until(over, LIMIT_S, "the process ends", 1)
    finally:
        sandbox.kill()


def log_out_of_reach(server):
    sandbox = abuse.Sandbox(server)
    try:
        # Root of a machine may have its console: what it writes there is read in pieces and quoted.
        for user in ("user",) if silica.MICROVM else ("root", "user"):
            text, _ = sandbox.run("/usr/bin/python3", "-c", REACH, user=user)
            assert text == b"[] []\n", (user, text)
    finally:
        sandbox.kill()


def uploads_to_memory(server):
    """They count as envd's own memory, all together: refused before the sandbox would end for it."""
    sandbox = abuse.Sandbox(server)

    def upload(path, size):
        client = abuse.Client(server, LIMIT_S)
        status, text = client.request("POST", f"/files?path={path}&username=user", bytes(size),
                                      [*sandbox.guest, ("Content-Type", "application/octet-stream")])
        client.close()
        return status, text

    try:
        assert upload("/dev/shm/one", 100 * MIB)[0] == 200
        status, text = upload("/dev/shm/two", 64 * MIB)
        assert status == 507 and b"upload to the disk" in text, (status, text)
        sandbox.run("/bin/rm", "-f", "/dev/shm/one", "/dev/shm/two")
        assert upload("/dev/shm/three", 100 * MIB)[0] == 200, "what was removed counts no more"
        assert upload("/tmp/four", 300 * MIB)[0] == 200, "the disk takes it"
        assert sandbox.run("/bin/sh", "-c", "stat -c %s /tmp/four /dev/shm/three")[0].split() == \
            [str(300 * MIB).encode(), str(100 * MIB).encode()]
    finally:
        sandbox.kill()


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        t.case("readers that sleep", sleeping_reader, server)
        t.case("a reader of 1 GiB", slow_reader, server)
        t.case("no reader", no_reader, server)
        t.case("uploads to memory", uploads_to_memory, server)
        t.case("the daemon's log is out of reach", log_out_of_reach, server)
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
