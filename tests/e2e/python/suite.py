"""The official Python SDK against the server of the environment (E2B_API_URL and so on).

SILICA_E2E is the folder of these tests. Nothing here depends on speed: what takes time is waited for.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import pathlib
import secrets
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.request

from e2b import (AsyncSandbox, AuthenticationException, CommandExitException,
                 InvalidArgumentException, NotEnoughSpaceException, NotFoundException, Sandbox,
                 SandboxQuery, TimeoutException)

E2E = pathlib.Path(os.environ["SILICA_E2E"])
sys.path.insert(0, str(E2E.parent / "lib"))
from tap import Tap  # noqa: E402  # pylint: disable=wrong-import-position

FACTOR = int(os.environ.get("LIMIT_FACTOR", "1"))  # of limits, where sandboxes are emulated machines
BIG_BYTES = 100 * 1024 * 1024
tap = Tap()


def case(name):
    """Decorator: run the function as a case, at once."""
    return lambda function: tap.case(name, function)


def until(what, condition, limit_s=60):
    end = time.monotonic() + limit_s * FACTOR
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"still not so: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def raises(kind, text=""):
    try:
        yield
    except kind as e:
        assert text in str(e), f"{e!r} does not say {text!r}"
    else:
        raise AssertionError(f"{kind} was not raised")


@contextlib.contextmanager
def new_sandbox(*args, **options):
    sandbox = Sandbox.create(*args, **options)
    try:
        yield sandbox
    finally:
        sandbox.kill()


def list_all(**options):
    paginator = Sandbox.list(**options)
    found = []
    while paginator.has_next:
        found += paginator.next_items()
    return found


def fetch(url):
    """Returns (status, body); localhost names are looked up by the system."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


# --- lifecycle -----------------------------------------------------------------------------------

@case("create, run a command, kill")
def _():
    sandbox = Sandbox.create()
    assert sandbox.is_running()
    assert sandbox.commands.run("echo hello").stdout == "hello\n"
    assert sandbox.kill() is True
    assert sandbox.is_running() is False
    assert sandbox.kill() is False
    with raises(NotFoundException):
        Sandbox.connect(sandbox.sandbox_id)


@case("errors of create have their types")
def _():
    with raises(Exception, "no-such-template"):
        Sandbox.create("no-such-template")
    with raises(AuthenticationException):
        Sandbox.create(api_key="e2b_" + "0" * 40)


@case("connect by id sees the same sandbox")
def _():
    with new_sandbox() as sandbox:
        sandbox.files.write("/home/user/mark", "one")
        other = Sandbox.connect(sandbox.sandbox_id)
        assert other.sandbox_id == sandbox.sandbox_id
        assert other.files.read("/home/user/mark") == "one"


@case("a limit of the sandbox is told where it was met")
def _():
    with new_sandbox() as sandbox:
        try:
            sandbox.commands.run("head -c 64G /dev/zero | tail", timeout=60 * FACTOR)
        except CommandExitException as e:
            assert e.exit_code == 137, e
            assert e.error.startswith("exit status 137: the sandbox ran out of memory (limit "), e
        else:
            raise AssertionError("there was room for 64 GiB")
        try:
            sandbox.commands.run("fallocate -l 1T /fill", user="root")
        except CommandExitException as e:
            assert e.error.startswith("exit status 1: the sandbox's disk is full"), e
        else:
            raise AssertionError("there was room for 1 TiB")
        with raises(NotEnoughSpaceException, "disk is full"):
            sandbox.files.write("/home/user/more", "x" * (1 << 20))
        assert sandbox.get_info().sandbox_id == sandbox.sandbox_id  # with its totals


@case("metadata and list")
def _():
    tag = secrets.token_hex(8)
    odd = {"tag": tag, "kind": "a b&c=d/é"}
    with new_sandbox(metadata=odd) as one, \
            new_sandbox(metadata={"tag": tag, "kind": "x"}) as two:
        both = list_all(query=SandboxQuery(metadata={"tag": tag}))
        assert {s.sandbox_id for s in both} == {one.sandbox_id, two.sandbox_id}
        first = list_all(query=SandboxQuery(metadata=odd))
        assert [s.sandbox_id for s in first] == [one.sandbox_id]
        assert first[0].metadata == odd
        assert len(list_all(query=SandboxQuery(metadata={"tag": tag}), limit=1)) == 2
    assert not list_all(query=SandboxQuery(metadata={"tag": tag}))


@case("info says when it began and ends")
def _():
    with new_sandbox(timeout=120) as sandbox:
        info = sandbox.get_info()
        assert info.sandbox_id == sandbox.sandbox_id
        assert (info.end_at - info.started_at).total_seconds() == 120
        assert info.cpu_count >= 1 and info.memory_mb >= 128
        sandbox.set_timeout(600)
        assert (sandbox.get_info().end_at - info.end_at).total_seconds() >= 400


