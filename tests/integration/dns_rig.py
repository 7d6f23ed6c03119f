"""silica-dns alone, in a network of the test's own: sandboxes' addresses and nameservers on its loopback.

enter() restarts the test program in a new network namespace where all of 198.18.0.0/15 is local, so a
socket bound to 198.18.0.2 is the sandbox in slot 0 of instance 0. Nameserver is a server that answers by
what a name begins with; Program is silica-dns with sockets as the supervisor would give it.
"""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SILICA_BUILD") or ROOT / "build").resolve()
GATEWAY, SANDBOX, NEIGHBOUR = "198.18.0.1", "198.18.0.2", "198.18.0.6"
PORT = 5310
UID = 0x6FFF0100
PATIENCE_S = 60
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x400, 0x200, 0x100, 0x80, 0x20, 0x10
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5


def enter():
    """Called first: replaces this process by one in a namespace; returns in that one."""
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        sys.exit(0)
    if os.environ.get("SILICA_DNS_RIG") != "inside":
        os.environ["SILICA_DNS_RIG"] = "inside"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    for command in ("ip link set lo up", "ip addr add 198.18.0.1/15 dev lo"):
        subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)


def leave(status):
    """At once: threads of a nameserver may still be waiting for something."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait_until(condition, what, limit_s=PATIENCE_S):
    end = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {limit_s} s still not so: {what}")
        time.sleep(0.02)
    return value


# --- messages ----------------------------------------------------------------------------------------


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def query(name, number=0x1234, flags=RD, kind=1, edns=None, extra=b""):
    """A client's question; edns is the size that it takes."""
    head = struct.pack(">6H", number, flags, 1, 0, 0, 0 if edns is None else 1)
    opt = b"" if edns is None else b"\0" + struct.pack(">HHIH", 41, edns, 0, 0)
    return head + name_bytes(name) + struct.pack(">HH", kind, 1) + opt + extra


def question_of(message):
    """(name, bytes of the question) of a message with one."""
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), message[12:at + 5]


class Message:
    def __init__(self, data):
        self.data = data
        self.id, self.flags, self.questions, self.answers, _, self.extra = struct.unpack(">6H", data[:12])
        self.rcode = self.flags & 15
        self.name = question_of(data)[0] if self.questions else None

    def addresses(self):
        """Of answers that point back to the question's name."""
        at = 12 + len(question_of(self.data)[1])
        found = []
        for _ in range(self.answers):
            kind, _, _, length = struct.unpack(">HHIH", self.data[at + 2:at + 12])
            if kind == 1:
                found.append(socket.inet_ntoa(self.data[at + 12:at + 16]))
            at += 12 + length
        return found


# --- the nameserver ----------------------------------------------------------------------------------


