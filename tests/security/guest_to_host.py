#!/usr/bin/env python3
# timeout: 300
"""A hostile daemon in the sandbox against silicad: whatever process 1 of a sandbox answers, to the control plane
or to a client through the edge, the server goes on, grows by nothing, and others notice nothing."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 120
GROWTH_KIB = 48 * 1024
AT_INIT = ("error", "garbage", "drip", "head", "status", "interim", "upgrade", "never", "close", "short", "negative",
           "body", "chunk")
# Plays that can be no answer at all: the client must get an error of the edge's own.
NO_ANSWER = ("garbage", "head", "status", "interim", "close", "negative", "overflow", "two-lengths", "both",
             "split-cr", "split-lf", "folded", "space", "version", "code")
ENDLESS = ("body", "head", "status", "chunk", "interim", "trailer")


def make_templates(folder):
    """One for each play at /init: an empty root, and the name of the play in it."""
    (folder / "aliases").mkdir(parents=True)
    for n, mode in enumerate(("ok", *AT_INIT)):
        name = f"hostile{n:02}".ljust(20, "0")
        root = folder / name / "rootfs"
        for part in ("etc", "proc", "sys", "dev", "tmp", "root", "home/user"):
            (root / part).mkdir(parents=True)
        (root / "mode").write_text(mode + "\n")
        (folder / name / "template.json").write_text(json.dumps({
            "id": name, "alias": mode, "buildId": "16c0d05b-97a9-4408-b563-bd8f0062c655", "cpuCount": 1,
            "memoryMB": 64, "diskMB": 64, "createdAt": "2026-01-01T00:00:00Z", "envdVersion": "0.6.13"}))
        (folder / "aliases" / mode).write_text(name + "\n")


def make_build(folder):
    """The programs of the build, with the hostile one in envd's place."""
    for name in ("silica", "silicad", "silica-priv", "silica-dns"):
        if (path := silica.BUILD / name).exists():
            shutil.copy2(path, folder / name)
    for path in silica.BUILD.glob("libsilica.so*"):
        shutil.copy2(path, folder / path.name, follow_symlinks=False)
    hostile = next(p for p in silica.BUILD.rglob("hostile-envd") if p.is_file() and os.access(p, os.X_OK))
    shutil.copy2(hostile, folder / "silica-envd")


def daemon_pid(server):
    """silicad: the supervisor's child of that name."""
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return next(int(pid) for pid in children.split()
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "silicad\n")


def resident_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def create(server, template):
    return server.request("POST", "/v2/sandboxes", {"templateID": template, "timeout": 280})


def connect(server, sandbox, play):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    conn.request("GET", f"/play/{play}", None, {"Host": f"49983-{sandbox['sandboxID']}.localhost",
                                                "X-Access-Token": sandbox["envdAccessToken"]})
    return conn


def is_served(server, good):
    """The API and another sandbox answer."""
    assert server.request("GET", f"/sandboxes/{good['sandboxID']}")[0] == 200
    conn = connect(server, good, "ok")
    answer = conn.getresponse()
    assert (answer.status, answer.read()) == (200, b"ok\n"), answer.status
    conn.close()


def at_init(server, good, hostile):
    """All at once: each creation fails by itself with a reason, and its sandbox is gone."""
    with concurrent.futures.ThreadPoolExecutor(len(AT_INIT)) as pool:
        answers = {mode: pool.submit(create, server, mode) for mode in AT_INIT}
        while not all(a.done() for a in answers.values()):
            is_served(server, good)
            time.sleep(0.2)
    for mode, answer in answers.items():
        status, body = answer.result()
        if mode in ("body", "short", "chunk") and status == 201:
            server.request("DELETE", f"/sandboxes/{body['sandboxID']}")  # its status was 200, which is all that counts
            continue
        assert status >= 500 and body["message"], (mode, status, body)
    status, listed = server.request("GET", "/v2/sandboxes")
    assert status == 200 and {s["sandboxID"] for s in listed} == {good["sandboxID"], hostile["sandboxID"]}, listed


def no_answer(server, hostile, play):
    conn = connect(server, hostile, play)
    try:
        answer = conn.getresponse()
        body = answer.read(1 << 16)  # not all: it may have no end
        assert answer.status in (502, 504), (answer.status, body)
        assert answer.getheader("X-Evil") is None and b"evil" not in body, body
    except http.client.RemoteDisconnected:
        pass  # refused without a word is refused
    finally:
        conn.close()


