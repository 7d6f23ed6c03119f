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
NEW_SECRET = "a7" * 32
MACHINE_IDS = ("i" + "a" * 20, "i" + "b" * 20)
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


def launch_of(sandbox_id, secret):
    """What a machine is told, and shows in its launch file."""
    return {"sandboxId": sandbox_id, "templateId": "base", "controlSecret": secret, "machine": True,
            "entropy": os.urandom(32).hex(), "memoryBytes": 1 << 30, "cpuMillis": 1000}


def machine_boots(e, file):
    """Its launch file says what descriptor 3 said: nothing becomes new."""
    before = e.run("cat /proc/sys/kernel/hostname")[0]
    assert init(e, defaultUser="user", envVars={"OF": "template"})[0] == 204
    assert before == e.run("cat /proc/sys/kernel/hostname")[0] and not (e.root / "etc/hosts").exists()
    assert e.run("id -un; echo $OF$E2B_SANDBOX_ID")[0] == f"user\ntemplate{MACHINE_IDS[0]}\n".encode()
    assert init(e, {}, accessToken="x")[0] == 401


def machine_file_bad(e, file):
    """No secret opens it, the snapshot's least of all, until the file can be read."""
    good = file.read_text()
    for text in (None, "", good[:-9], good.replace("true", "false"), good + "\n" * 4096):
        file.unlink() if text is None else file.write_text(text)
        for secret in (SECRET, NEW_SECRET):
            assert init(e, {"X-Silica-Control": secret})[0] == 503, text
    file.write_text(good)
    assert init(e)[0] == 204
    assert e.request("GET", "/health")[0] == 204


def machine_cloned(e, file):
    """The file is another sandbox's: so the memory is a snapshot's, and the daemon becomes that one."""
    stream = e.sh("exit 7", tag="of-the-template")
    pid = stream.pid()
    stream.rest()
    file.write_text(json.dumps(launch_of(MACHINE_IDS[1], NEW_SECRET)).ljust(4096, "\n"))
    assert init(e, CONTROL)[0] == 401, "the snapshot's secret"
    assert not (e.root / "etc/hosts").exists(), "somebody without the secret made it so"
    new = {"X-Silica-Control": NEW_SECRET}
    status, body = init(e, new, timestamp="2026-01-01T00:00:00Z", accessToken="tok")
    assert status == 503, "the clock was not set"  # the rig forbids that; all is done again
    assert e.request("GET", "/envs")[0] == 200, "an /init that failed installed its token"
    assert init(e, new)[0] == 204
    refused("not_found", e.stream("process.Process/Connect", {"process": {"pid": pid}}).event)
    out = e.run("cat /proc/sys/kernel/hostname; id -un; echo $OF$E2B_SANDBOX_ID; getent hosts $(cat "
                "/etc/hostname); cat /run/e2b/.E2B_SANDBOX_ID")[0].decode().split()
    assert out == [MACHINE_IDS[1], "root", MACHINE_IDS[1], "127.0.1.1"] + [MACHINE_IDS[1]] * 2, out
    machine_id = (e.root / "etc/machine-id").read_text()
    assert len(machine_id) == 33 and int(machine_id, 16) != 0, machine_id
    assert json.loads(e.request("GET", "/metrics")[2])["mem_total"] == 1 << 30
    assert init(e, new)[0] == 204 and (e.root / "etc/machine-id").read_text() == machine_id
    assert init(e, CONTROL)[0] == 401


def memory_has(e, needles):
    """Which of the byte strings stand in the daemon's writable memory."""
    pid, found = e.pid_inside(), set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            ends, mode = line.split()[:2]
            first, end = (int(x, 16) for x in ends.split("-"))
            if mode.startswith("rw") and end - first <= 1 << 28:  # a sanitizer's shadow is larger
                mem.seek(first)
                data = mem.read(end - first)
                found |= {n for n in needles if n in data}
    return found


def machine_forgets(e, file):
    """Where its random numbers come from is no longer in the memory, from which root inside may read."""
    told = json.loads(file.read_text())
    entropy = told["entropy"]
    present = told["controlSecret"].encode()  # what it still needs: the search finds what is there
    assert memory_has(e, [entropy.encode(), bytes.fromhex(entropy), present]) == {present}


def machine(t, folder):
    file = pathlib.Path(folder, "launch")
    boot = launch_of(MACHINE_IDS[0], SECRET)
    file.write_text(json.dumps(boot))
    with envd(True, {**boot, "launchFile": str(file), "memoryBytes": 1 << 28}) as e:
        for case in (machine_boots, machine_file_bad, machine_cloned, machine_forgets):
            t.case(f"launch: {case.__name__}", case, e, file)


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
        machine(t, folder)
    return t.done()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