class Nameserver:
    """Answers every name with 192.0.2.<last byte of its own address>, unless its first label says else.

    silent: nothing · late: after 2 s · lie-id, lie-question, lie-kind: wrong ones first, then the right one ·
    only-lies: wrong ones · lie-port: from another port first · big: 50 addresses · huge: 4000 ·
    cut: by UDP truncated · garbage: no DNS · fail, refuse, missing: that rcode · flags: every flag there is
    """

    def __init__(self, address="127.0.0.53", tcp=True):
        self.address = address
        self.seen = []  # (name, query, source port, by tcp)
        self.open_tcp = 0
        self.silent = False
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.last = address.replace(":", ".").rsplit(".", 1)[1]
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, 53))
        if tcp:
            self.listener.listen(64)
            threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.serve_udp, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def names(self):
        return [name for name, *_ in self.seen]

    def answer(self, message, tcp):
        name, question = question_of(message)
        label = name.split(".")[0]
        number, flags = struct.unpack(">HH", message[:4])
        edns = struct.unpack(">H", message[10:12])[0]
        count = {"big": 50, "huge": 4000}.get(label, 1)
        rcode = {"fail": SERVFAIL, "refuse": REFUSED, "missing": NXDOMAIN}.get(label, 0)
        flags = QR | RA | flags & (RD | CD) | rcode
        if label == "flags":
            flags |= AA | AD | 0x40
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, int(self.last)])
        count = 0 if rcode else count
        limit = 65535 if tcp else 1232 if edns else 512
        if 12 + len(question) + 16 * count > limit or (label == "cut" and not tcp):
            flags, count = flags | TC, 0
        return struct.pack(">6H", number, flags, 1, count, 0, 0) + question + record * count

    def lies(self, message):
        """What a liar sends before the truth."""
        label = question_of(message)[0].split(".")[0]
        good = self.answer(message, False)[:-1] + b"\x63"  # 192.0.2.99: whoever takes it is seen
        if label in ("lie-id", "only-lies"):
            yield bytes([good[0] ^ 1]) + good[1:]
        if label in ("lie-question", "only-lies"):
            yield self.answer(query("other.test", struct.unpack(">H", message[:2])[0]), False)
        if label == "lie-kind":
            yield message[:2] + bytes([message[2]]) + good[3:]  # no answer but a question
            yield good[:5] + b"\0" + good[6:]  # an answer to no question
        if label in ("garbage", "only-lies"):
            yield b"\xff" * 40
            yield b""
            yield good[:11]

    def serve_udp(self):
        while True:
            try:
                message, source = self.udp.recvfrom(4096)
            except OSError:
                return
            if not message:  # shut down
                return
            name = question_of(message)[0]
            self.seen.append((name, message, source[1], False))
            threading.Thread(target=self.reply_udp, args=(name, message, source), daemon=True).start()

    def reply_udp(self, name, message, source):
        label = name.split(".")[0]
        if self.silent or label == "silent":
            return
        if label == "late":
            time.sleep(2)
        for lie in self.lies(message):
            self.udp.sendto(lie, source)
        if label == "lie-port":
            with socket.socket(self.udp.family, socket.SOCK_DGRAM) as other:
                other.bind((self.address, 0))
                answer = self.answer(message, False)
                other.sendto(answer[:-1] + b"\x63", source)
            time.sleep(0.2)
        if label not in ("only-lies", "garbage"):
            try:
                self.udp.sendto(self.answer(message, False), source)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_tcp, args=(peer,), daemon=True).start()

    def serve_tcp(self, peer):
        self.open_tcp += 1
        with peer:
            try:
                length = struct.unpack(">H", peer.recv(2, socket.MSG_WAITALL))[0]
                message = peer.recv(length, socket.MSG_WAITALL)
                name = question_of(message)[0]
                self.seen.append((name, message, peer.getpeername()[1], True))
                label = name.split(".")[0]
                if self.silent or label == "silent":
                    time.sleep(30)
                answer = self.answer(message, True)
                if label == "half":
                    peer.sendall(struct.pack(">H", len(answer)) + answer[:-3])
                    peer.shutdown(socket.SHUT_RDWR)
                elif label == "slow":
                    for byte in struct.pack(">H", len(answer)) + answer:
                        peer.sendall(bytes([byte]))
                        time.sleep(0.005)
                else:
                    peer.sendall(struct.pack(">H", len(answer)) + answer)
                peer.recv(1)
            except OSError:
                pass
        self.open_tcp -= 1

    def close(self):
        """Blocked calls do not notice a close, but a shutdown."""
        for s in (self.listener, self.udp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


# --- silica-dns --------------------------------------------------------------------------------------


class Program:
    def __init__(self, resolv_conf, instance=0, setup=None):
        self.folder = tempfile.mkdtemp(prefix="silica-dns-test-")
        os.chmod(self.folder, 0o755)
        self.resolv_conf = pathlib.Path(self.folder, "resolv.conf")
        if resolv_conf is not None:
            self.write(resolv_conf)
        self.instance, self.setup = instance, setup
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("0.0.0.0", PORT + instance))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("0.0.0.0", PORT + instance))
        self.tcp.listen(256)
        self.log = open(os.path.join(self.folder, "log"), "w+b")  # pylint: disable=consider-using-with
        self.process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.udp.close()
        self.tcp.close()
        self.log.close()
        for path in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, path))
        os.rmdir(self.folder)

    def write(self, text):
        self.resolv_conf.write_text(text)
        self.resolv_conf.chmod(0o644)

    def start(self):
        readies = self.text().count("ready")
        command = [str(BUILD / "silica-dns"), "--instance", str(self.instance), "--uid", str(UID + self.instance),
                   "--udp-fd", str(self.udp.fileno()), "--tcp-fd", str(self.tcp.fileno()),
                   "--resolv-conf", str(self.resolv_conf)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        pass_fds=(self.udp.fileno(), self.tcp.fileno()), preexec_fn=self.setup)
        wait_until(lambda: self.text().count("ready") > readies or self.process.poll() is not None,
                   "silica-dns is ready")
        if self.process.poll() is not None:
            raise RuntimeError("silica-dns ended: " + self.text())

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def status(self, key):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return line.split(":", 1)[1].strip()
        raise KeyError(key)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


# --- a sandbox ---------------------------------------------------------------------------------------


class Client:
    def __init__(self, address=SANDBOX, to=GATEWAY, port=PORT, limit_s=PATIENCE_S):
        self.to = (to, port)
        self.limit_s = limit_s
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 0))
        self.udp.settimeout(limit_s)
        self.address = address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.udp.close()

    def send(self, message):
        self.udp.sendto(message, self.to)

    def receive(self, limit_s=None):
        """The next answer, None when there is none in time."""
        self.udp.settimeout(limit_s or self.limit_s)
        try:
            data, source = self.udp.recvfrom(65535)
        except TimeoutError:
            return None
        assert source == self.to, source
        return Message(data)

    def ask(self, name, **options):
        self.send(query(name, **options))
        answer = self.receive()
        assert answer is not None, f"no answer about {name}"
        return answer

    def connect(self):
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.settimeout(self.limit_s)
        stream.bind((self.address, 0))
        stream.connect(self.to)
        return stream

    def ask_tcp(self, name, **options):
        with self.connect() as stream:
            send_tcp(stream, query(name, **options))
            return receive_tcp(stream)


def send_tcp(stream, *messages):
    stream.sendall(b"".join(struct.pack(">H", len(m)) + m for m in messages))


def receive_tcp(stream):
    """The next answer; None at the end of the stream."""
    try:
        head = stream.recv(2, socket.MSG_WAITALL)
        if len(head) < 2:
            return None
        length = struct.unpack(">H", head)[0]
        data = stream.recv(length, socket.MSG_WAITALL)
    except ConnectionResetError:
        return None
    assert len(data) == length, f"{len(data)} of {length} bytes"
    return Message(data)