def cut(server, hostile):
    """A body that ends early is never whole for the client."""
    for play in ("short", "chunk-size"):
        conn = connect(server, hostile, play)
        try:
            answer = conn.getresponse()
            if answer.status == 502:
                continue
            whole = answer.read()
            raise AssertionError((play, answer.status, whole))
        except (http.client.IncompleteRead, ConnectionError, http.client.RemoteDisconnected, ValueError):
            pass
        finally:
            conn.close()


def second_answer(server, hostile, good):
    """What follows a whole answer goes to nobody, on this connection or another."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as s:
        request = (f"GET /play/long HTTP/1.1\r\nHost: 49983-{hostile['sandboxID']}.localhost\r\n"
                   f"X-Access-Token: {hostile['envdAccessToken']}\r\n\r\n"
                   f"GET /play/ok HTTP/1.1\r\nHost: 49983-{good['sandboxID']}.localhost\r\n"
                   f"X-Access-Token: {good['envdAccessToken']}\r\nConnection: close\r\n\r\n")
        s.sendall(request.encode())
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    assert b"first" in got and b"evil" not in got and b"X-Evil" not in got, got
    for _ in range(8):
        is_served(server, good)


def unasked_upgrade(server, hostile):
    conn = connect(server, hostile, "upgrade")
    try:
        answer = conn.getresponse()
        assert answer.status == 502, answer.status
    except http.client.RemoteDisconnected:
        pass
    finally:
        conn.close()


def endless(server, hostile, good, pid):
    """Twenty streams without an end, hardly read: memory does not follow them."""
    before = resident_kib(pid)
    held = [connect(server, hostile, play) for play in ENDLESS * 3]
    held += [connect(server, hostile, play) for play in ("never", "drip")]
    end, most = time.monotonic() + 5, 0
    while time.monotonic() < end:
        is_served(server, good)
        most = max(most, resident_kib(pid) - before)
    for conn in held:
        conn.close()
    is_served(server, good)
    assert most < GROWTH_KIB, f"silicad grew by {most} KiB"


def much(server, hostile, pid):
    """64 MiB of a body without an end pass through; nothing stays."""
    before, conn = resident_kib(pid), connect(server, hostile, "body")
    answer, n = conn.getresponse(), 0
    while n < 64 << 20:
        n += len(answer.read(1 << 20))
    conn.close()
    assert resident_kib(pid) - before < GROWTH_KIB


def killed(server, hostile):
    """In the midst of all this the sandbox can be ended."""
    held = [connect(server, hostile, play) for play in ("never", "body", "head")]
    assert server.request("DELETE", f"/sandboxes/{hostile['sandboxID']}")[0] == 204
    for conn in held:
        conn.close()
    assert server.request("GET", f"/sandboxes/{hostile['sandboxID']}")[0] == 404


def run(t, server):
    pid = daemon_pid(server)
    (status, good), (also, hostile) = create(server, "ok"), create(server, "ok")
    assert (status, also) == (201, 201), (good, hostile)
    t.case("the first sandboxes answer", is_served, server, good)
    t.case("whatever /init is answered: a reason, nothing left, others served", at_init, server, good, hostile)
    for play in NO_ANSWER:
        t.case(f"an answer that is none ({play}) is the edge's 502", no_answer, server, hostile, play)
    t.case("a body that is cut is not whole", cut, server, hostile)
    t.case("a second answer goes to nobody", second_answer, server, hostile, good)
    t.case("an upgrade that nobody asked for is refused", unasked_upgrade, server, hostile)
    t.case("streams without an end do not grow silicad", endless, server, hostile, good, pid)
    t.case("nor does one that is read", much, server, hostile, pid)
    t.case("such a sandbox can be killed", killed, server, hostile)
    t.case("and others are as they were", is_served, server, good)
    t.case("silicad is the same process", lambda: daemon_pid(server) == pid or (_ for _ in ()).throw(AssertionError))


def main():
    silica.not_for_machines("its hostile envd has no machine around it that comes up; what it answers is read alike")
    t = tap.Tap()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    with tempfile.TemporaryDirectory(prefix="silica-test-") as folder:
        top = pathlib.Path(folder)
        top.chmod(0o755)
        try:
            (top / "build").mkdir()
            make_build(top / "build")
        except StopIteration:
            print("1..0 # SKIP hostile-envd is not built")
            return
        make_templates(top / "templates")
        silica.BUILD = top / "build"
        leaks = silica.Leaks()
        with silica.Server(templates=str(top / "templates")) as server:
            run(t, server)
        t.case("nothing is left", leaks.check, server)
    sys.exit(t.done())


main()
