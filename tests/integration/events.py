#!/usr/bin/env python3
# timeout: 600
"""Limits and ends of sandboxes are told as what they are: in the end of the command, in the sandbox's
details, in events, and in the 404 of a sandbox that ended by itself. A whole server, real limits."""

import contextlib
import os
import pathlib
import signal
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402
from envd_rig import Stream  # noqa: E402

LIMIT_S = silica.limit(120)
PIDS = 48
CONFIG = f"[sandbox]\npids = {PIDS}\n"
FILL = """python3 -c 'import os
os.posix_fallocate(os.open("/root/fill", os.O_CREAT | os.O_WRONLY), 0, 1 << 42)'"""
COUNTED = not silica.MICROVM  # what a machine's own kernel counts is not seen from outside
KILLED = "its virtual machine ended: killed by signal 9" if silica.MICROVM else "its init was killed (signal 9)"
NONE = {"outOfMemory": 0, "processLimit": 0, "diskFull": 0, "inodesFull": 0}


def create(server, timeout=600):
    status, body = server.request("POST", "/v2/sandboxes",
                                  {"templateID": "base", "timeout": timeout})
    assert status == 201, (status, body)
    return body


def size(server, sandbox, member):
    """A limit as the template has it: (bytes, as it is told to people)."""
    mb = server.request("GET", f"/sandboxes/{sandbox['sandboxID']}")[1][member]
    return mb << 20, f"{mb >> 10} GiB" if mb % 1024 == 0 else f"{mb} MiB"


HOG = "head -c 64G /dev/zero | tail"  # wants more memory than the sandbox may have


def end_of(server, sandbox, script):
    """The end event of a shell script that runs as root in the sandbox."""
    message = {"process": {"cmd": "/bin/sh", "args": ["-c", script]}}
    stream = Stream(server.port, "process.Process/Start", message, {
        "E2b-Sandbox-Id": sandbox["sandboxID"], "E2b-Sandbox-Port": "49983",
        "X-Access-Token": sandbox["envdAccessToken"], "Authorization": "Basic cm9vdDo="})
    try:
        stream.pid()
        return stream.rest()[2]
    finally:
        stream.close()


def totals(server, sandbox):
    status, body = server.request("GET", f"/sandboxes/{sandbox['sandboxID']}")
    assert status == 200, (status, body)
    return body["silica"]


def events(server, sandbox, query="orderAsc=true&limit=100"):
    status, body = server.request("GET", f"/events/sandboxes/{sandbox['sandboxID']}?{query}")
    assert status == 200, (status, body)
    return body


def names(server, sandbox):
    return [e["type"] for e in events(server, sandbox)]


def total_of(server, sandbox, name, limit_s=LIMIT_S):
    """Waits until a total is no longer 0; the kernel's counts are looked at once in a while."""
    return silica.wait_until(lambda: totals(server, sandbox)[name], limit_s, f"{name} is told")


def event_of(server, sandbox, name):
    found = silica.wait_until(
        lambda: [e for e in events(server, sandbox) if e["type"] == f"silica.sandbox.{name}"],
        LIMIT_S, f"an event {name}")
    return found[-1]


def memory(server):
    sandbox = create(server)
    assert totals(server, sandbox) == NONE
    limit, text = size(server, sandbox, "memoryMB")
    end = end_of(server, sandbox, HOG + "; exit $?")
    assert end["exitCode"] == 137 and end["status"] == "exit status 137", end
    assert end["error"] == f"exit status 137: the sandbox ran out of memory (limit {text})", end
    assert end_of(server, sandbox, "exit 137")["error"] == "exit status 137"
    if not COUNTED:
        assert totals(server, sandbox) == NONE
        kill(server, sandbox)
        return
    assert total_of(server, sandbox, "outOfMemory") == 1
    event = event_of(server, sandbox, "out_of_memory")
    assert event["eventData"] == {"total": 1, "new": 1, "limit": limit}, event
    assert names(server, sandbox) == ["sandbox.lifecycle.created", "silica.sandbox.out_of_memory"]
    kill(server, sandbox)


def kill(server, sandbox):
    status, body = server.request("DELETE", f"/sandboxes/{sandbox['sandboxID']}")
    assert status == 204, (status, body)


def processes(server):
    sandbox = create(server)
    end = end_of(server, sandbox, f"for i in $(seq {2 * PIDS}); do sleep 300 & done; wait")
    assert end["exitCode"] not in (0, None), end
    assert end["error"] == (f"exit status {end['exitCode']}: the sandbox's limit of {PIDS} processes "
                            "was reached"), end
    if not COUNTED:
        kill(server, sandbox)
        return
    assert total_of(server, sandbox, "processLimit") >= 1
    assert event_of(server, sandbox, "process_limit")["eventData"]["limit"] == PIDS
    kill(server, sandbox)
    killed = events(server, sandbox)[-1]
    assert killed["type"] == "sandbox.lifecycle.killed", killed
    assert killed["eventData"]["processLimit"] >= 1, killed


def disk(server):
    sandbox = create(server)
    limit, text = size(server, sandbox, "diskSizeMB")
    end = end_of(server, sandbox, FILL)
    assert end["error"] == f"exit status 1: the sandbox's disk is full ({text})", end
    if COUNTED:
        assert total_of(server, sandbox, "diskFull") >= 1
        assert event_of(server, sandbox, "disk_full")["eventData"]["limit"] == limit
    assert end_of(server, sandbox, "rm /root/*; exit 1")["error"] == "exit status 1"
    kill(server, sandbox)


