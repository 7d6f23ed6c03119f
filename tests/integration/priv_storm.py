#!/usr/bin/env python3
"""silica-priv against a client that wears it out: it lives, serves others, and grows by nothing."""

import array
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402
from harness import HEAD, HELLO, LIST, START, STOP  # noqa: E402

SLOTS = 2048
ANSWER_LIMIT_S = 60
GROWTH_KIB = 8192
GREETING = HEAD.pack(HELLO, 1) + struct.pack("=II", harness.MAGIC, harness.VERSION)
GOOD = harness.Client.start_body


def descriptors(h):
    return len(os.listdir(f"/proc/{h.process.pid}/fd"))


def resident_kib(h):
    with open(f"/proc/{h.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def good_client(h):
    """A client that is served; waits until the ends of the others have been seen."""
    end = time.monotonic() + ANSWER_LIMIT_S
    while True:
        try:
            c = h.client()
            c.sock.settimeout(ANSWER_LIMIT_S)
            c.list()
            return c
        except (ConnectionError, BlockingIOError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def connect(h, hello=False):
    """A connection of the storm's; waits while the queue of the listening socket is full."""
    end = time.monotonic() + ANSWER_LIMIT_S
    while True:
        try:
            return h.client(hello=hello)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.002)


class Watch:
    """Around each storm: the same process, as many descriptors, no more memory than noise."""

    def __init__(self, tap, h):
        self.tap, self.h = tap, h
        good_client(h).close()
        self.fds, self.kib, self.pid = self.count(), resident_kib(h), h.process.pid

    def count(self):
        """Settled: the helper may still have to see that clients are gone."""
        end = time.monotonic() + ANSWER_LIMIT_S
        while descriptors(self.h) > getattr(self, "fds", 0) and hasattr(self, "fds") and time.monotonic() < end:
            time.sleep(0.05)
        return descriptors(self.h)

    @contextlib.contextmanager
    def storm(self, what):
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            yield
        try:
            good_client(self.h).close()
            served = True
        except (OSError, ConnectionError):
            served = False
        grown = resident_kib(self.h) - self.kib
        self.tap.ok(self.h.process.poll() is None and served and self.count() <= self.fds and grown < GROWTH_KIB, what,
                    f"served {served}, descriptors {self.fds} -> {descriptors(self.h)}, grown by {grown} KiB")


def connections(h, watch):
    with watch.storm("500 connections that say nothing"):
        for _ in range(500):
            connect(h).close()
    with watch.storm("500 connections that end with their hello on its way"):
        for _ in range(500):
            c = connect(h)
            with contextlib.suppress(OSError):
                c.sock.send(GREETING)
            c.close()
    with watch.storm("silent clients in all places, half of them greeted, then gone"):
        held = []
        for n in range(8):
            with contextlib.suppress(ConnectionError):
                held.append(connect(h, n % 2 == 0))
        for c in held:
            c.close()
    with watch.storm("empty packets"):
        for _ in range(100):
            c = connect(h)
            with contextlib.suppress(OSError):
                c.sock.send(b"")
            c.close()


def with_descriptors(h, watch, tap):
    """Packets that carry descriptors: they are refused, or closed by the kernel unseen."""
    refused = 0
    with watch.storm("200 descriptors with every packet"):
        with open("/dev/null", "rb") as null:
            for n in range(20):
                c = connect(h, n % 2 == 0)
                rights = array.array("i", [null.fileno()] * 200)
                try:
                    c.sock.sendmsg([HEAD.pack(LIST, 1)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                except PermissionError:
                    refused += 1
                c.close()
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.getsockopt(socket.SOL_SOCKET, 83)  # SO_PASSRIGHTS, Linux 6.16
            tap.equal(refused, 20, "where the kernel can, it refuses them at the sender")
        except OSError:
            tap.ok(True, "where the kernel can, it refuses them at the sender # SKIP this one is older than 6.16")


def unread(h, watch):
    with watch.storm("2000 lists and stops, the answers unread"):
        c = connect(h, True)
        c.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                c.send(LIST)
                c.send(STOP, harness.new_id().encode().ljust(24, b"\0"))
        c.close()
    with watch.storm("200 starts of a template that is not there, the answers unread"):
        c = connect(h, True)
        for _ in range(200):
            c.send(START, GOOD(template="0" * 20))
        c.close()


def numbers(h, tap):
    """Every number out of its range: an error, and the connection lives."""
    c, wrong = connect(h, True), []
    for member, values in {"memory": (0, 1, (16 << 20) - 1, (1 << 42) + 1, 2**63, 2**64 - 1),
                           "cpu": (0, 9, 1024001, 2**31, 2**32 - 1), "pids": (0, 7, (1 << 20) + 1, 2**32 - 1),
                           "disk": (0, (16 << 20) - 1, (1 << 44) + 1, 2**64 - 1),
                           "rate": (1, 1023, (1 << 36) + 1, 2**64 - 1)}.items():
        for value in values:
            try:
                c.start(**{member: value})
                wrong.append((member, value))
            except harness.Error as e:
                wrong += [] if e.error == -22 else [(member, value, str(e))]
    tap.equal(wrong, [], "every number out of its range is refused by name")
    c.close()


def races(h, watch, tap):
    with watch.storm("a start whose client is gone before the answer"):
        name = harness.new_id()
        c = connect(h, True)
        c.send(START, GOOD(name=name))
        c.close()
        c = good_client(h)
        c.stop(name)
        tap.equal([i.id for i in c.list()], [], "its sandbox can be stopped by the next one")
        c.close()
    with watch.storm("start, stop, stop, start of one id without a pause"):
        c, name = connect(h, True), harness.new_id()
        body = name.encode().ljust(24, b"\0")
        for _ in range(4):
            c.send(START, GOOD(name=name))
            c.send(START, GOOD(name=name))
            for _ in range(12):
                c.send(STOP, body)
        answers = 0
        while answers < 56:
            answers += c.receive()[0] == harness.REPLY
        c.stop(name)
        tap.equal(c.list(), [], "each is answered, and in the end there is none")
        c.close()


def templates(h, tap):
    """Symbolic links, strangers' folders and an exchanged folder in the templates' place."""
    c, wrong = connect(h, True), []
    folder = h.templates
    good = os.path.join(folder, harness.TEMPLATE)
    os.symlink("/", os.path.join(folder, "a" * 20))
    os.makedirs(os.path.join(folder, "b" * 20))
    os.symlink("/", os.path.join(folder, "b" * 20, "rootfs"))
    os.symlink("../../../../..", os.path.join(folder, "c" * 20))
    shutil.copytree(good, os.path.join(folder, "d" * 20))
    os.chown(os.path.join(folder, "d" * 20, "rootfs"), 1000, 1000)
    os.makedirs(os.path.join(folder, "e" * 20))
    os.mkfifo(os.path.join(folder, "e" * 20, "rootfs"))
    for letter in "abcde":
        try:
            wrong.append(c.start(template=letter * 20).id)
        except harness.Error:
            pass
    tap.equal(wrong, [], "a template that is a link, a pipe or somebody else's is refused")
    os.rename(folder, folder + ".away")
    os.symlink("/etc", folder)
    try:
        inst = c.start()
        tap.equal(h.ask(inst, "cat /etc/template"), ["cat from the template"],
                  "templates are those of the folder that was there at the start, whatever has its name now")
        c.stop(inst.id)
    finally:
        os.unlink(folder)
        os.rename(folder + ".away", folder)
    c.close()


def full(h, tap):
    """All slots taken: by records of one idle process, so that a helper adopts 2048 sandboxes."""
    h.end()
    idle = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    with open(f"/proc/{idle.pid}/stat", encoding="ascii") as f:
        began = f.read().rsplit(")", 1)[1].split()[19]
    records = os.path.join(h.data, "run/sandboxes")
    names = [harness.new_id() for _ in range(SLOTS)]
    for slot, name in enumerate(names):
        with open(os.path.join(records, name), "w", encoding="ascii") as f:
            f.write(f"{idle.pid} {began} {slot}\n")
    try:
        h.start()
        c = good_client(h)
        tap.equal(len(c.list()), SLOTS, "a list of all slots")
        errors = set()
        for _ in range(50):
            try:
                c.start()
            except harness.Error as e:
                errors.add(e.error)
        tap.equal(errors, {-28}, "one more is refused, as often as it is tried")
        greedy = connect(h, True)
        with contextlib.suppress(OSError):
            for _ in range(200):
                greedy.send(LIST)
        tap.equal(len(c.list()), SLOTS, "200 lists of all slots, unread, keep nobody else from his own")
        greedy.close()
        c.close()
    finally:
        h.end(9)  # it must not end our process as a sandbox
        idle.kill()
        idle.wait()
    h.start()
    tap.equal(good_client(h).list(), [], "and what they stood for is gone with the process")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        before = h.snapshot()
        c = connect(h, True)
        c.stop(c.start().id)  # what is allocated once
        c.close()
        watch = Watch(tap, h)
        connections(h, watch)
        with_descriptors(h, watch, tap)
        unread(h, watch)
        numbers(h, tap)
        races(h, watch, tap)
        templates(h, tap)
        full(h, tap)
        c = good_client(h)
        inst = c.start()
        tap.equal(h.ask(inst, "cat /etc/hostname"), [f"cat {inst.id}"], "an honest client is served all the same")
        c.stop(inst.id)
        c.close()
        for name in os.listdir(h.templates):
            if name != harness.TEMPLATE:
                path = os.path.join(h.templates, name)
                os.unlink(path) if os.path.islink(path) else shutil.rmtree(path)
        tap.equal(h.snapshot(), before, "nothing is left of any of it")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# ")[-4000:])
        h.close()
    tap.end()


main()
