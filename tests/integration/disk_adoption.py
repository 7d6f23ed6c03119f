#!/usr/bin/env python3
# timeout: 600
"""Disks when silica-priv is killed: at any moment of a start, while sandboxes live, with all of them at once."""

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk_rig  # noqa: E402
from disk_rig import Inside, MIB, harness  # noqa: E402

STARTS = 12
DISK = 64 * MIB


def living(tap, h, empty):
    """Two writers live through it; disks made before and after share one pool."""
    c = h.client()
    first, second = c.start(disk=DISK), c.start(disk=DISK)
    with Inside(first) as root:
        root.write("tmp/before", MIB)
    pool = disk_rig.pool_loops(h)
    h.end(signal.SIGKILL)
    with Inside(first) as root:
        with root.open("tmp/meanwhile") as fd:
            os.write(fd, b"alone\n")
        tap.equal(root.read("tmp/meanwhile", 100), b"alone\n", "a disk works while the helper is dead")
    h.start()
    c = h.client()
    tap.equal(disk_rig.pool_loops(h), pool, "the next helper takes the pool that is mounted, and no second device")
    tap.equal(len(pool), 1, "(which was one)")
    third = c.start(disk=DISK)
    with Inside(first) as a, Inside(third) as b:
        tap.equal(a.read("tmp/meanwhile", 100), b"alone\n", "nothing was lost")
        tap.equal(a.write("tmp/after", 8 * MIB), (8 * MIB, None), "an adopted sandbox can write")
        tap.equal(b.write("tmp/after", 8 * MIB), (8 * MIB, None), "and so can a new one")
        tap.equal(a.write("tmp/hog", 2 * DISK)[1], "ENOSPC", "its limit holds")
    os.kill(second.pid, signal.SIGKILL)
    tap.equal(c.wait_exit(second.id), "ended", "(one of them ends)")
    c.stop(first.id)
    c.stop(third.id)
    tap.ok(disk_rig.all_gone(h, empty), "with all of them stopped nothing is left", set(disk_rig.facts(h)) ^ set(empty))


def starts(tap, h, empty):
    """Killed at some moment of a start: what was made is a sandbox, or is not there."""
    c, caught = h.client(), 0
    began = time.monotonic()
    inst = c.start(disk=DISK)
    whole = time.monotonic() - began
    c.stop(inst.id)
    for n in range(STARTS):
        c = h.client()
        c.send(harness.START, c.start_body(disk=(64 + n % 2) * MIB))
        time.sleep(random.uniform(0, 1.2 * whole))
        h.end(signal.SIGKILL)
        c.close()
        h.start()
        c = h.client()
        made = c.list()
        caught += len(made) == 0
        for inst in made:
            c.stop(inst.id)
        c.close()
        if not tap.ok(disk_rig.all_gone(h, empty), f"killed within a start, {n + 1}: nothing is left",
                      set(disk_rig.facts(h)) ^ set(empty)):
            break
    tap.ok(True, f"({caught} of {STARTS} were killed before the sandbox was there)")


def everything(tap, h):
    """The whole host's end, as far as processes can play it: disks are left, and nobody."""
    c = h.client()
    made = [c.start(disk=DISK) for _ in range(3)]
    h.end(signal.SIGKILL)
    for inst in made:
        os.kill(inst.pid, signal.SIGKILL)
    tap.ok(disk_rig.until(lambda: disk_rig.loops(h) == []), "with all processes dead no device is left",
           disk_rig.loops(h))
    tap.equal(sorted(disk_rig.images(h)), sorted(f"{i.id}.img" for i in made),
              "but their files")
    h.start()
    tap.equal(h.client().list(), [], "the next start")
    h.end()
    disk_rig.until(lambda: disk_rig.loops(h) == [])
    tap.equal(disk_rig.images(h), [], "removes them")
    h.start()


def main():
    harness.need_root()
    disk_rig.own_mounts()
    with disk_rig.file_system("ext4", 2048, "-q") as folder:
        tap, h = harness.Tap(), harness.Helper(below=folder)
        try:
            empty = disk_rig.facts(h)
            living(tap, h, empty)
            starts(tap, h, empty)
            everything(tap, h)
        finally:
            if tap.failed:
                print("# " + h.log_text().replace("\n", "\n# "))
            h.close()
    tap.end()


main()
