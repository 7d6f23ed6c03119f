#!/usr/bin/env python3
# timeout: 600
"""Processes of silica-envd: start, streams, subscribers, input, signals, and how a process ends."""

import base64
import hashlib
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from envd_rig import RpcError, basic, envd, wait_for  # noqa: E402


def refused(code, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except RpcError as e:
        assert e.code == code, f"{e}, wanted {code}"
        return e.message
    raise AssertionError(f"not refused, wanted {code}")


def exits(e):
    assert e.run("echo out; echo err >&2; exit 3") == (
        b"out\n", b"err\n",
        {"exitCode": 3, "exited": True, "status": "exit status 3", "error": "exit status 3"})
    assert e.run("true") == (b"", b"", {"exited": True, "status": "exit status 0"})
    assert e.run("kill -9 $$")[2] == {"exitCode": -1, "status": "signal: killed",
                                      "error": "signal: killed"}
    assert e.run("kill -TERM $$")[2]["status"] == "signal: terminated"


def exec_failures(e):
    missing = e.start("no-such-program")
    missing.pid()
    out, err, end = missing.rest()
    assert (out, end["exitCode"], end["exited"]) == (b"", 127, True), end
    assert b"no-such-program" in err and err.endswith(b"\n"), err
    denied = e.start("/etc/passwd")
    denied.pid()
    assert denied.rest()[2]["exitCode"] == 126
    script = e.root / "plain"
    script.write_text("echo \"$1\"\n")
    script.chmod(0o755)
    plain = e.start(str(script), "arg")  # no #!: the shell runs it
    plain.pid()
    assert plain.rest()[0] == b"arg\n"


def start_refusals(e):
    assert "does not exist" in refused("invalid_argument", e.sh("true", cwd="/no/such").event)
    refused("invalid_argument", e.sh("true", cwd="/etc/passwd").event)
    assert "cannot expand" in refused("invalid_argument", e.sh("true", cwd="~root").event)
    assert refused("unauthenticated", e.sh("true", headers=basic("nobody")).event) == \
        "invalid username: 'nobody'"
    refused("unauthenticated", e.sh("true", headers=basic("bad")).event)
    closed = e.root / "closed"
    closed.mkdir(mode=0o700)
    refused("invalid_argument", e.sh("true", cwd=str(closed), headers=basic("user")).event)
    refused("unimplemented", e.stream("process.Process/Start",
                                      {"process": {"cmd": "sh"}, "pty": {}}).event)
    refused("invalid_argument", e.stream("process.Process/Start", {"process": 7}).event)


def identity(e):
    script = ("id -u; id -g; id -G; pwd; echo $HOME $USER $LOGNAME; cat /proc/self/oom_score_adj; "
              "umask; [ $(cut -d' ' -f5 /proc/self/stat) != $$ ]; echo $?; ulimit -n; "
              "grep -E '^(SigBlk|SigIgn)' /proc/self/status")
    out = e.run(script, headers=basic("user"))[0].decode().splitlines()
    home = str(e.root / "home")
    assert out[:2] == ["54321", "54321"], out
    assert sorted(out[2].split()) == ["54321", "54322", "54323"], out
    assert out[3] == home and out[4] == f"{home} user user", out
    assert out[5] == "100" and out[6] == "0022", out
    assert out[7] == "1", "the process does not lead its group"
    assert int(out[8]) == int(os.popen("ulimit -n").read()), out  # the daemon's own is raised
    assert out[9:] == ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"], out
    assert e.run("id -u")[0] == b"0\n"
    refused("unauthenticated", e.run, "id -u", headers=basic("x" * 5000))


def environment(e):
    def names(out):
        return {line.split(b"=")[0] for line in out.split(b"\0") if line}
    stream = e.start("cat", "/proc/self/environ", envs={"MINE": "a=b\nc", "USER": "other"})
    stream.pid()
    out = stream.rest()[0]
    assert names(out) == {b"PATH", b"HOME", b"USER", b"LOGNAME", b"E2B_SANDBOX", b"MINE"}, out
    assert b"MINE=a=b\nc\0" in out and b"USER=other\0" in out and b"E2B_SANDBOX=false\0" in out, out
    stream = e.start("cat", "/proc/self/environ")
    stream.pid()
    assert b"MINE" not in stream.rest()[0]
    only = e.root / "bin"
    only.mkdir()
    (only / "unusual").write_text("#!/bin/sh\necho found\n")
    (only / "unusual").chmod(0o755)
    stream = e.start("unusual", envs={"PATH": f"/nowhere:{only}"})
    stream.pid()
    assert stream.rest()[0] == b"found\n"


def descriptors(e):
    stream = e.start("ls", "-l", "/proc/self/fd", stdin=False)
    stream.pid()
    lines = stream.rest()[0].decode().splitlines()[1:]
    assert len(lines) == 4, lines  # 0, 1, 2 and the folder that ls reads
    assert "/dev/null" in lines[0] and "pipe:" in lines[1] and "pipe:" in lines[2], lines
    # A user can open his own standard streams by name.
    out = e.run("echo one > /dev/stdout; echo two > /dev/stderr", headers=basic("user"))
    assert out[:2] == (b"one\n", b"two\n"), out


def input_and_close(e):
    cat = e.start("cat")
    which = {"process": {"pid": cat.pid()}}
    for text in (b"one\n", b"", "zwei €\n".encode()):
        e.unary("process.Process/SendInput",
                {**which, "input": {"stdin": base64.b64encode(text).decode()}})
    e.unary("process.Process/CloseStdin", which)
    out, _, end = cat.rest()
    assert out == "one\nzwei €\n".encode() and end == {"exited": True, "status": "exit status 0"}
    sleeper = e.sh("sleep 1000", stdin=False)
    which = {"process": {"pid": sleeper.pid()}}
    for _ in range(2):  # harmless without one
        e.unary("process.Process/CloseStdin", which)
    refused("internal", e.unary, "process.Process/SendInput", {**which, "input": {"stdin": ""}})
    refused("unimplemented", e.unary, "process.Process/SendInput", which)
    refused("invalid_argument", e.unary, "process.Process/SendInput",
            {**which, "input": {"stdin": "!"}})
    refused("internal", e.unary, "process.Process/SendInput", {**which, "input": {"pty": ""}})
    e.unary("process.Process/SendSignal", {**which, "signal": "SIGNAL_SIGKILL"})
    assert sleeper.rest()[2]["status"] == "signal: killed"
    assert e.run("read x; echo $?", stdin=False)[0] == b"1\n"


def large_input(e):
    """More than the pipe takes: the answer comes when all is written, and nothing is lost."""
    data = os.urandom(3 << 20)
    stream = e.start("sha256sum")
    which = {"process": {"pid": stream.pid()}}
    e.unary("process.Process/SendInput",
            {**which, "input": {"stdin": base64.b64encode(data).decode()}})
    e.unary("process.Process/CloseStdin", which)
    assert stream.rest()[0].split()[0].decode() == hashlib.sha256(data).hexdigest()


def signals(e):
    refused("not_found", e.unary, "process.Process/SendSignal",
            {"process": {"pid": 999999}, "signal": "SIGNAL_SIGKILL"})
    refused("unimplemented", e.unary, "process.Process/SendSignal", {"signal": 9})
    stream = e.sh("trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done", tag="sig")
    stream.pid()
    assert stream.event() == {"data": {"stdout": base64.b64encode(b"ready\n").decode()}}
    refused("unimplemented", e.unary, "process.Process/SendSignal", {"process": {"tag": "sig"}})
    refused("unimplemented", e.unary, "process.Process/SendSignal",
            {"process": {"tag": "sig"}, "signal": 1})
    e.unary("process.Process/SendSignal", {"process": {"tag": "sig"}, "signal": 15})
    out, _, end = stream.rest()
    assert out == b"got\n" and end["exitCode"] == 5, (out, end)


def listing(e):
    stream = e.sh("sleep 1000", tag="list", envs={"A": "b"}, cwd="/tmp")
    pid = stream.pid()
    mine = [p for p in e.unary("process.Process/List", {})["processes"] if p["pid"] == pid]
    assert mine == [{"config": {"cmd": "/bin/sh", "args": ["-c", "sleep 1000"], "envs": {"A": "b"},
                                "cwd": "/tmp"}, "pid": pid, "tag": "list"}], mine
    e.unary("process.Process/SendSignal", {"process": {"pid": str(pid)}, "signal": 9})
    stream.rest()
    assert pid not in e.pids()
    try:
        os.kill(pid, 0)
        raise AssertionError("the process is not reaped")
    except ProcessLookupError:
        pass


def connect(e):
    refused("not_found", e.stream("process.Process/Connect", {"process": {"pid": 999999}}).event)
    refused("unimplemented", e.stream("process.Process/Connect", {}).event)
    first = e.sh("read x; echo $x; exit 4", tag="con")
    pid = first.pid()
    second = e.stream("process.Process/Connect", {"process": {"tag": "con"}})
    assert second.pid() == pid
    first.close()  # going away does not kill
    e.unary("process.Process/SendInput",
            {"process": {"pid": pid}, "input": {"stdin": base64.b64encode(b"hey\n").decode()}})
    out, _, end = second.rest()
    assert out == b"hey\n" and end["exitCode"] == 4, (out, end)
    late = e.stream("process.Process/Connect", {"process": {"pid": pid}})  # the exit is retained
    assert late.pid() == pid
    assert late.rest() == (b"", b"", end)
    again = e.sh("exit 6", tag="con")  # takes the tag away
    again.pid()
    again.rest()
    late = e.stream("process.Process/Connect", {"process": {"tag": "con"}})
    late.pid()
    assert late.rest()[2]["exitCode"] == 6


def time_limit(e):
    stream = e.sh("sleep 1000", headers={"Connect-Timeout-Ms": "2000"})
    pid = stream.pid()
    other = e.stream("process.Process/Connect", {"process": {"pid": pid}})
    other.pid()
    assert stream.rest()[2] is None and stream.error["code"] == "deadline_exceeded", stream.error
    assert other.rest()[2]["status"] == "signal: killed"
    # The limit belongs to the process: it holds when nobody is connected.
    stream = e.sh("sleep 1000", headers={"Connect-Timeout-Ms": "2000"})
    pid = stream.pid()
    stream.close()
    wait_for(lambda: pid not in e.pids(), "the time limit kills")
    # On Connect it ends the stream only.
    stream = e.sh("sleep 1000")
    pid = stream.pid()
    short = e.stream("process.Process/Connect", {"process": {"pid": pid}},
                     headers={"Connect-Timeout-Ms": "1000"})
    short.pid()
    short.rest()
    assert short.error["code"] == "deadline_exceeded" and pid in e.pids()
    e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})
    stream.rest()


