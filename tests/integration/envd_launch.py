#!/usr/bin/env python3
"""silica-envd as it is started in a sandbox: PID 1, the launch object, /init, tokens, REST."""

import fcntl
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from envd_process import refused  # noqa: E402
from envd_rig import basic, envd, wait_for  # noqa: E402

SECRET = "5e" * 32
CONTROL = {"X-Silica-Control": SECRET}
TOKEN = {"X-Access-Token": "tok"}


def init(e, headers=CONTROL, **members):
    status, h, body = e.request("POST", "/init", json.dumps(members), headers)
    assert h["X-Envd-Version"] and h["Cache-Control"] == "no-store", h
    return status, body


def control_secret(e):
    for headers in ({}, {"X-Silica-Control": "5e"}, {"X-Silica-Control": SECRET + "0"},
                    {"X-Silica-Control": ""}, TOKEN):
        assert init(e, headers, accessToken="stolen")[0] == 401, headers
    assert e.request("POST", "/freeze", "", {})[0] == 401
    assert e.request("POST", "/freeze", "", CONTROL)[0] == 501
    assert e.request("GET", "/envs")[0] == 200, "a refused /init installed its token"


def tokens(e):
    assert init(e, accessToken="tok", envVars={"G": "1"}, defaultUser="user",
                timestamp="2026-01-01T00:00:00Z")[0] == 204
    for method, path in (("GET", "/envs"), ("GET", "/metrics"), ("GET", "/nowhere"),
                         ("POST", "/process.Process/List"), ("POST", "/files/compose")):
        for headers in ({}, {"X-Access-Token": "to"}, {"X-Access-Token": "tokk"}, CONTROL):
            status, h, body = e.request(method, path, None, {**headers, "Origin": "http://o"})
            assert status == 401 and json.loads(body)["code"] == 401, (path, status, body)
            assert h["Access-Control-Allow-Origin"] == "*" and h["Vary"] == "Origin"
    assert e.request("GET", "/health")[0] == 204
    for headers, says in (({}, "missing signature"), ({"X-Access-Token": "x"}, "does not match")):
        status, _, body = e.request("GET", "/files?path=/etc/passwd", None, headers)
        assert status == 401 and says in json.loads(body)["message"], body
    for path in ("/files?path=/etc/passwd&signature=v1_x", "/files?path=a&signature="):
        assert e.request("GET", path)[0] == 401
        assert e.request("POST", path, b"x")[0] == 401
    assert e.request("GET", "/files?path=/etc/passwd", None, TOKEN)[0] == 200
    e.headers = dict(TOKEN)


def init_members(e):
    assert e.run("id -un; echo $G$E2B_SANDBOX$E2B_SANDBOX_ID$E2B_TEMPLATE_ID")[0] == \
        b"user\n1truei12345base\n"
    assert init(e, accessToken="old", envVars={"G": "2"}, timestamp="2025-01-01T00:00:00Z")[0] == 204
    assert e.run("echo $G")[0] == b"1\n", "a stale /init was applied"
    assert init(e, accessToken="tok", envVars={"H": "3"}, defaultWorkdir="/usr",
                timestamp="2026-01-02T00:00:00Z")[0] == 204
    assert e.run("echo $G$H; pwd")[0] == b"3\n/usr\n"
    assert e.run("pwd", cwd="~")[0].strip() == str(e.root / "home").encode()
    status, body = init(e, accessToken="")
    assert status == 400 and b"accessToken" in body
    assert init(e, caBundle="x")[0] == 400
    assert e.request("POST", "/init", "{", {**CONTROL})[0] == 400
    status, _, body = e.request("GET", "/envs")
    assert json.loads(body) == {"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": "i12345",
                                "E2B_TEMPLATE_ID": "base", "H": "3"}, body
    assert e.request("GET", "/envs", None, basic("ghost"))[0] == 401
    refused("unauthenticated", e.sh("true", headers=basic("ghost")).event)
    assert init(e, accessToken="tok", defaultUser="ghost")[0] == 204
    assert "invalid default user" in refused("unauthenticated", e.sh("true").event)
    assert init(e, accessToken="tok", defaultUser="root", defaultWorkdir="/")[0] == 204


def cgroups(e, file):
    file.write_bytes(b"")
    e.run("true")
    assert file.read_bytes() == b"0", "the child did not enter its group"


