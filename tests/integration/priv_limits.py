#!/usr/bin/env python3
"""silica-priv tells what limits a sandbox met and why its process 1 ended, also after its own restart."""

import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402

EVENT = 103
MEMORY, PIDS, DISK, INODES = 1, 2, 3, 4
UNKNOWN, CODE, SIGNAL, FOR_MEMORY = 0, 1, 2, 3
LIMIT_S = 60
FILL_BYTES = 64 * harness.MIB
PIPE_BYTES = 65536
FLOOD_ROUNDS = 100


class Client(harness.Client):
    """Keeps what the helper tells by itself, in its order: ("event", id, kind, count) and so on."""

    def __init__(self, *arguments):
        self.told = []
        super().__init__(*arguments)

    def receive(self):
        got = super().receive()
        if got is None:
            return got
        op, seq, body = got
        name = body[:24].split(b"\0")[0].decode()
        if op == EVENT:
            self.told.append(("event", name, *harness.struct.unpack_from("=II", body, 24)))
        elif op == harness.EXIT:
            reason = body[24:120].split(b"\0")[0].decode()
            self.told.append(("exit", name, *harness.struct.unpack_from("=Ii", body, 120), reason))
        elif op == harness.REPLY:
            self.told.append(("reply", seq))
        elif op == harness.ITEM:
            self.told.append(("item", name))
        return got

    def until(self, wanted):
        """The first thing told that `wanted` takes; None when the time is over."""
        end, at = time.monotonic() + LIMIT_S, 0
        while True:
            for one in self.told[at:]:
                if wanted(one):
                    return one
            at = len(self.told)
            self.sock.settimeout(max(0.05, end - time.monotonic()))
            try:
                if self.receive() is None:
                    return None
            except socket.timeout:
                return None
            finally:
                self.sock.settimeout(LIMIT_S)

    def event(self, inst, kind, at_least=1):
        got = self.until(lambda t: t[:3] == ("event", inst.id, kind) and t[3] >= at_least)
        return got[3] if got else None

    def end(self, inst):
        got = self.until(lambda t: t[:2] == ("exit", inst.id))
        return got[2:] if got else (None, None, None)


def client(h):
    return Client(h.socket, h.uid)


def memory_and_pids(tap, h, c):
    inst, quiet = c.start(memory=64 * harness.MIB, pids=20), c.start()
    h.ask(inst, "as 1000 hog 200")
    first = c.event(inst, MEMORY)
    tap.equal(first, 1, "a process that was ended for want of memory is told")
    h.ask(inst, "as 1000 hog 200")
    h.ask(inst, "as 0 hog 200")
    tap.equal(c.event(inst, MEMORY, 3), 3, "the next ones raise the total")
    made, why = h.ask(inst, "as 1000 forks 100")[0].split()[1:]
    tap.ok(why == "EAGAIN" and int(made) < 20, "a fork is refused", (made, why))
    tap.ok(c.event(inst, PIDS), "and told")
    h.ask(quiet, "as 1000 hog 32")
    h.ask(quiet, "as 1000 forks 20")
    late = client(h)
    items = late.list()
    tap.equal({i.id for i in items}, {inst.id, quiet.id}, "both live")
    told = [t for t in late.told if t[0] == "event"]
    tap.ok(told.count(("event", inst.id, MEMORY, 3)) == 2, "who connects later hears it after the hello and in the list",
           late.told)
    tap.ok(late.told.index(told[0]) > late.told.index(("reply", 1)), "not before the hello's answer", late.told)
    tap.equal(late.told[-1], ("reply", 2), "and not behind the list's answer")
    tap.equal([t for t in c.told + late.told if t[:2] == ("event", quiet.id)], [], "a neighbour met nothing")
    late.close()
    return inst, quiet


def last_word(tap, h, c):
    """What happens just before the end is not lost, and comes before the end is told."""
    inst = c.start(memory=64 * harness.MIB)
    h.ask(inst, "as 1000 hog 200")
    os.kill(inst.pid, signal.SIGKILL)
    cause, status, reason = c.end(inst)
    tap.equal((cause, status), (SIGNAL, 9), f"killed from the host: {reason}")
    at = [t[0] for t in c.told if t[1] == inst.id and t[0] in ("event", "exit")]
    tap.equal(at, ["event", "exit"], "its last event came before")


def causes(tap, h, c):
    inst = c.start()
    last_request(h, inst, "exit 7")
    tap.equal(c.end(inst), (CODE, 7, "exited with status 7"), "process 1 ended by itself")
    inst = c.start()
    out_of_memory(h, inst)
    cause, status, reason = c.end(inst)
    tap.equal((cause, status), (FOR_MEMORY, 9), "process 1 was out of its own memory")
    tap.ok("memory" in reason and "/dev/shm" in reason, "the reason says so, and what to do", reason)
    inst = c.start()
    h.ask(inst, "as 1000 hog 16")
    c.stop(inst.id)
    time.sleep(1.5)  # longer than a round, so that a wrong one would be there
    c.list()
    tap.equal([t for t in c.told if t[1] == inst.id], [], "what was stopped has no end to tell")


def last_request(h, inst, question):
    """Nobody answers: its network goes away with it, without a word."""
    try:
        h.ask(inst, question, timeout=1)
    except OSError:
        pass