def held_pipes(e):
    """A grandchild keeps the pipes: the end comes all the same, and the grandchild lives on."""
    mark = e.root / "mark"
    script = f"(sleep 10; echo late; echo late >&2; echo alive > {mark}) & echo now; exit 7"
    out, _, end = e.run(script)
    assert out == b"now\n" and end["exitCode"] == 7, (out, end)
    assert not mark.exists(), "the end waited for the grandchild"
    wait_for(mark.exists, "the grandchild outlives the end, writing to the old pipes")
    # One that is quick after its parent's exit is heard.
    out, _, _ = e.run("(sleep 0.05; echo tail) & exit 0")
    assert out == b"tail\n", out


def keepalive(e):
    stream = e.sh("sleep 1000", headers={"Keepalive-Ping-Interval": "1"})
    pid = stream.pid()
    assert stream.event() == {"keepalive": {}}
    assert stream.event() == {"keepalive": {}}
    e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})
    stream.rest()


def slow_subscriber(e):
    """A reader that sleeps loses nothing, and the daemon holds little for it."""
    size = 96 << 20
    before = e.resident_bytes()
    stream = e.sh(f"head -c {size} /dev/zero | tr '\\0' x; echo -n end")
    pid = stream.pid()
    time.sleep(2)
    grown = e.resident_bytes() - before
    assert pid in e.pids(), "the process ended although nobody read"
    assert grown < 16 << 20, f"{grown} bytes more for a reader that sleeps"
    total = 0
    last = b""
    while "data" in (event := stream.event()):
        last = base64.b64decode(event["data"]["stdout"])
        total += len(last)
    assert event["end"]["status"] == "exit status 0" and total == size + 3 and last.endswith(b"end")
    assert e.resident_bytes() - before < 32 << 20


