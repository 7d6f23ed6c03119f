"""A Silica of one's own for a test: a data folder in /tmp, a free port, the shared templates.

    with silica.Server() as server:
        subprocess.run(command, env=server.env)

Stopping sends SIGINT, which ends every sandbox; a server that does not end cleanly, or that leaves
something on the host, raises. Needs root.

SILICA_DRIVER chooses how sandboxes are isolated, as for `silica serve`; a test that wants a certain way
says so (driver="microvm"). Machines are prepared once, in build/cache/microvm, and copied into each data
folder. Where there is no KVM they are emulated: limit() makes a limit long enough for that.
"""

import collections
import fcntl
import functools
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SILICA_BUILD") or ROOT / "build").resolve()
TEMPLATES = os.environ.get("SILICA_TEST_TEMPLATES") or "/var/lib/silica/templates"
DRIVER = os.environ.get("SILICA_DRIVER") or "auto"
MACHINES = BUILD / "cache" / "microvm"
MICROVM = DRIVER == "microvm"
SLOWER = 10  # at most, what runs in a machine whose processor is emulated
READY_LIMIT_S = 300
STOP_LIMIT_S = 90
PREPARE_LIMIT_S = 900
LOG_TAIL_LINES = 60


def limit(seconds, driver=DRIVER):
    """A limit for something in a sandbox that takes less than `seconds` in a container."""
    return seconds * SLOWER if driver == "microvm" else seconds


def not_for_machines(reason):
    """Ends a test program that is about containers: one skip. docs/compat.md lists them."""
    if MICROVM:
        print(f"1..0 # SKIP not with micro-VMs: {reason}")
        sys.exit(0)


@functools.cache
def machines(templates=TEMPLATES):
    """The folder with what machines are made of; raises with the reason when that cannot be had."""
    MACHINES.mkdir(parents=True, exist_ok=True)
    with open(MACHINES / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernels = MACHINES / "machine" / "kernel"
        have = kernels.is_dir() and any(kernels.iterdir())
        done = subprocess.run([str(BUILD / "silica"), "template", "machine", "--data", str(MACHINES), "--templates",
                               str(templates), *(["--offline"] if have else [])], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PREPARE_LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or ["silica template machine failed"])[-1])
    return MACHINES / "machine"


def give_machines(data, templates=TEMPLATES):
    """Into a data folder, before its server starts for the first time."""
    place = pathlib.Path(data, "machine")
    if not place.exists():
        subprocess.run(["cp", "-a", "--reflink=auto", str(machines(templates)), str(place)], check=True,
                       stdin=subprocess.DEVNULL, timeout=PREPARE_LIMIT_S)


POOL = 2  # machines that wait, as docs/configuration.md has it


def wait_for_pool(server):
    """Until as many machines wait as are to; none of them is on its way any more."""
    if server.driver != "microvm":
        return

    def waiting():
        time.sleep(0.5)
        return sorted(p.name for p in (server.data / "run" / "machines").glob("*.qmp"))
    wait_until(lambda: len(names := waiting()) == POOL and waiting() == names, limit(60, "microvm"), "machines wait")


