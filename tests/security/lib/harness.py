"""Drives silica-priv directly: its protocol, a template without content, the probe as process 1.

Tests are programs that print TAP and end with 0 when all passed. They need root and SILICA_BUILD.
"""

import contextlib
import fcntl
import glob
import os
import random
import re
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
import time

UID_BASE = 0x6FFF0000
SANDBOX_UID_BASE = 0x70000000
MAGIC, VERSION = 0x53494C43, 3
HELLO, START, STOP, LIST, SNAPSHOT, REPLY, ITEM, EXIT = 1, 2, 3, 4, 5, 100, 101, 102
CONTAINER, BOOT, CLONE = 0, 1, 2
HEAD = struct.Struct("=II")
START_BODY = struct.Struct("=24s24s72sQIIIIQQ")
INSTANCE = struct.Struct("=24sQiIII")
REPLY_BODY = struct.Struct("=iI48s256s")
TEMPLATE = "testtemplate00000000"
MIB = 1 << 20
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))


def build_file(name):
    """A binary of the build: beside each other after make, in subfolders after ninja."""
    build = os.environ["SILICA_BUILD"]
    for sub in ("", "src/priv", "tests/security", "meson/src/priv", "meson/tests/security"):
        path = os.path.join(build, sub, name)
        if os.path.isfile(path):
            return path
    for folder, _, files in os.walk(build):
        if name in files and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise FileNotFoundError(f"{name} below {build}")


def new_id():
    return "i" + "".join(random.choice(string.ascii_lowercase + string.digits) for _ in range(20))


class Tap:
    """Counts and prints results."""

    def __init__(self):
        self.n = self.failed = 0

    def ok(self, good, what, detail=""):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {what}", flush=True)
        if not good and detail != "":
            for line in str(detail).splitlines()[:40]:
                print(f"# {line}", flush=True)
        return good

    def equal(self, got, want, what):
        return self.ok(got == want, what, f"got {got!r}, want {want!r}")

    def end(self):
        print(f"1..{self.n}", flush=True)
        sys.exit(1 if self.failed else 0)


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def need_root():
    """Skips the program where it cannot run. SIGTERM, as of a passed time limit, cleans up first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        skip_all("needs root")
    if "SILICA_BUILD" not in os.environ:
        skip_all("SILICA_BUILD is not set")
    for name in ("silica-priv", "security-probe"):
        try:
            build_file(name)
        except FileNotFoundError as e:
            skip_all(f"not built: {e}")


def claim_instance():
    """An instance number that nobody uses, held by the lock that servers take too."""
    os.makedirs("/run/silica", exist_ok=True)
    for number in range(15, -1, -1):
        lock = os.open(f"/run/silica/instance-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, lock
        except OSError:
            os.close(lock)
    skip_all("all instance numbers are in use")


@contextlib.contextmanager
def as_uid(uid):
    """Sockets made here belong to that user, for the firewall and for SO_PEERCRED."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Error(Exception):
    def __init__(self, error, kind, msg):
        super().__init__(msg)
        self.error, self.kind = error, kind


class Instance:
    def __init__(self, packed):
        name, self.pid_start, self.pid, self.slot, addr, _ = INSTANCE.unpack(packed)
        self.id = name.split(b"\0")[0].decode()
        self.addr = socket.inet_ntoa(struct.pack(">I", addr))