def killed_while_nobody_reads(e):
    """A subscriber that sleeps keeps a killed process in the list for a moment only."""
    stream = e.sh("yes")
    pid = stream.pid()
    time.sleep(1)
    e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})
    wait_for(lambda: pid not in e.pids(), "the killed process leaves the list")
    *_, end = stream.rest()
    assert end["status"] == "signal: killed", end
    assert stream.ended and stream.error is None


def write_input(e, pid, data, said):
    """Says why it was refused; too many large messages at once is no reason to give up."""
    while True:
        try:
            e.unary("process.Process/SendInput", {"process": {"pid": pid}, "input": {"stdin": data}})
        except RpcError as error:
            if "at once" in error.message:
                continue
            said.append(str(error))
        return


def unread_input(e):
    """What waits for processes to read it has a maximum over all of them."""
    data = base64.b64encode(bytes(14 << 20)).decode()
    sleepers = [e.start("sleep", "1000") for _ in range(5)]
    pids = [s.pid() for s in sleepers]
    said = []
    writers = [threading.Thread(target=write_input, args=(e, pid, data, said)) for pid in pids]
    for w in writers:
        w.start()
    wait_for(lambda: said, "one of the five is refused")
    assert said[0].startswith("resource_exhausted") and "stdin" in said[0], said
    for pid in pids:
        e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})
    for w in writers:
        w.join(60)
    for s in sleepers:
        s.rest()