@case("a timeout ends the sandbox, and not before")
def _():
    sandbox = Sandbox.create(timeout=4)
    end_at = sandbox.get_info().end_at.timestamp()
    born = time.monotonic()
    while time.monotonic() < born + 2:
        assert sandbox.is_running()
        time.sleep(0.2)
    until("the sandbox has ended", lambda: not sandbox.is_running())
    assert time.time() >= end_at, "ended early"
    with raises((TimeoutException, NotFoundException)):
        sandbox.commands.run("true")


@case("environment of create reaches every command")
def _():
    with new_sandbox(envs={"FROM_CREATE": "a b", "BOTH": "create"}) as sandbox:
        assert sandbox.commands.run('echo "$FROM_CREATE|$BOTH"').stdout == "a b|create\n"
        own = sandbox.commands.run('echo "$FROM_CREATE|$BOTH"', envs={"BOTH": "command"})
        assert own.stdout == "a b|command\n"


@case("the asynchronous client")
def _():
    async def body():
        sandbox = await AsyncSandbox.create()
        try:
            await sandbox.files.write("a.txt", "async")
            results = await asyncio.gather(*(sandbox.commands.run(f"cat a.txt; echo {i}")
                                             for i in range(5)))
            assert [r.stdout for r in results] == [f"async{i}\n" for i in range(5)]
        finally:
            assert await sandbox.kill()
    asyncio.run(body())


# --- one sandbox for the rest --------------------------------------------------------------------

box = tap.case("a sandbox for the rest", lambda: Sandbox.create(timeout=1200))
if box is None:
    tap.done()
    sys.exit(1)


def run(command, **options):
    return box.commands.run(command, **{"timeout": 60 * FACTOR, **options})


