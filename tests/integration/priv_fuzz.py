#!/usr/bin/env python3
"""Random sequences of requests, noise and kill -9 against a real silica-priv.

    priv_fuzz.py [--seconds N] [--seed S]      N = 0: until something fails

Nothing is known of what the answers should be but this: the helper never ends by itself, the next
honest client is served, it never lists what nobody asked for, and in the end nothing is left. The
seed that is printed makes the same sequences again; how they fall in with the kernel's work differs.
"""

import argparse
import contextlib
import os
import random
import secrets
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402
from harness import HEAD, HELLO, LIST, START, STOP  # noqa: E402

IDS, CLIENTS, ANSWER_LIMIT_S, ID_BYTES = 6, 3, 90, 24
GREETING = struct.pack("=II", harness.MAGIC, harness.VERSION)
NUMBERS = (0, 1, 7, 8, 64, 1000, 2**20, 2**24, 2**31, 2**32 - 1)


class Fuzz:
    def __init__(self, h, seed):
        self.h, self.rng = h, random.Random(seed)
        self.ids = ["i" + "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20)) for _ in range(IDS)]
        self.clients, self.done, self.kills, self.said = [], 0, 0, []
        self.actions = [(self.start, 6), (self.stop, 12), (self.list, 6), (self.read, 12), (self.noise, 6),
                        (self.odd_start, 8), (self.flip, 8), (self.drop, 4), (self.end_inside, 2), (self.burst, 3)]

    def client(self):
        """One of a few connections, most of them greeted."""
        if len(self.clients) < CLIENTS and (not self.clients or self.rng.random() < 0.3):
            c = self.h.client(hello=False)
            c.sock.setblocking(False)
            if self.rng.random() < 0.9:
                c.send(HELLO, GREETING)
            self.clients.append(c)
        return self.rng.choice(self.clients)

    def forget(self, c):
        c.close()
        if c in self.clients:
            self.clients.remove(c)

    def name(self):
        return self.rng.choice(self.ids)

    def start(self, c):
        c.send(START, c.start_body(name=self.name(), memory=64 << 20, disk=16 << 20))

    def odd_start(self, c):
        """Well-formed, with one number or template that is not as it should be."""
        what = self.rng.choice(("memory", "cpu", "pids", "disk", "rate", "template"))
        value = "z" * 20 if what == "template" else self.rng.choice(NUMBERS)
        c.send(START, c.start_body(name=self.name(), **{what: value}))

    def stop(self, c):
        c.send(STOP, self.name().encode().ljust(24, b"\0"))

    def list(self, c):
        c.send(LIST)

    def burst(self, c):
        """Many at once; half of the time after a start of the same sandbox."""
        name = self.name()
        if self.rng.random() < 0.5:
            c.send(START, c.start_body(name=name, memory=64 << 20, disk=16 << 20))
        for _ in range(self.rng.randrange(2, 30)):
            if self.rng.random() < 0.8:
                c.send(STOP, name.encode().ljust(24, b"\0"))
            else:
                self.list(c)

    def noise(self, c):
        c.sock.send(self.rng.randbytes(self.rng.randrange(0, 200)))

    def flip(self, c):
        """A good start with one byte changed, of its head or of what stands behind the id."""
        packet = bytearray(HEAD.pack(START, 1) + c.start_body(name=self.name()))
        places = [n for n in range(len(packet)) if not HEAD.size <= n < HEAD.size + ID_BYTES]
        packet[self.rng.choice(places)] = self.rng.randrange(256)
        c.sock.send(bytes(packet))

    def read(self, c):
        for _ in range(self.rng.randrange(1, 40)):
            if not c.sock.recv(4096):
                raise ConnectionError

    def drop(self, c):
        self.forget(c)

    def end_inside(self, _):
        """A sandbox's first process is killed by somebody else."""
        folder = os.path.join(self.h.data, "run/sandboxes")
        name = self.name()
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(os.path.join(folder, name), encoding="ascii") as f:
                pid, began = f.read().split()[:2]
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                if f.read().rsplit(")", 1)[1].split()[19] == began:
                    os.kill(int(pid), signal.SIGKILL)

    def sequence(self):
        self.said = []
        for _ in range(self.rng.randrange(2, 12)):
            act = self.rng.choices([a for a, _ in self.actions], [w for _, w in self.actions])[0]
            self.said.append(act.__name__)
            c = None
            try:
                c = self.client()
                act(c)
            except BlockingIOError:
                pass  # nothing to read, or no room
            except OSError:
                if c is not None:
                    self.forget(c)
        self.done += 1

    def kill(self):
        """At any moment of what was just asked for; the next one takes over what lives."""
        time.sleep(self.rng.random() * 0.05)
        self.kills += 1
        for c in list(self.clients):
            self.forget(c)
        if self.h.end(signal.SIGKILL) != -signal.SIGKILL:
            raise AssertionError("the helper had ended before it was killed")
        self.h.start()

    def check(self):
        """The helper lives, serves, and lists only what was asked for."""
        for c in list(self.clients):
            self.forget(c)
        end = time.monotonic() + ANSWER_LIMIT_S
        while True:
            if self.h.process.poll() is not None:
                raise AssertionError("the helper ended by itself")
            try:
                c = self.h.client()
                c.sock.settimeout(ANSWER_LIMIT_S)
                listed = c.list()
                break
            except (ConnectionError, BlockingIOError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        if not {i.id for i in listed} <= set(self.ids):
            raise AssertionError(f"listed: {[i.id for i in listed]}")
        return c, listed

    def run(self, seconds):
        end = time.monotonic() + seconds
        while seconds == 0 or time.monotonic() < end:
            self.sequence()
            if self.rng.random() < 0.004:
                self.kill()
            elif self.rng.random() < 0.02:
                self.check()[0].close()

    def finish(self):
        c, _ = self.check()
        for name in self.ids:
            c.stop(name)
        left = [i.id for i in c.list()]
        c.close()
        return left


def settled(h, before):
    """After a kill the file remover of the dead helper may still be at work."""
    end = time.monotonic() + ANSWER_LIMIT_S
    while (now := h.snapshot()) != before and time.monotonic() < end:
        time.sleep(0.2)
    return now


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=secrets.randbits(32))
    o = arguments.parse_args()
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        before = h.snapshot()
        fuzz, why = Fuzz(h, o.seed), ""
        print(f"# seed {o.seed}", flush=True)
        try:
            fuzz.run(o.seconds)
            tap.equal(fuzz.finish(), [], "in the end every sandbox can be stopped")
        except (AssertionError, OSError, RuntimeError) as e:
            why = f"{type(e).__name__} {e}; seed {o.seed}, after {fuzz.done} sequences, the last {fuzz.said}"
        tap.ok(not why, "random sequences and kill -9 leave a helper that serves", why)
        print(f"# {fuzz.done} sequences, {fuzz.kills} kills")
        tap.equal(settled(h, before), before, "and nothing on the host")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# ")[-6000:])
        h.close()
    tap.end()


main()