def nobody_listens(e):
    """Without a subscriber output is thrown away and the process does not block."""
    mark = e.root / "written"
    stream = e.sh(f"head -c 4000000 /dev/zero; touch {mark}; sleep 1000")
    pid = stream.pid()
    stream.close()
    wait_for(mark.exists, "the process is not blocked by its pipe")
    e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": 9})


def wire(e):
    """Requests as other clients send them."""
    body = json.dumps({"process": {"cmd": "echo", "args": ["hi"]}, "unknown": [1]}).encode()
    with socket.create_connection(("127.0.0.1", e.port), timeout=60) as s:
        head = (b"POST /process.Process/Start HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: application/connect+json; charset=utf-8\r\n\r\n")
        frame = b"\0" + len(body).to_bytes(4, "big") + body
        s.sendall(head)
        for part in (frame[:3], frame[3:20], frame[20:]):  # the body's end never comes
            s.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            time.sleep(0.05)
        got = b""
        while b'"exit status 0"' not in got:
            got += s.recv(65536)
    assert b"Content-Type: application/connect+json\r\n" in got, got
    status, headers, _ = e.request("POST", "/process.Process/Start", "{}",
                                   {"Content-Type": "application/json"})
    assert status == 415 and headers["Accept-Post"] == "application/connect+json"
    status, headers, _ = e.request("POST", "/process.Process/List", "",
                                   {"Content-Type": "application/proto"})
    assert status == 415 and headers["Accept-Post"] == "application/json"
    status, headers, _ = e.request("GET", "/process.Process/List")
    assert status == 405 and headers["Allow"] == "POST"
    assert "unmarshal message" in refused("invalid_argument", e.unary, "process.Process/List", [])
    refused("invalid_argument", e.unary, "process.Process/List", {},
            headers={"Connect-Protocol-Version": "2"})
    refused("invalid_argument", e.unary, "process.Process/List", {},
            headers={"Connect-Timeout-Ms": "12345678901"})
    refused("unimplemented", e.unary, "process.Process/List", {},
            headers={"Content-Encoding": "gzip"})
    refused("unimplemented", e.unary, "process.Process/Update", {})
    refused("unimplemented", e.stream("filesystem.Filesystem/WatchDir", {}).event)


def unary_deadline(e):
    """A body that comes too late, and a pipe that is never read: the deadline answers."""
    with socket.create_connection(("127.0.0.1", e.port), timeout=60) as s:
        s.sendall(b"POST /process.Process/List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                  b"Content-Type: application/json\r\nConnect-Timeout-Ms: 100\r\n\r\n{")
        got = s.recv(65536)
        assert got.startswith(b"HTTP/1.1 504 ") and b"deadline_exceeded" in got, got
        try:
            s.sendall(b"}")
        except OSError:
            pass
    stream = e.sh("sleep 1000")
    which = {"process": {"pid": stream.pid()}}
    refused("deadline_exceeded", e.unary, "process.Process/SendInput",
            {**which, "input": {"stdin": base64.b64encode(b"x" * 1000000).decode()}},
            headers={"Connect-Timeout-Ms": "200"})
    e.unary("process.Process/SendSignal", {**which, "signal": 15})
    assert stream.rest()[2]["status"] == "signal: terminated"
    assert e.run("echo well")[0] == b"well\n"


def clean(e):
    """After all of it: no process, no zombie, no descriptor left behind."""
    wait_for(lambda: not e.pids(), "an empty list")
    pid = e.pid_inside()
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    wait_for(lambda: not children.read_text().split(), "no children")
    fds = pathlib.Path(f"/proc/{pid}/fd")
    count = len(list(fds.iterdir()))
    for _ in range(20):
        e.run("echo x; sleep 0.01 &")
    wait_for(lambda: len(list(fds.iterdir())) <= count, "no descriptor is lost")


def main():
    t = tap.Tap()
    with envd() as e:
        for case in (exits, exec_failures, start_refusals, identity, environment, descriptors,
                     input_and_close, large_input, signals, listing, connect, time_limit, held_pipes,
                     keepalive, slow_subscriber, killed_while_nobody_reads, unread_input,
                     nobody_listens, wire, unary_deadline, clean):
            t.case(f"process: {case.__name__}", case, e)
    return t.done()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