def need_machines():
    """Ends a test program where machines cannot be made: one skip."""
    try:
        machines()
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
        print(f"1..0 # SKIP machines cannot be prepared: {e}")
        sys.exit(0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, limit_s, what, interval_s=0.05):
    """Poll until condition() is true and return its value; raises after limit_s."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {limit_s} s still not so: {what}")
        time.sleep(interval_s)


def is_healthy(url):
    try:
        with urllib.request.urlopen(url + "/health", timeout=5) as answer:
            return answer.status in (200, 204)
    except (urllib.error.URLError, OSError):
        return False


class Leaks:
    """What the host holds of sandboxes, before and after: tools/leaks does the looking.

    Anything that came in between counts, also what another server on this host did meanwhile. With
    SILICA_LEAKS=instance in the environment only what belongs to the given server does: for work
    beside other servers.
    """

    def __init__(self):
        self.before = self._look()

    @staticmethod
    def _look(*arguments):
        done = subprocess.run([str(ROOT / "tools" / "leaks"), "snapshot", *arguments], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"tools/leaks: {done.stderr.strip()}")
        return collections.Counter(line for line in done.stdout.splitlines() if line)

    @staticmethod
    def _scope(server):
        """What of the host is looked at, as arguments of tools/leaks."""
        arguments = ["--data", str(server.data)] if server is not None else []
        own_only = os.environ.get("SILICA_LEAKS") == "instance"
        if own_only and server is not None and server.instance is not None:
            arguments += ["--instance", str(server.instance)]
        return arguments

    def check(self, server=None, limit_s=10):
        """Raises if something is there that was not there before; the kernel may need a moment."""
        deadline = time.monotonic() + limit_s
        while True:
            left = self._look(*self._scope(server)) - self.before
            for line in list(left):  # the sockets' folder stays with the data folder
                if server is not None and line.startswith(f"file {server.data}/run"):
                    del left[line]
            if not left:
                return
            if time.monotonic() > deadline:
                raise AssertionError("left behind:\n" + "\n".join(sorted(left)))
            time.sleep(0.2)


class Server:
    def __init__(self, arguments=(), data=None, address="127.0.0.1", port=None,
                 templates=TEMPLATES, driver=None):
        self.driver = driver or DRIVER
        self.own_data = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="silica-test-"))
        if self.own_data:
            self.data.chmod(0o755)  # silicad passes through it with a uid of its own
        self.address = address
        self.port = port or free_port()
        self.templates = templates
        self.arguments = [*(["--driver", driver] if driver else []), *arguments]
        self.process = None
        self.log_path = None
        self.exports = {}
        self.instance = None

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    @property
    def env(self):
        """The environment for clients: ours, without foreign E2B settings, with the server's."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("E2B_")}
        env.update(self.exports)
        env["SILICA_BUILD"] = str(BUILD)
        return env

    def start(self):
        if os.geteuid() != 0:
            raise PermissionError("a Silica server needs root")
        if self.driver == "microvm":
            give_machines(self.data, self.templates)
        command = [str(BUILD / "silica"), "serve", "--data", str(self.data), "--listen",
                   f"{self.address}:{self.port}", "--templates", self.templates, *self.arguments]
        if self.log_path is None:  # a server that is started again goes on in its log
            fd, name = tempfile.mkstemp(prefix="silica-test-", suffix=".log")
            os.close(fd)
            self.log_path = pathlib.Path(name)
        with open(self.log_path, "ab") as log:
            # A session of its own: a SIGINT from a terminal must reach it from us alone.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_until(self._is_ready, limit(READY_LIMIT_S, self.driver), "the server answers /health")
            self.exports = self._read_exports()
            self.instance = int((self.data / "instance").read_text())
        except BaseException:
            self.kill()
            sys.stderr.write(self.log_tail())
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"silica serve ended with status {self.process.returncode}")
        return is_healthy(self.url)

    def _read_exports(self):
        done = subprocess.run([str(BUILD / "silica"), "env", "--data", str(self.data)], check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        words = shlex.split(done.stdout)
        return dict(w.split("=", 1) for w in words if w.startswith("E2B_") and "=" in w)

    def log_tail(self):
        text = self.log_path.read_text(errors="replace") if self.log_path else ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:]) + "\n"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, sig=signal.SIGINT):
        """Raises if it does not end with status 0 in time."""
        self.process.send_signal(sig)
        try:
            status = self.process.wait(limit(STOP_LIMIT_S, self.driver))
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("the server did not stop:\n" + self.log_tail()) from None
        if status != 0:
            raise RuntimeError(f"the server ended with status {status}:\n" + self.log_tail())

    def remove(self):
        if self.own_data:
            shutil.rmtree(self.data)
        if self.log_path:
            self.log_path.unlink(missing_ok=True)
            self.log_path = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind, value, traceback):
        if self.process.poll() is None:
            self.stop()
        if kind is not None:
            sys.stderr.write(self.log_tail())
        self.remove()

    # --- the HTTP API, raw ---------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=None):
        """Returns (status, parsed JSON or None). No exception for 4xx and 5xx."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("X-API-Key", self.exports["E2B_API_KEY"])
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for key, value in (headers or {}).items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout or limit(60, self.driver)) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        return status, json.loads(text) if text else None