def marks(e):
    assert e.run("cat /run/e2b/.E2B_SANDBOX /run/e2b/.E2B_SANDBOX_ID /run/e2b/.E2B_TEMPLATE_ID")[0] \
        == b"truei12345base"


def first_process(e):
    """PID 1 reaps what is left to it, cannot be ended from inside, and keeps its memory to itself."""
    e.run("(sleep 0.1 & ) & sh -c 'sleep 0.1 &'; for s in 1 2 3 13 15; do kill -$s 1; done")
    zombies = "ps -eo stat= | grep -c Z"
    wait_for(lambda: e.run(zombies)[0].strip() == b"0", "no zombie is left")
    assert e.request("GET", "/health")[0] == 204
    assert e.run("ps -o pid=,args= -p 1")[0].split()[1].endswith(b"silica-envd")
    assert SECRET.encode() not in e.run("cat /proc/1/cmdline")[0]
    for file in ("mem", "exe", "fd/1"):  # to root, too
        assert e.run(f"cat /proc/1/{file} || echo closed")[0] == b"closed\n", file


def child_descriptors(e):
    out = e.run("ls /proc/self/fd")[0].split()
    assert out == [b"0", b"1", b"2", b"3"], out  # the last is the folder that ls reads


def metrics(e):
    status, h, body = e.request("GET", "/metrics")
    m = json.loads(body)
    assert status == 200 and h["Cache-Control"] == "no-store"
    assert m["cpu_count"] == 1 and m["mem_total"] == 1 << 28 and m["mem_total_mib"] == 256, m
    assert m["mem_used"] == 12345678 and 0 <= m["cpu_used_pct"] <= 100, m
    assert 0 < m["disk_used"] <= m["disk_total"] and abs(m["ts"] - time.time()) < 60


def cross_origin(e):
    ask = {"Origin": "http://o", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "x-a, x-b"}
    status, h, body = e.request("OPTIONS", "/process.Process/List", None, ask)
    assert (status, body) == (204, b"") and h["Access-Control-Allow-Methods"] == "POST"
    assert h["Access-Control-Allow-Headers"] == "x-a, x-b" and h["Access-Control-Max-Age"] == "7200"
    ask["Access-Control-Request-Method"] = "TRACE"
    assert e.request("OPTIONS", "/", None, ask)[1]["Access-Control-Allow-Origin"] is None
    status, h, _ = e.request("OPTIONS", "/health")
    assert status == 405 and h["Allow"] == "GET"
    status, _, body = e.request("GET", "/nowhere")
    assert (status, body) == (404, b"404 page not found\n")
    assert e.request("HEAD", "/health")[0] == 405
    assert e.request("POST", "/files/compose", "{}")[0] == 501


def folder_of_the_daemon(e, fd):
    """A folder that was passed to the daemon from outside is no place for a process to be in."""
    refused("invalid_argument", e.run, "pwd", cwd=f"/proc/self/fd/{fd}", headers=TOKEN)


def main():
    t = tap.Tap()
    with tempfile.TemporaryDirectory() as folder:
        tasks, usage = pathlib.Path(folder, "tasks"), pathlib.Path(folder, "usage")
        usage.write_text("12345678\n")
        tasks.write_bytes(b"")
        with open(tasks, "wb", buffering=0) as group, open(usage, "rb") as used:
            # Away from descriptor 3, where the launch object goes.
            fds = [fcntl.fcntl(f, fcntl.F_DUPFD_CLOEXEC, 20) for f in (group, used)]
            launch = {"sandboxId": "i12345", "templateId": "base", "controlSecret": SECRET,
                      "cgroupFds": fds[:1], "memoryBytes": 1 << 28, "cpuMillis": 1000,
                      "memoryUsageFd": fds[1]}
            outside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fds.append(fcntl.fcntl(outside, fcntl.F_DUPFD_CLOEXEC, 40))
            os.close(outside)
            with envd(True, launch, fds) as e:
                t.case("launch: cgroups", cgroups, e, tasks)
                for case in (control_secret, tokens, init_members, marks, first_process,
                             child_descriptors, metrics, cross_origin):
                    t.case(f"launch: {case.__name__}", case, e)
                t.case("launch: folder_of_the_daemon", folder_of_the_daemon, e, fds[2])
    return t.done()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
