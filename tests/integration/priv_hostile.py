#!/usr/bin/env python3
"""silica-priv against a client that lies: every malformed request ends the connection, nothing more."""

import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402
from harness import HEAD, HELLO, LIST, START, STOP  # noqa: E402

GOOD = harness.Client.start_body
# chown dac_override fowner fsetid kill setgid setuid setpcap net_admin sys_ptrace sys_admin sys_resource mknod setfcap
KEPT_CAPS = (0, 1, 3, 4, 5, 6, 7, 8, 12, 19, 21, 24, 27, 31)


def ended(c):
    """True when the helper closed the connection without a reply that says success."""
    c.sock.settimeout(5)
    try:
        while (got := c.receive()) is not None:
            if got[0] == harness.REPLY and struct.unpack_from("=i", got[2])[0] == 0:
                return False
        return True
    except socket.timeout:
        return False


def cases():
    good = GOOD()
    yield "an empty operation", HEAD.pack(0, 1)
    yield "an unknown operation", HEAD.pack(99, 1)
    yield "a reply as a request", HEAD.pack(100, 1) + b"\0" * 312
    yield "a huge operation", HEAD.pack(0xFFFFFFFF, 1)
    yield "half a head", b"\1\0\0"
    yield "a second hello", HEAD.pack(HELLO, 1) + struct.pack("=II", harness.MAGIC, harness.VERSION)
    yield "a start that is too short", HEAD.pack(START, 1) + good[:-1]
    yield "a start that is too long", HEAD.pack(START, 1) + good + b"\0"
    yield "a packet of 64 KiB", HEAD.pack(START, 1) + b"\0" * 65000
    yield "a list with content", HEAD.pack(LIST, 1) + b"\0"
    for what, name in [("upper case", "iABCDEFGHIJKLMNOPQRST"), ("a path", "../../../../etc/passwd"[:21]),
                       ("dots", "i...................."), ("a slash", "iaaaaaaaaa/aaaaaaaaaa"), ("nothing", ""),
                       ("too long", "i" + "a" * 22), ("no terminator", "i" + "a" * 23),
                       ("a byte behind its end", "iaaaaaaaaaaaaaaaaaaaaa")]:
        yield f"a start of an id with {what}", HEAD.pack(START, 1) + GOOD(name=name or "\0")
        yield f"a stop of an id with {what}", HEAD.pack(STOP, 1) + struct.pack("=24s", name.encode())
    yield "a template that is a path", HEAD.pack(START, 1) + GOOD(template="../rootfs")
    yield "a template without a terminator", HEAD.pack(START, 1) + GOOD(template="a" * 24)
    yield "a secret that is too short", HEAD.pack(START, 1) + GOOD(secret="ab")
    yield "a secret with a quote", HEAD.pack(START, 1) + GOOD(secret='"' + "a" * 63)
    yield "a secret without a terminator", HEAD.pack(START, 1) + GOOD(secret="a" * 72)
    yield "an internet flag of 2", HEAD.pack(START, 1) + GOOD(internet=2)
    yield "an unknown kind", HEAD.pack(START, 1) + GOOD(kind=3)


def limit(h, name):
    with open(f"/proc/{h.process.pid}/limits", encoding="ascii") as f:
        return next(tuple(line[26:].split()[:2]) for line in f if line.startswith(name))


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(map(str.strip, line.split(":", 1)) for line in f)


def narrowed(tap, h):
    """What the kernel says of the running helper."""
    status = status_of(h.process.pid)
    kept = sum(1 << cap for cap in KEPT_CAPS) & int(status_of("self")["CapBnd"], 16)
    tap.equal([int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")],
              [kept, kept, kept, 0, 0], "the helper has its capabilities and no others, and can get none back")
    tap.equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "0"), "it has a seccomp filter; sudo works inside")
    tap.equal(limit(h, "Max core file size"), ("1", "1"), "it leaves no core dump, nor hands one on")


def strangers(tap, h):
    for what, uid in (("root", 0), ("nobody", 65534), ("the next instance", h.uid + 1)):
        try:
            c = h.client(uid=uid, hello=False)
            c.sock.send(HEAD.pack(HELLO, 1) + struct.pack("=II", harness.MAGIC, harness.VERSION))
            refused = ended(c)
        except (PermissionError, ConnectionError, BrokenPipeError):
            refused = True
        tap.ok(refused, f"{what} may not connect")


def before_hello(tap, h):
    c = h.client(hello=False)
    c.sock.send(HEAD.pack(LIST, 1))
    tap.ok(ended(c), "nothing is answered before the hello")
    c = h.client(hello=False)
    c.sock.send(HEAD.pack(HELLO, 1) + struct.pack("=II", harness.MAGIC, 999))
    tap.ok(ended(c), "another version is refused")
    c = h.client(hello=False)
    c.sock.send(HEAD.pack(HELLO, 1) + struct.pack("=II", 1, harness.VERSION))
    tap.ok(ended(c), "another magic number is refused")


def noise(tap, h):
    rng = random.Random(1)
    for _ in range(200):
        c = h.client()
        try:
            c.sock.send(rng.randbytes(rng.randrange(1, 600)))
            if not ended(c):
                tap.ok(False, "random bytes end the connection")
        except OSError:
            pass
        c.close()
    tap.ok(True, "200 random packets end their connections")


def not_reading(tap, h):
    """A client that asks and never reads loses its connection; the helper goes on."""
    c = h.client()
    c.sock.settimeout(5)
    try:
        for _ in range(200000):
            c.send(LIST)
        tap.ok(False, "a client that does not read is cut off")
    except (OSError, ConnectionError):
        tap.ok(True, "a client that does not read is cut off")
    c.close()


def crowd(tap, h):
    held = []
    for _ in range(4):
        held.append(h.client())
    try:
        fifth = h.client()
        refused = False
        fifth.close()
    except (ConnectionError, OSError):
        refused = True
    tap.ok(refused, "a fifth client is refused")
    for c in held:
        c.close()
    tap.ok(is_served(h), "after the crowd has gone, somebody is served again")


def is_served(h):
    """Waits: the helper may see a new client before the ends of the old ones."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            h.client().close()
            return True
        except ConnectionError:
            time.sleep(0.02)
    return False


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        before = h.snapshot()
        narrowed(tap, h)
        strangers(tap, h)
        before_hello(tap, h)
        for what, packet in cases():
            c = h.client()
            try:
                c.sock.send(packet)
                tap.ok(ended(c), f"{what} ends the connection")
            except (BrokenPipeError, ConnectionError):
                tap.ok(True, f"{what} ends the connection")
            c.close()
        noise(tap, h)
        not_reading(tap, h)
        crowd(tap, h)
        c = h.client()
        inst = c.start()
        tap.equal(h.ask(inst, "cat /etc/hostname"), [f"cat {inst.id}"], "an honest client is served all the same")
        c.stop(inst.id)
        tap.equal(h.snapshot(), before, "nothing is left of any of it")
        tap.equal(h.process.poll(), None, "the helper lives")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# ")[-4000:])
        h.close()
    tap.end()


main()
