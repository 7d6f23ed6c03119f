#!/usr/bin/env python3
# timeout: 600
"""The server side of a sandbox's life, over plain HTTP: create, list, expiry, kill, limits, and what
a crash or a stop of the daemon leaves: all that was acknowledged, and nothing else."""

import http.client
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = silica.limit(60)
MAX_SANDBOXES = 4


def create(server, timeout=300, **more):
    status, body = server.request("POST", "/v2/sandboxes",
                                  {"templateID": "base", "timeout": timeout, **more})
    assert status == 201, (status, body)
    return body


def ids(server):
    status, body = server.request("GET", "/v2/sandboxes")
    assert status == 200, (status, body)
    return [s["sandboxID"] for s in body]


def info(server, sandbox_id):
    return server.request("GET", f"/sandboxes/{sandbox_id}")


def kill(server, sandbox_id):
    return server.request("DELETE", f"/sandboxes/{sandbox_id}")[0]


def kill_all(server):
    for i in ids(server):
        assert kill(server, i) == 204


def envd(server, sandbox, method, path, body=None, token=None):
    """A request to envd through the edge."""
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        conn.request(method, path, body, {
            "E2b-Sandbox-Id": sandbox["sandboxID"], "E2b-Sandbox-Port": "49983",
            "X-Access-Token": token or sandbox["envdAccessToken"],
            "Content-Type": "application/octet-stream"})
        answer = conn.getresponse()
        return answer.status, answer.read()
    finally:
        conn.close()


def alive(server, sandbox):
    """It answers with its token, and what was written into it is there."""
    path = "/files?path=/tmp/mark&username=user"
    status, _ = envd(server, sandbox, "POST", path, sandbox["sandboxID"].encode())
    assert status == 200, status
    return envd(server, sandbox, "GET", path) == (200, sandbox["sandboxID"].encode())


def marked(server, sandbox):
    return envd(server, sandbox, "GET", "/files?path=/tmp/mark&username=user") == (
        200, sandbox["sandboxID"].encode())


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def daemon_pid(server, name):
    for pid in children(server.process.pid):
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return pid
    raise LookupError(f"no {name} below silica serve")


def rows(server):
    path = f"file:{server.data}/state/silica.db?mode=ro"
    db = sqlite3.connect(path, uri=True)
    try:
        return {r[0]: r[1:] for r in db.execute("SELECT id, state, pid FROM sandboxes")}
    finally:
        db.close()


def case_life(server):
    sandbox = create(server, metadata={"who": "life"})
    i = sandbox["sandboxID"]
    assert ids(server) == [i]
    status, body = info(server, i)
    assert status == 200 and body["state"] == "running" and body["metadata"] == {"who": "life"}
    assert alive(server, sandbox)
    assert envd(server, sandbox, "GET", "/files?path=/etc/hostname", token="0" * 64)[0] == 401
    assert rows(server)[i][0] == "running"
    assert kill(server, i) == 204
    assert kill(server, i) == 404
    assert info(server, i)[0] == 404
    assert not ids(server) and not rows(server)
    assert envd(server, sandbox, "GET", "/health")[0] == 502


def case_unknown_template(server):
    status, body = server.request("POST", "/v2/sandboxes", {"templateID": "no-such-template"})
    assert status in (400, 404) and "no-such-template" in body["message"], (status, body)
    assert not rows(server)


def case_limit(server):
    for _ in range(MAX_SANDBOXES):
        create(server)
    status, body = server.request("POST", "/v2/sandboxes", {"templateID": "base"})
    assert status == 429 and str(MAX_SANDBOXES) in body["message"], (status, body)
    kill_all(server)


def one_expiry(server, seconds):
    """Returns by how much a sandbox outlived its end, as a client sees it."""
    asked = time.monotonic()
    i = create(server, timeout=seconds)["sandboxID"]
    made = time.monotonic()
    silica.wait_until(lambda: info(server, i)[0] == 404, LIMIT_S, "it expires", 0.02)
    gone = time.monotonic()
    assert gone - asked >= seconds, f"early: {gone - asked:.3f} s"
    return gone - made - seconds


def case_expiry(server):
    """Never early; within a second of due. One of three, for a machine that is busy."""
    late = [one_expiry(server, s) for s in (1, 2, 1)]
    print(f"# outlived its end by {', '.join(f'{x:.3f}' for x in late)} s")
    assert min(late) < 1.0, late
    silica.wait_until(lambda: not rows(server), LIMIT_S, "no rows are left")


def case_set_timeout(server):
    i = create(server, timeout=300)["sandboxID"]
    asked = time.monotonic()
    assert server.request("POST", f"/sandboxes/{i}/timeout", {"timeout": 1})[0] == 204
    silica.wait_until(lambda: info(server, i)[0] == 404, LIMIT_S, "the shortened life ends", 0.02)
    assert time.monotonic() - asked >= 1
    kill_all(server)


