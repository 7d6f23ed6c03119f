"""A silica-envd of its own for a test, and a client that speaks the Connect protocol by hand.

The daemon runs in a mount namespace (and a pid namespace, as PID 1, if asked to) where /etc/passwd and
/etc/group are the test's and /run is empty, so that nothing of the host is changed. As in a sandbox, it
cannot trace.
"""

import base64
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SILICA_BUILD",
                                    pathlib.Path(__file__).resolve().parent.parent.parent / "build"))
ENVD = BUILD / "silica-envd"
LIMIT_S = 60  # for what must happen; nothing is measured
# A sanitizer's build keeps freed memory back; the tests look at how much the daemon holds.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"}

PASSWD = """root:x:0:0:root:/root:/bin/bash
user:x:54321:54321::{home}:/bin/bash
bad:x:-1:0::/:/bin/sh
"""
GROUP = "root:x:0:\nuser:x:54321:\nextra:x:54322:user\nmore:x:54323:root,user\n"


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = error.get("code")
        self.message = error.get("message", "")


def basic(user):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


def envelope(message):
    data = json.dumps(message).encode()
    return struct.pack(">BI", 0, len(data)) + data


def wait_for(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"waited {LIMIT_S} s in vain: {what}"
        time.sleep(0.02)


class Stream:
    """The frames of one server stream."""

    def __init__(self, port, method, message, headers):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self.conn.request("POST", f"/{method}", envelope(message),
                          {"Content-Type": "application/connect+json", **headers})
        self.reply = self.conn.getresponse()
        self.error = None
        self.ended = False

    def frame(self):
        """The next message, or None after the end frame (self.error is its error, if any)."""
        prefix = self.reply.read(5)
        assert len(prefix) == 5, f"the stream broke off: {prefix!r}"
        flags, size = struct.unpack(">BI", prefix)
        data = self.reply.read(size)
        assert len(data) == size
        message = json.loads(data)
        if flags == 0:
            return message
        assert flags == 2, flags
        assert self.reply.read() == b"", "bytes behind the end frame"
        self.ended = True
        self.error = message.get("error")
        return None

    def event(self):
        message = self.frame()
        if message is None:
            raise RpcError(self.error or {"code": "", "message": "the stream ended"})
        return message["event"]

    def pid(self):
        return self.event()["start"]["pid"]

    def rest(self):
        """Everything up to the end: (stdout, stderr, end event or None)."""
        out = {"stdout": b"", "stderr": b""}
        end = None
        while (message := self.frame()) is not None:
            for name, value in message["event"].get("data", {}).items():
                out[name] += base64.b64decode(value)
            assert end is None, "an event behind the end"
            end = message["event"].get("end", end)
        return out["stdout"], out["stderr"], end

    def close(self):
        self.conn.sock and self.conn.sock.shutdown(socket.SHUT_RDWR)
        self.conn.close()


class Envd:
    def __init__(self, port, process, root):
        self.port = port
        self.process = process
        self.root = root  # a folder for the test's files
        self.headers = {}

    def request(self, method, path, body=None, headers=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        with contextlib.closing(conn):
            conn.request(method, path, body, {**self.headers, **(headers or {})})
            reply = conn.getresponse()
            return reply.status, reply.headers, reply.read()

    def unary(self, method, message, headers=None):
        status, _, body = self.request("POST", f"/{method}", json.dumps(message),
                                       {"Content-Type": "application/json", **(headers or {})})
        value = json.loads(body)
        if status != 200:
            raise RpcError(value)
        return value

    def stream(self, method, message, headers=None):
        return Stream(self.port, method, message, {**self.headers, **(headers or {})})

    def start(self, cmd, *args, headers=None, envs=None, cwd=None, **more):
        process = {"cmd": cmd, "args": list(args)}
        if envs is not None:
            process["envs"] = envs
        if cwd is not None:
            process["cwd"] = cwd
        return self.stream("process.Process/Start", {"process": process, **more}, headers)

    def sh(self, script, headers=None, **more):
        return self.start("/bin/sh", "-c", script, headers=headers, **more)

    def run(self, script, headers=None, **more):
        """Run a script to its end: (stdout, stderr, end event)."""
        stream = self.sh(script, headers=headers, **more)
        stream.pid()
        return stream.rest()

    def pids(self):
        return {p["pid"] for p in self.unary("process.Process/List", {}).get("processes", [])}

    def pid_inside(self):
        """The daemon itself as the host sees it (unshare forks it when it is PID 1)."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        kids = children.read_text().split()
        return int(kids[0]) if self.process.args[0] == "unshare" and kids and \
            "--fork" in self.process.args else self.process.pid

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid_inside()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command_of(root, as_init, machine):
    """What a daemon is started by. In a machine of its own it names the host and sets the clock: here
    the names are of a namespace, /etc is the test's, and the clock, which has no namespace, it may not
    set."""
    away = "-sys_ptrace,-sys_time" if machine else "-sys_ptrace"
    steps = [f"mkdir {root}/etc", f"touch {root}/etc/passwd {root}/etc/group {root}/etc/machine-id",
             f"mount --bind {root}/etc /etc"] if machine else []
    steps += [f"mount --bind {root}/passwd /etc/passwd", f"mount --bind {root}/group /etc/group",
              "mount -t tmpfs none /run",
              f"exec setpriv --bounding-set={away} --inh-caps={away} \"$@\""]
    return ["unshare", "--mount"] + (["--uts"] if machine else []) + \
        (["--pid", "--fork", "--mount-proc", "--kill-child"] if as_init else []) + \
        ["sh", "-c", " && ".join(steps), "sh"]


@contextlib.contextmanager
def envd(as_init=False, launch=None, pass_fds=()):
    """Run a daemon. With `launch` (the object of descriptor 3, "listenFd" added) it is started as in
    a sandbox."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="silica-envd-"))
    process = None
    machine = launch is not None and launch.get("machine", False)
    try:
        (root / "home").mkdir()
        os.chown(root / "home", 54321, 54321)
        root.chmod(0o755)
        (root / "passwd").write_text(PASSWD.format(home=root / "home"))
        (root / "group").write_text(GROUP)
        command = command_of(root, as_init, machine)
        process, port = spawn(command, launch, pass_fds)
        wait_for(lambda: answers(port, process), "the daemon answers")
        yield Envd(port, process, root)
    finally:
        if process is not None:
            process.send_signal(signal.SIGKILL if as_init else signal.SIGTERM)
            process.wait(LIMIT_S)
        shutil.rmtree(root, ignore_errors=True)


def spawn(command, launch, pass_fds):
    if launch is None:
        port = free_port()
        return subprocess.Popen(command + [str(ENVD), "-port", str(port)],
                                stdin=subprocess.DEVNULL, env=ENVIRONMENT), port
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    listen_fd = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 20)  # away from descriptor 3
    text = json.dumps({**launch, "listenFd": listen_fd}).encode()
    read_end, write_end = os.pipe()
    os.write(write_end, text)
    os.close(write_end)
    # Descriptor 3 is the launch object: the shell puts it there.
    command[command.index("sh") + 2] = command[command.index("sh") + 2].replace(
        '"$@"', f'"$@" 3<&{read_end} {read_end}<&-')
    with listener:
        process = subprocess.Popen(command + [str(ENVD)], stdin=subprocess.DEVNULL,
                                   pass_fds=(read_end, listen_fd, *pass_fds),
                                   env=ENVIRONMENT)
        port = listener.getsockname()[1]
    os.close(read_end)
    os.close(listen_fd)
    return process, port


def answers(port, process):
    assert process.poll() is None, "the daemon ended"
    try:
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        with contextlib.closing(conn):
            conn.request("GET", "/health")
            return conn.getresponse().status == 204
    except OSError:
        return False