@case("stdout, stderr and exit code")
def _():
    result = run("echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)
    with raises(CommandExitException):
        run("exit 42")
    try:
        run("echo partial; exit 42")
    except CommandExitException as e:
        assert (e.exit_code, e.stdout) == (42, "partial\n")


@case("python and node of the template")
def _():
    assert run('python3 -c "print(1+1)"').stdout == "2\n"
    assert run("node -e 'console.log(6*7)'").stdout == "42\n"


@case("user, root, sudo, working directory")
def _():
    assert run("whoami; pwd").stdout == "user\n/home/user\n"
    assert run("whoami; pwd", user="root").stdout == "root\n/root\n"
    assert run("sudo -n whoami").stdout == "root\n"
    assert run("pwd", cwd="/usr/lib").stdout == "/usr/lib\n"
    with raises(InvalidArgumentException):
        run("pwd", cwd="/no/such/folder")


@case("environment of a command")
def _():
    result = run('echo "$A-$B-$HOME"', envs={"A": "1", "B": "zwei drei"})
    assert result.stdout == "1-zwei drei-/home/user\n"


@case("output arrives while the command runs")
def _():
    command = run("echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo second",
                  background=True)
    parts = []
    for stdout, _stderr, _pty in command:
        parts.append(stdout)
        if "".join(parts) == "first\n":
            box.files.write("/tmp/go", "")
    assert "".join(parts) == "first\nsecond\n"


@case("much output is whole")
def _():
    assert run("seq 1 200000").stdout == "".join(f"{i}\n" for i in range(1, 200001))


@case("stdin, and its end")
def _():
    command = run("cat; echo end", background=True, stdin=True)
    box.commands.send_stdin(command.pid, "one\n")
    box.commands.send_stdin(command.pid, "two\n")
    box.commands.close_stdin(command.pid)
    assert command.wait().stdout == "one\ntwo\nend\n"


@case("background: list, connect, kill")
def _():
    command = run("exec sleep 1000", background=True)
    assert any(p.pid == command.pid for p in box.commands.list())
    other = box.commands.connect(command.pid)
    assert command.kill() is True
    for handle in (command, other):
        with raises(CommandExitException):
            handle.wait()
    assert not any(p.pid == command.pid for p in box.commands.list())
    assert box.commands.kill(command.pid) is False


@case("a background command outlives its connection")
def _():
    command = run("while [ ! -e /tmp/go2 ]; do sleep 0.05; done; echo x > /tmp/done2",
                  background=True)
    command.disconnect()
    box.files.write("/tmp/go2", "")
    until("it went on", lambda: box.files.exists("/tmp/done2"))


@case("a command that is too slow is a timeout")
def _():
    with raises(TimeoutException):
        run("sleep 1000", timeout=2)


# --- files ---------------------------------------------------------------------------------------

@case("text: write, read, overwrite")
def _():
    info = box.files.write("dir/new/hello.txt", "grün €\n")
    assert info.path == "/home/user/dir/new/hello.txt"
    assert box.files.read("dir/new/hello.txt") == "grün €\n"
    box.files.write("/home/user/dir/new/hello.txt", "x")
    assert box.files.read("dir/new/hello.txt") == "x"
    assert run("stat -c %U:%a dir/new/hello.txt").stdout == "user:644\n"
    box.files.write("empty", "")
    assert box.files.read("empty") == ""


@case("bytes and streams")
def _():
    data = secrets.token_bytes(300_000)
    box.files.write("bytes", data)
    assert bytes(box.files.read("bytes", format="bytes")) == data
    box.files.write("stream", io.BytesIO(data))
    box.files.write("parts", (data[i:i + 1000] for i in range(0, len(data), 1000)))
    for name in ("stream", "parts"):
        assert b"".join(box.files.read(name, format="stream")) == data


@case("several files in one call")
def _():
    infos = box.files.write_files([{"path": "many/a", "data": "A"}, {"path": "many/b", "data": b"B"}])
    assert [i.path for i in infos] == ["/home/user/many/a", "/home/user/many/b"]
    assert run("cat many/a many/b").stdout == "AB"


@case("100 MB both ways")
def _():
    data = secrets.token_bytes(1 << 20) * (BIG_BYTES >> 20)
    digest = hashlib.sha256(data).hexdigest()
    box.files.write("/tmp/big", io.BytesIO(data), request_timeout=300)
    assert run("sha256sum < /tmp/big").stdout == f"{digest}  -\n"
    size, found = 0, hashlib.sha256()
    for part in box.files.read("/tmp/big", format="stream", request_timeout=300):
        size += len(part)
        found.update(part)
    assert (size, found.hexdigest()) == (BIG_BYTES, digest)
    box.files.remove("/tmp/big")


@case("directories: make, list, rename, remove")
def _():
    assert box.files.make_dir("tree/a/b") is True
    assert box.files.make_dir("tree/a/b") is False
    box.files.write("tree/file", "12345")
    assert sorted((e.name, e.type.value) for e in box.files.list("tree")) == [
        ("a", "dir"), ("file", "file")]
    assert len(box.files.list("tree", depth=2)) == 3
    assert box.files.rename("tree/file", "tree/a/moved").path == "/home/user/tree/a/moved"
    assert not box.files.exists("tree/file") and box.files.exists("tree/a/moved")
    box.files.remove("tree")
    assert not box.files.exists("tree")


@case("entry information")
def _():
    box.files.write("info", "12345")
    run("chmod 640 info; ln -sf info link")
    info = box.files.get_info("info")
    assert (info.size, info.permissions, info.owner) == (5, "-rw-r-----", "user")
    assert box.files.get_info("link").symlink_target == "/home/user/info"


@case("errors of files have their types")
def _():
    with raises(NotFoundException):
        box.files.read("no/such/file")
    with raises(NotFoundException):
        box.files.list("no/such/folder")
    with raises(NotFoundException):
        box.files.get_info("no/such/file")
    with raises(InvalidArgumentException):
        box.files.list("info")


# --- ports ---------------------------------------------------------------------------------------

@case("a web server over its host name")
def _():
    box.files.write("site/index.html", "<h1>silica</h1>")
    server = run("python3 -m http.server 8000 --directory site", background=True)
    url = f"http://{box.get_host(8000)}"
    until("the server listens", lambda: fetch(url)[0] == 200)
    assert fetch(url + "/index.html")[1] == b"<h1>silica</h1>"
    server.kill()


@case("a closed port is 502 with its name")
def _():
    status, body = fetch(f"http://{box.get_host(8999)}")
    answer = json.loads(body)
    assert (status, answer["sandboxId"], answer["port"]) == (502, box.sandbox_id, 8999)


def websocket_echo(host, message):
    """A client of RFC 6455 for one text message of less than 126 bytes."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port or 80)), timeout=60) as s:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        s.sendall((f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        stream = s.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass
        mask = secrets.token_bytes(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(message))
        s.sendall(struct.pack("!BB", 0x81, 0x80 | len(message)) + mask + masked)
        opcode, size = stream.read(2)
        return opcode & 0x0F, stream.read(size)


@case("WebSocket")
def _():
    box.files.write("ws_echo.py", (E2E / "shared" / "ws_echo.py").read_text())
    server = run("python3 -u ws_echo.py 8765", background=True)
    for stdout, _stderr, _pty in server:
        if "listening" in (stdout or ""):
            break
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(
        (n, websocket_echo(box.get_host(8765), b"message %d" % n)))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(n, (1, b"message %d" % n)) for n in range(5)]
    server.kill()


tap.case("kill", lambda: box.kill() or 1 / 0)
sys.exit(tap.done())