class Client:
    """One connection, blocking. Exit events that arrive in between are kept in `exits`."""

    def __init__(self, path, uid, hello=True):
        self.exits, self.seq = [], 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(60)
        with as_uid(uid):
            self.sock.connect(path)
        if hello:
            self.request(HELLO, struct.pack("=II", MAGIC, VERSION))

    def send(self, op, body=b""):
        self.seq += 1
        self.sock.send(HEAD.pack(op, self.seq) + body)
        return self.seq

    def receive(self):
        """Next packet: (op, seq, body), or None when the connection was ended."""
        try:
            packet = self.sock.recv(4096)
        except ConnectionResetError:
            return None
        if not packet:
            return None
        op, seq = HEAD.unpack_from(packet)
        return op, seq, packet[HEAD.size:]

    def wait(self, seq):
        items = []
        while True:
            got = self.receive()
            if got is None:
                raise ConnectionError("the helper ended the connection")
            op, got_seq, body = got
            if op == EXIT:
                self.exits.append((body[:24].split(b"\0")[0].decode(), body[24:].split(b"\0")[0].decode()))
            elif op == ITEM and got_seq == seq:
                items.append(Instance(body))
            elif op == REPLY and got_seq == seq:
                error, kind, inst, msg = REPLY_BODY.unpack(body)
                if error < 0:
                    raise Error(error, kind, msg.split(b"\0")[0].decode())
                return Instance(inst), items

    def request(self, op, body=b""):
        return self.wait(self.send(op, body))

    def wait_exit(self, name, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for got, reason in self.exits:
                if got == name:
                    return reason
            self.sock.settimeout(max(0.05, end - time.monotonic()))
            try:
                op, _, body = self.receive()
            except socket.timeout:
                return None
            finally:
                self.sock.settimeout(60)
            if op == EXIT:
                self.exits.append((body[:24].split(b"\0")[0].decode(), body[24:].split(b"\0")[0].decode()))
        return None

    @staticmethod
    def start_body(name=None, template=TEMPLATE, secret="ab" * 32, memory=256 * MIB, cpu=1000, pids=64,
                   internet=True, kind=CONTAINER, disk=1024 * MIB, rate=0):
        return START_BODY.pack((name or new_id()).encode(), template.encode(), secret.encode(), memory, cpu,
                               pids, int(internet), kind, disk, rate)

    def start(self, **options):
        return self.request(START, self.start_body(**options))[0]

    def stop(self, name):
        self.request(STOP, struct.pack("=24s", name.encode()))

    def list(self):
        return self.request(LIST)[1]

    def close(self):
        self.sock.close()


class Helper:
    """A silica-priv of the test's own in a fresh data folder."""

    def __init__(self, envd=None, resolv_conf=None, below="/var/tmp"):
        self.resolv_conf = resolv_conf
        self.number, self.lock = claim_instance()
        self.uid = UID_BASE + self.number
        self.data = tempfile.mkdtemp(prefix="silica-test-", dir=below)
        os.chmod(self.data, 0o755)
        self.templates = os.path.join(self.data, "templates")
        self.socket = os.path.join(self.data, "run", "priv.sock")
        self.log = os.path.join(self.data, "priv.log")
        self.envd = envd or build_file("security-probe")
        self.process = None
        self.make_template(TEMPLATE)
        self.start()

    def make_template(self, name):
        root = os.path.join(self.templates, name, "rootfs")
        for folder in ("etc", "proc", "sys", "dev", "tmp", "home/user", "root"):
            os.makedirs(os.path.join(root, folder))
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        os.chown(os.path.join(root, "home/user"), 1000, 1000)
        os.chmod(os.path.join(root, "root"), 0o700)
        with open(os.path.join(root, "etc", "template"), "w", encoding="ascii") as f:
            f.write("from the template\n")
        return root

    def start(self):
        wrapper = []
        if self.resolv_conf:  # in a mount namespace of its own, where /etc/resolv.conf is another
            path = os.path.join(self.data, "resolv.conf")
            with open(path, "w", encoding="ascii") as f:
                f.write(self.resolv_conf)
            wrapper = ["unshare", "--mount", "sh", "-c", f'mount --bind {path} /etc/resolv.conf && exec "$@"', "sh"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, build_file("silica-priv"), "--data", self.data, "--templates", self.templates, "--socket",
                 self.socket, "--client-uid", str(self.uid), "--instance", str(self.number), "--envd", self.envd],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 120  # the first start makes the place of all disks
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError("silica-priv ended:\n" + self.log_text())
            try:
                Client(self.socket, self.uid).close()
                return
            except (FileNotFoundError, PermissionError, ConnectionError, BlockingIOError):  # not there yet, or busy
                time.sleep(0.02)
        self.process.kill()
        raise RuntimeError("silica-priv did not listen:\n" + self.log_text())

    def snapshot(self):
        """What tools/leaks sees of this instance, without the helper's own process and files."""
        out = subprocess.run([os.path.join(ROOT, "tools", "leaks"), "snapshot", "--data", self.data, "--instance",
                              str(self.number)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             check=True)
        # A restart may get another loop device for the pool of disks: no difference.
        lines = [re.sub(r"^loop loop[0-9]+ ", "loop ", line) for line in out.stdout.splitlines()]
        return [line for line in lines if not line.startswith("process silica-priv ")]

    @staticmethod
    def loop_of(name):
        """The loop device of a sandbox's disk, or None."""
        for path in glob.glob("/sys/block/loop*/loop/backing_file"):
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    if f.read().strip().endswith(f"/{name}.img"):
                        return "/dev/" + path.split("/")[3]
            except OSError:
                continue
        return None

    def on_disk(self, inst, *command):
        """What a command prints in the top folder of a sandbox's disk, seen with the host's eyes."""
        script = 'mount -t ext4 "$1" "$2" && cd "$2" && shift 2 && exec "$@"'
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.loop_of(inst.id), self.templates,
                               *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              check=True).stdout

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def client(self, uid=None, hello=True):
        return Client(self.socket, self.uid if uid is None else uid, hello)

    def end(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(30)

    def ask(self, inst, question, timeout=60):
        """One question to the probe in a sandbox; the answer's lines."""
        with as_uid(self.uid):
            s = socket.socket()
        with s:
            s.settimeout(timeout)
            s.connect((inst.addr, 49983))
            s.sendall(question.encode() + b"\n")
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return answer.decode(errors="replace").splitlines()

    def close(self):
        """Ends all sandboxes and the helper and removes the data folder."""
        try:
            if self.process.poll() is not None:
                self.start()
            c = self.client()
            for inst in c.list():
                c.stop(inst.id)
            c.close()
            self.end()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.data, ignore_errors=True)
            os.close(self.lock)


def facts_of(lines):
    """"key rest" lines as key -> list of rests."""
    facts = {}
    for line in lines:
        key, _, rest = line.partition(" ")
        facts.setdefault(key, []).append(rest)
    return facts