def out_of_memory(h, inst):
    """Process 1 takes more than its own group may have."""
    last_request(h, inst, "hog 400")


def full_disk(tap, h, c):
    """Filled from the host, through the sandbox's own root and with an id of its range."""
    inst = c.start(disk=FILL_BYTES)
    root = os.open(f"/proc/{inst.pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    room = os.fstatvfs(root)
    tap.ok(room.f_blocks * room.f_frsize <= FILL_BYTES, "its disk is as large as was asked for", room)
    with harness.as_uid(harness.SANDBOX_UID_BASE + (h.number * 2048 + inst.slot) * 65536):
        fill(root, "tmp/one")
        tap.equal(c.event(inst, DISK), 1, "a full disk is told")
        time.sleep(2.5)
        c.list()
        tap.equal(max(t[3] for t in c.told if t[:3] == ("event", inst.id, DISK)), 1, "once, as long as it is full")
        os.unlink("tmp/one", dir_fd=root)
        time.sleep(3)  # it has to be seen with room
        fill(root, "tmp/two")
        tap.equal(c.event(inst, DISK, 2), 2, "and again when it is full again")
        os.unlink("tmp/two", dir_fd=root)
        n, why = 0, None
        while why is None:
            try:
                os.close(os.open(f"tmp/f{n}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, dir_fd=root))
                n += 1
            except OSError as e:
                why = e
    os.close(root)
    tap.equal(c.event(inst, INODES), 1, f"no room for another file is told, after {n}: {why}")
    return inst


def fill(root, path):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, dir_fd=root), "wb", buffering=0) as f:
        try:
            while f.write(b"x" * harness.MIB):
                pass
            os.fsync(f.fileno())
        except OSError:
            pass


def flood(tap, h, c):
    """Process 1 writes to its log without end: a few lines get through, and nobody is kept busy."""
    inst = c.start()
    h.ask(inst, "do write 2 s:%1b[2Jone%22%0atwo%0a 15")
    wait_until(lambda: f"envd of {inst.id}: two" in h.log_text())
    tap.ok(f"envd of {inst.id}: \\x1b[2Jone\\x22\n" in h.log_text(), "lines are quoted", h.log_text()[-500:])
    before, began = bytes_read(h), time.monotonic()
    writes = " ; ".join(["do write 2 b:65536 65536"] + ["write 2 b:65536 65536"] * 40)
    lines = "do write 2 s:" + "x%0a" * 100 + " 200"
    for _ in range(FLOOD_ROUNDS):
        h.ask(inst, lines)
        h.ask(inst, writes)
    seconds = time.monotonic() - began + 2
    tap.ok(bytes_read(h) - before < seconds * 2 * PIPE_BYTES, "silica-priv reads about one pipe full a second",
           (bytes_read(h) - before, seconds))
    wait_until(lambda: "bytes of its messages were dropped" in h.log_text())
    text = h.log_text()
    said = [line for line in text.splitlines() if f"envd of {inst.id}: " in line]
    tap.ok(len(said) <= 21 * (seconds + 3), "about twenty lines a second get through", (len(said), seconds))
    tap.ok(text.count(f"envd of {inst.id} says too much") <= text.count("messages were dropped") * 2,
           "that messages are lost is told once", text[-1000:])
    h.ask(inst, "do write 2 s:after%0a 6")
    wait_until(lambda: f"envd of {inst.id}: after" in h.log_text())
    tap.ok(True, "after it messages arrive again")
    c.stop(inst.id)


def bytes_read(h):
    with open(f"/proc/{h.process.pid}/io", encoding="ascii") as f:
        return int(f.readline().split()[1])


def wait_until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def restart(tap, h, inst, full):
    """kill -9 of silica-priv: totals go on where they were, the ends of adopted ones are told."""
    h.end(signal.SIGKILL)
    h.ask(inst, "as 1000 hog 200")  # while nobody looks
    h.start()
    c = client(h)
    tap.equal(c.event(inst, MEMORY), 4, "after a restart the totals are told, with what happened meanwhile")
    tap.ok(c.event(inst, PIDS), "all of them")
    if full:
        tap.ok(c.event(full, DISK, 2) and c.event(full, INODES), "those of the disk too", c.told)
        c.stop(full.id)
    h.ask(inst, "as 1000 hog 200")
    tap.equal(c.event(inst, MEMORY, 5), 5, "and go on rising")
    return c


def adopted_ends(tap, h, c, one, other):
    os.kill(one.pid, signal.SIGKILL)
    cause, _, reason = c.end(one)
    tap.ok(cause == UNKNOWN and reason, "an adopted one ended: nobody saw how", (cause, reason))
    out_of_memory(h, other)
    tap.equal(c.end(other)[:2], (FOR_MEMORY, 9), "but a lack of memory is seen")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        before = h.snapshot()
        c = client(h)
        inst, quiet = memory_and_pids(tap, h, c)
        last_word(tap, h, c)
        causes(tap, h, c)
        flood(tap, h, c)
        full = full_disk(tap, h, c)
        c.close()
        c = restart(tap, h, inst, full)
        adopted_ends(tap, h, c, inst, quiet)
        tap.equal(c.list(), [], "all have ended")
        tap.equal(h.snapshot(), before, "nothing is left")
        left = os.listdir(os.path.join(h.data, "run", "sandboxes"))
        tap.equal(left, [], "nor a file")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
