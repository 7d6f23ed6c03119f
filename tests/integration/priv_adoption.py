#!/usr/bin/env python3
"""silica-priv: its death ends no sandbox; the next start adopts what lives and reaps the rest."""

import os
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402


def key(inst):
    return inst.id, inst.addr, inst.pid, inst.pid_start, inst.slot


def removal(tap, h, empty):
    """Killed while the files of a sandbox are being removed: its client knows at once, nothing is left.

    There are very many of them, in a folder as sandboxes had it before they had disks.
    """
    c = h.client()
    inst = c.start()
    upper = os.path.join(h.data, "sandboxes", inst.id, "upper")
    os.mkdir(upper)
    for n in range(200):
        os.mkdir(os.path.join(upper, str(n)))
        for m in range(100):
            os.close(os.open(os.path.join(upper, str(n), str(m)), os.O_CREAT, 0o600))
    full = len(os.listdir(upper))
    c.send(harness.STOP, inst.id.encode().ljust(24, b"\0"))
    end = time.monotonic() + 20
    while len(os.listdir(upper)) == full and time.monotonic() < end:
        pass
    with open(f"/proc/{h.process.pid}/task/{h.process.pid}/children", encoding="ascii") as f:
        pids = [int(p) for p in f.read().split() if int(p) != inst.pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    h.end(signal.SIGKILL)
    c.sock.settimeout(5)
    try:
        tap.equal(c.receive(), None, "a helper that is killed while it removes files is gone for its client")
    except TimeoutError:
        tap.ok(False, "a helper that is killed while it removes files is gone for its client")
    h.start()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    tap.ok(len(pids) == 1, "(it was caught in the act)", pids)
    tap.equal(h.client().list(), [], "and the next one does not know that sandbox")
    end = time.monotonic() + 20
    while h.snapshot() != empty and time.monotonic() < end:
        time.sleep(0.1)
    tap.equal(h.snapshot(), empty, "nor is anything left of it")


def few_descriptors(tap, h):
    """A low soft limit of whoever starts it does not keep it from adopting what lives."""
    c = h.client()
    made = [c.start() for _ in range(8)]
    h.end(signal.SIGKILL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (28, hard))
    try:
        h.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    c = h.client()
    tap.equal(sorted(i.id for i in c.list()), sorted(i.id for i in made), "a low limit of descriptors loses no sandbox")
    for inst in made:
        c.stop(inst.id)


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        c = h.client()
        empty = h.snapshot()
        made = [c.start() for _ in range(3)]
        h.end(signal.SIGKILL)
        tap.equal([h.ask(i, "cat /etc/hostname") for i in made], [[f"cat {i.id}"] for i in made],
                  "sandboxes answer while the helper is dead")
        h.start()
        c = h.client()
        tap.equal(sorted(map(key, c.list())), sorted(map(key, made)), "after kill -9 the next start adopts all")
        c.stop(made[0].id)
        tap.equal(len(c.list()), 2, "an adopted sandbox can be stopped")
        os.kill(made[1].pid, signal.SIGKILL)
        tap.equal(c.wait_exit(made[1].id), "ended", "the end of an adopted one is told")
        fresh = c.start()
        tap.ok(fresh.slot != made[2].slot, "a new one gets another slot than what lives")

        # Dead on return: killed while nobody watched.
        h.end(signal.SIGKILL)
        os.kill(made[2].pid, signal.SIGKILL)
        h.start()
        c = h.client()
        tap.equal([i.id for i in c.list()], [fresh.id], "what died meanwhile is reaped, the rest adopted")
        c.stop(fresh.id)
        tap.equal(h.snapshot(), empty, "nothing of all of them is left")

        # A record whose pid belongs to somebody else by now.
        h.end(signal.SIGKILL)
        name = harness.new_id()
        with open(os.path.join(h.data, "run/sandboxes", name), "w", encoding="ascii") as f:
            f.write(f"{os.getpid()} 12345 7\n")
        os.makedirs(os.path.join(h.data, "sandboxes", name, "upper"))
        with open(os.path.join(h.data, "run/sandboxes", "nonsense"), "w", encoding="ascii") as f:
            f.write("x")
        h.start()
        c = h.client()
        tap.equal(c.list(), [], "a pid that was given to another process is not adopted")
        tap.equal(h.snapshot(), empty, "and its remains are removed")

        removal(tap, h, empty)
        few_descriptors(tap, h)
        c = h.client()

        # SIGTERM with sandboxes alive.
        inst = c.start()
        tap.equal(h.end(), 0, "SIGTERM with a sandbox alive ends with status 0")
        tap.equal(h.ask(inst, "cat /etc/hostname"), [f"cat {inst.id}"], "and the sandbox lives on")
        h.start()
        c = h.client()
        tap.equal([i.id for i in c.list()], [inst.id], "until it is adopted")
        c.stop(inst.id)
        tap.equal(h.snapshot(), empty, "and stopped")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
