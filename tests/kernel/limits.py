#!/usr/bin/env python3
"""The whole server on version 2 of control groups: start, output, status, kill; and limits that hold.

Runs inside the machine of tests/kernel/run, with its template `base`; anywhere else with control groups
of version 2 alone as well.
"""

import http.client
import json
import pathlib
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60
CGROUP = pathlib.Path("/sys/fs/cgroup")
MIB = 1 << 20
# Starts processes until it may not, and leaves them all there.
BOMB = """
import os, time
made = 0
try:
    while made < 100000:
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
except BlockingIOError:
    pass
print("made", made, flush=True)
time.sleep(1000)
"""
SPIN = "import os\nos.fork()\nprint('up', flush=True)\nwhile True: pass"
HOG = "x = bytearray({mib} << 20)\nprint('held', flush=True)"
SPIN_S = 3
PIDS = 1024  # the configuration's default


def run(server, *words):
    done = subprocess.run([str(silica.BUILD / "silica"), "run", "--", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=LIMIT_S, check=False, env=server.env)
    return done.returncode, done.stdout, done.stderr


class Guest:
    """A sandbox, with what it starts reached through the edge."""

    def __init__(self, server):
        self.server = server
        status, self.info = server.request("POST", "/v2/sandboxes", {"templateID": "base"})
        assert status == 201, (status, self.info)
        self.id = self.info["sandboxID"]
        self.group = CGROUP / f"silica-{server.instance}" / self.id
        self.conn = None

    def python(self, code, until):
        """Starts it; returns when it has printed `until`. It goes on running."""
        message = json.dumps({"process": {"cmd": "python3", "args": ["-c", code]}}).encode()
        self.conn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT_S)
        self.conn.request("POST", "/process.Process/Start", struct.pack(">BI", 0, len(message)) + message,
                          {"E2b-Sandbox-Id": self.id, "E2b-Sandbox-Port": "49983",
                           "X-Access-Token": self.info["envdAccessToken"],
                           "Content-Type": "application/connect+json"})
        answer, seen = self.conn.getresponse(), b""
        while until not in seen:
            piece = answer.read1(65536)
            assert piece, seen
            seen += piece

    def number(self, name, key=None):
        text = (self.group / "user" / name).read_text(encoding="ascii")
        if key is None:
            return int(text)
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key + " "))

    def kill(self):
        status, body = self.server.request("DELETE", f"/sandboxes/{self.id}")
        assert status == 204, (status, body)
        if self.conn:
            self.conn.close()
        assert not self.group.exists(), "its control groups are still there"


def starts_and_ends(server):
    assert run(server, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    assert run(server, "sh", "-c", "kill -9 $$")[0] == 137
    status, body = server.request("GET", "/v2/sandboxes")
    assert (status, body) == (200, []), (status, body)


def detail(server, guest):
    status, body = server.request("GET", f"/sandboxes/{guest.id}")
    assert status == 200, body
    return body


def controllers(server):
    guest = Guest(server)
    try:
        for group in ("envd", "user"):
            names = (guest.group / group / "cgroup.controllers").read_text(encoding="ascii").split()
            assert {"memory", "cpu", "pids"} <= set(names), (group, names)
        assert guest.number("memory.max") == detail(server, guest)["memoryMB"] * MIB
        assert guest.number("memory.swap.max") == 0
        assert not (guest.group / "cgroup.procs").read_text(encoding="ascii"), "a process outside the leaves"
    finally:
        guest.kill()


def fork_bomb(server):
    guest = Guest(server)
    try:
        guest.python(BOMB, b'"stdout"')
        assert guest.number("pids.current") == PIDS, guest.number("pids.current")
        assert guest.number("pids.events", "max") > 0
        assert run(server, "echo", "well")[:2] == (0, b"well\n"), "a neighbour suffers"
    finally:
        guest.kill()


def memory_ends_inside(server):
    guest = Guest(server)
    try:
        limit = detail(server, guest)["memoryMB"]
        status, output, _ = run(server, "python3", "-c", HOG.format(mib=limit * 2))
        assert (status, output) == (137, b""), (status, output)
        status, output, _ = run(server, "python3", "-c", HOG.format(mib=limit // 2))
        assert (status, output) == (0, b"held\n"), (status, output)
        guest.python("import os\nif os.fork() == 0: x = bytearray(%d << 20)\nos.wait()\nprint('lost', flush=True)\n"
                     "import time\ntime.sleep(1000)" % (limit * 2), b'"stdout"')
        assert guest.number("memory.events", "oom_kill") == 1
        envd = (guest.group / "envd" / "memory.events").read_text(encoding="ascii")
        assert "oom_kill 0" in envd, envd
        assert server.process.poll() is None
    finally:
        guest.kill()


def cpu_is_shared_out(server):
    """Two processes that do nothing but count get together what the limit gives them."""
    guest = Guest(server)
    try:
        cores = detail(server, guest)["cpuCount"]
        guest.python(SPIN, b'"stdout"')
        used, began = guest.number("cpu.stat", "usage_usec"), time.monotonic()
        time.sleep(SPIN_S)
        used, took = guest.number("cpu.stat", "usage_usec") - used, time.monotonic() - began
        assert used / 1e6 <= took * cores * 1.25, (used, took, cores)
        assert guest.number("cpu.stat", "nr_throttled") > 0, "nobody was held back"
    finally:
        guest.kill()


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        t.case("a command's output and status arrive, and its sandbox ends", starts_and_ends, server)
        t.case("the controllers are handed down to both leaves", controllers, server)
        t.case("a fork bomb is stopped and ended, and a neighbour works", fork_bomb, server)
        t.case("a lack of memory ends what is inside, and only that", memory_ends_inside, server)
        t.case("processor time is limited", cpu_is_shared_out, server)
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