def init_of(server, sandbox):
    """envd of that sandbox, as the host sees it; of a machine its QEMU."""
    with contextlib.closing(sqlite3.connect(server.data / "state" / "silica.db")) as db:
        (pid,), = db.execute("SELECT pid FROM sandboxes WHERE id = ?", (sandbox["sandboxID"],))
    assert ("qemu-system" if silica.MICROVM else "envd") in pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace"), pid
    return pid


def init_killed(server):
    sandbox = create(server)
    path = f"/sandboxes/{sandbox['sandboxID']}"
    os.kill(init_of(server, sandbox), signal.SIGKILL)
    silica.wait_until(lambda: server.request("GET", path)[0] == 404, LIMIT_S, "it is gone")
    silica.wait_until(lambda: names(server, sandbox)[-1] == "sandbox.lifecycle.killed", LIMIT_S,
                      "its end is told")
    for method, tail, body in (("GET", "", None), ("DELETE", "", None),
                               ("POST", "/timeout", {"timeout": 5})):
        status, answer = server.request(method, path + tail, body)
        assert status == 404, (status, answer)
        start, _, reason = answer["message"].partition(": it ended at ")
        assert start == (f"Sandbox \"{sandbox['sandboxID']}\" doesn't exist or you don't have access "
                         "to it"), answer
        assert reason.endswith(f": {KILLED}"), answer
    data = events(server, sandbox)[-1]["eventData"]
    assert data["reason"] == "exit" and data["message"] == KILLED, data


def asked_and_expired(server):
    asked, expiring = create(server), create(server, timeout=2)
    status, _ = server.request("POST", f"/sandboxes/{asked['sandboxID']}/timeout", {"timeout": 900})
    assert status == 204
    kill(server, asked)
    assert names(server, asked) == ["sandbox.lifecycle." + n
                                    for n in ("created", "updated", "killed")]
    assert events(server, asked)[-1]["eventData"]["reason"] == "request"
    silica.wait_until(lambda: len(events(server, expiring)) == 2, LIMIT_S, "the other's time is over")
    assert events(server, expiring)[-1]["eventData"]["reason"] == "timeout"


def questions(server):
    status, newest = server.request("GET", "/events/sandboxes?limit=3")
    assert status == 200 and len(newest) == 3, newest
    status, oldest = server.request("GET", "/events/sandboxes?limit=100&orderAsc=true")
    assert [e["id"] for e in newest] == [e["id"] for e in oldest[:-4:-1]]
    assert len({e["id"] for e in oldest}) == len(oldest)
    status, page = server.request("GET", "/events/sandboxes?limit=2&offset=1&orderAsc=true")
    assert page == oldest[1:3], page
    kinds = "types=silica.sandbox.out_of_memory&types=silica.sandbox.process_limit"
    status, some = server.request("GET", f"/events/sandboxes?limit=100&orderAsc=true&{kinds}")
    assert {e["eventLabel"] for e in some} == ({"out_of_memory", "process_limit"} if COUNTED else set()), some
    assert server.request("GET", "/events/sandboxes/i0000000000000000000x")[0] == 404
    assert server.request("GET", "/capabilities")[1]["features"].count("events") == 1


def restart(server):
    """The totals are heard again, and not told again."""
    if not COUNTED:
        raise tap.Skip("what a machine's own kernel counts is not seen from outside")
    sandbox = create(server)
    end_of(server, sandbox, HOG)
    event_of(server, sandbox, "out_of_memory")
    before = events(server, sandbox)
    server.stop(signal.SIGTERM)
    server.start()
    assert totals(server, sandbox)["outOfMemory"] == 1
    end_of(server, sandbox, f"for i in $(seq {2 * PIDS}); do sleep 300 & done; wait")
    event_of(server, sandbox, "process_limit")  # what came after it was written, so it was as well
    after = [e for e in events(server, sandbox) if e["eventLabel"] != "process_limit"]
    assert after == before, (before, after)
    os.kill(init_of(server, sandbox), signal.SIGKILL)
    silica.wait_until(lambda: names(server, sandbox)[-1] == "sandbox.lifecycle.killed", LIMIT_S,
                      "its end is told")


def lost_while_away(server):
    sandbox = create(server)
    pid = init_of(server, sandbox)
    server.stop(signal.SIGTERM)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)  # the kernel needs a moment; either way it is gone
    server.start()
    silica.wait_until(lambda: names(server, sandbox)[-1] == "sandbox.lifecycle.killed", LIMIT_S,
                      "its end is told")
    data = events(server, sandbox)[-1]["eventData"]
    assert data["reason"] in ("lost", "exit"), data


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with tempfile.NamedTemporaryFile("w", prefix="silica-events-", suffix=".conf") as config:
        config.write(CONFIG)
        config.flush()
        os.chmod(config.name, 0o644)
        server = silica.Server(["--config", config.name])
        if t.case("the server starts", server.start):
            for case in (memory, processes, disk, init_killed, asked_and_expired, questions,
                         restart, lost_while_away):
                t.case(case.__name__, case, server)
            t.case("the server stops", server.stop)
            t.case("nothing is left", leaks.check, server)
            if t.failed:
                print("\n".join("# " + line for line in server.log_tail().splitlines()))
        server.remove()
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