def case_concurrent_kills(server):
    i = create(server)["sandboxID"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(kill(server, i))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(answers) == [204] + [404] * 7, answers
    assert not rows(server)


def case_descriptors(server):
    """Lives that are over leave no descriptor in the daemons."""
    def held():
        return {name: len(os.listdir(f"/proc/{daemon_pid(server, name)}/fd"))
                for name in ("silicad", "silica-priv")}
    kill(server, create(server)["sandboxID"])  # what is made once is made
    silica.wait_for_pool(server)
    before = held()
    for _ in range(5):
        sandbox = create(server)
        assert alive(server, sandbox)
        assert kill(server, sandbox["sandboxID"]) == 204
    silica.wait_for_pool(server)
    # Fewer is fine: a connection of ours may still have been closing when we counted.
    silica.wait_until(lambda: all(n <= before[name] for name, n in held().items()), LIMIT_S,
                      f"no more descriptors than before: {before}")


def case_init_killed(server):
    i = create(server)["sandboxID"]
    os.kill(rows(server)[i][1], signal.SIGKILL)
    silica.wait_until(lambda: not ids(server) and not rows(server), LIMIT_S, "it is forgotten")


def restart(server, name="silicad"):
    """Ends a daemon without warning and waits for the next one."""
    pid = daemon_pid(server, name)
    os.kill(pid, signal.SIGKILL)

    def is_new():
        try:
            return daemon_pid(server, name) != pid and silica.is_healthy(server.url)
        except (LookupError, OSError):
            return False
    silica.wait_until(is_new, LIMIT_S, f"another {name} serves")


def case_crash(server):
    kept, short = create(server, timeout=300, metadata={"k": "v"}), create(server, timeout=1)
    assert alive(server, kept)
    before = info(server, kept["sandboxID"])[1]
    restart(server)
    status, after = info(server, kept["sandboxID"])
    assert status == 200 and after["endAt"] == before["endAt"], (before, after)
    assert after["startedAt"] == before["startedAt"] and after["metadata"] == {"k": "v"}
    assert marked(server, kept)
    silica.wait_until(lambda: ids(server) == [kept["sandboxID"]], LIMIT_S,
                      f"{short['sandboxID']} expired although the daemon was away")
    assert kill(server, kept["sandboxID"]) == 204
    assert not rows(server)


def case_crash_while_creating(server):
    """Whatever a client was told exists, exists; what it was not told of is gone."""
    told = []

    def one():
        try:
            status, body = server.request("POST", "/v2/sandboxes", {"templateID": "base"})
            if status == 201:
                told.append(body["sandboxID"])
        except OSError:
            pass  # the connection went with the daemon
    for delay in (0.005, 0.03, 0.08):
        threads = [threading.Thread(target=one) for _ in range(MAX_SANDBOXES)]
        for t in threads:
            t.start()
        time.sleep(delay)
        restart(server)
        for t in threads:
            t.join()
        have = ids(server)
        assert set(told) <= set(have), (told, have)
        assert set(rows(server)) == set(have), (rows(server), have)
        assert all(state == "running" for state, _ in rows(server).values())
        kill_all(server)
        told.clear()
        assert not rows(server)


def case_crash_while_killing(server):
    made = [create(server)["sandboxID"] for _ in range(MAX_SANDBOXES)]
    answers = {}

    def one(i):
        try:
            answers[i] = kill(server, i)
        except OSError:
            pass
    threads = [threading.Thread(target=one, args=(i,)) for i in made]
    for t in threads:
        t.start()
    time.sleep(0.01)
    restart(server)
    for t in threads:
        t.join()
    have = ids(server)
    assert not [i for i, status in answers.items() if status == 204 and i in have], (answers, have)
    kill_all(server)
    assert not rows(server)


def case_crash_of_the_helper(server):
    kept = create(server)
    assert alive(server, kept)
    restart(server, "silica-priv")
    assert ids(server) == [kept["sandboxID"]] and marked(server, kept)
    assert alive(server, create(server))
    kill_all(server)
    assert not rows(server)


def case_crash_of_the_supervisor(server):
    kept = create(server)
    assert alive(server, kept)
    daemons = children(server.process.pid)
    server.kill()
    silica.wait_until(lambda: not [p for p in daemons if os.path.exists(f"/proc/{p}")], LIMIT_S,
                      "the daemons follow their supervisor")
    server.start()
    assert ids(server) == [kept["sandboxID"]] and marked(server, kept)
    kill_all(server)


def case_stop_and_start(server):
    kept = create(server)
    assert alive(server, kept)
    server.stop(signal.SIGTERM)
    server.start()
    assert ids(server) == [kept["sandboxID"]]
    assert marked(server, kept)


def left(server):
    """What the host holds of this instance. The socket's folders stay with the data folder."""
    number = (server.data / "instance").read_text().strip()
    done = subprocess.run([str(silica.ROOT / "tools" / "leaks"), "snapshot", "--instance", number,
                           "--data", str(server.data)], stdin=subprocess.DEVNULL, check=True,
                          capture_output=True, text=True, timeout=60)
    ours = ("process", "mount", "cgroup", "link", "nft", f"file {server.data}/sandboxes/")
    return [line for line in done.stdout.splitlines() if line.startswith(ours)]


def case_interrupt(server):
    create(server)
    assert left(server), "a live sandbox is seen"
    server.stop(signal.SIGINT)
    assert not rows(server)
    try:
        silica.wait_until(lambda: not left(server), LIMIT_S, "nothing is left")
    except TimeoutError:
        raise AssertionError("left behind:\n" + "\n".join(left(server))) from None


CASES = (
    case_life,
    case_unknown_template,
    case_limit,
    case_expiry,
    case_set_timeout,
    case_concurrent_kills,
    case_descriptors,
    case_init_killed,
    case_crash,
    case_crash_while_creating,
    case_crash_while_killing,
    case_crash_of_the_helper,
    case_crash_of_the_supervisor,
    case_stop_and_start,
    case_interrupt,
)


def main():
    t = tap.Tap()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(f"[sandbox]\nmax_sandboxes = {MAX_SANDBOXES}\n")
        conf.flush()
        server = silica.Server(arguments=["--config", conf.name])
        server.start()
        try:
            for case in CASES:
                t.case(case.__name__.removeprefix("case_").replace("_", " "), case, server)
        finally:
            if server.process.poll() is None:
                server.stop()
            if t.failed:
                sys.stderr.write(server.log_tail())
            server.remove()
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
