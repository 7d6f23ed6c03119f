#!/usr/bin/env python3
# timeout: 600
"""A sandbox's disk: its size and its number of files are limits, and hurt nobody but itself."""

import errno
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk_rig  # noqa: E402
from disk_rig import Inside, MIB, harness  # noqa: E402

DISK = 64 * MIB
FILES = DISK // 16384


def told(tap, h, inst):
    """df inside, and the device that the host made for it."""
    with Inside(inst) as root:
        room = root.room()
    total = room.f_blocks * room.f_frsize
    tap.ok(0.9 * DISK < total <= DISK, "df tells the size of the disk", f"{total} of {DISK}")
    tap.ok(0.95 * FILES < room.f_files <= FILES, "and one file for each 16 KiB", f"{room.f_files} of {FILES}")
    with open(f"/sys/block/{os.path.basename(h.loop_of(inst.id))}/size", encoding="ascii") as f:
        tap.equal(int(f.read()) * 512, DISK, "the device below has that size")


def full(tap, inst, other):
    with Inside(inst) as root, Inside(other) as neighbour:
        done, why = root.write("tmp/hog", 2 * DISK)
        tap.equal(why, "ENOSPC", "what does not fit is refused as 'no space left'")
        tap.ok(0.85 * DISK < done <= DISK, "at the size of the disk", f"{done} of {DISK}")
        tap.equal(root.write("tmp/more", MIB)[1], "ENOSPC", "another file does not fit either")
        tap.equal(neighbour.write("tmp/mine", 16 * MIB), (16 * MIB, None), "while a neighbour writes")
        root.unlink("tmp/hog")
        tap.equal(root.write("tmp/again", 32 * MIB), (32 * MIB, None), "what is deleted can be written again")
        root.unlink("tmp/again")
        root.unlink("tmp/more")


def many(tap, inst, other):
    with Inside(inst) as root, Inside(other) as neighbour:
        done, why = root.make_files("tmp/many", 2 * FILES)
        tap.equal(why, "ENOSPC", "one file too many is refused")
        tap.ok(0.9 * FILES < done <= FILES, "at the number of the disk's files", f"{done} of {FILES}")
        tap.ok(root.room().f_bavail * root.room().f_frsize > DISK // 2, "although most bytes are free")
        tap.equal(neighbour.make_files("tmp/few", 100), (100, None), "while a neighbour makes files")
        root.unlink("tmp/many/0")
        tap.equal(root.make_files("tmp/one", 0)[1], None, "and one that is deleted makes place")


def holes(tap, inst):
    """Size is no room: only what is written counts."""
    with Inside(inst) as root, root.open("tmp/hole") as fd:
        os.ftruncate(fd, 1 << 40)
        os.pwrite(fd, b"x" * 4096, (1 << 40) - 4096)
        os.fsync(fd)
        tap.ok(os.fstat(fd).st_blocks * 512 < MIB, "a file with a hole of 1 TiB takes what is written of it",
               os.fstat(fd).st_blocks)
        try:
            os.posix_fallocate(fd, 0, 2 * DISK)
            tap.ok(False, "filling the hole is refused")
        except OSError as e:
            tap.equal(e.errno, errno.ENOSPC, "filling the hole is refused")
        try:
            os.ftruncate(fd, 1 << 62)
            tap.ok(False, "a file too large for the file system is refused")
        except OSError as e:
            tap.equal(e.errno, errno.EFBIG, "a file too large for the file system is refused")


def removal(tap, h, c, empty):
    """Whatever is inside, on the host it is one file."""
    pool = os.path.join(h.data, "pool.img")
    inst = c.start(disk=512 * MIB)
    before = os.stat(pool).st_blocks
    with Inside(inst) as root:
        tap.equal(root.make_files("tmp/many", 5000), (5000, None), "(5000 files are made)")
        tap.equal(root.write("tmp/large", 200 * MIB), (200 * MIB, None), "(and 200 MiB written)")
    os.sync()
    taken = os.stat(pool).st_blocks
    tap.ok((taken - before) * 512 > 150 * MIB, "what is written takes space of the host", f"{before} {taken}")
    tap.equal(os.listdir(os.path.join(h.data, "sandboxes", inst.id)), [], "its folder on the host holds no file of it")
    c.stop(inst.id)
    tap.ok(disk_rig.all_gone(h, empty), "stopped, nothing of it is left", set(disk_rig.facts(h)) ^ set(empty))

    def returned():
        os.sync()
        return (taken - os.stat(pool).st_blocks) * 512 > 150 * MIB
    tap.ok(disk_rig.until(returned), "and the host has its space again", os.stat(pool).st_blocks)


def bounds(tap, h, c):
    for size in (0, 16 * MIB - 1, (16 << 40) + MIB, 1 << 63):
        try:
            tap.ok(False, f"a disk of {size} bytes is refused", c.start(disk=size).id)
        except harness.Error as e:
            tap.equal((e.error, str(e)), (-errno.EINVAL, "the disk must be 16 MiB to 16 TiB"),
                      f"a disk of {size} bytes is refused")
    small, odd = c.start(disk=16 * MIB), c.start(disk=17 * MIB + 12345)
    with Inside(small) as root:
        tap.equal(root.write("tmp/file", 8 * MIB), (8 * MIB, None), "the smallest disk works")
    with open(f"/sys/block/{os.path.basename(h.loop_of(odd.id))}/size", encoding="ascii") as f:
        tap.equal(int(f.read()) * 512, 17 * MIB, "sizes are rounded down to MiB")
    c.stop(small.id)
    c.stop(odd.id)


def main():
    harness.need_root()
    disk_rig.own_mounts()
    with disk_rig.file_system("ext4", 3072, "-q") as folder:
        tap, h = harness.Tap(), harness.Helper(below=folder)
        try:
            c = h.client()
            empty = disk_rig.facts(h)
            inst, other = c.start(disk=DISK), c.start(disk=DISK)
            told(tap, h, inst)
            full(tap, inst, other)
            many(tap, inst, other)
            c.stop(inst.id)
            inst = c.start(disk=DISK)
            holes(tap, inst)
            c.stop(inst.id)
            c.stop(other.id)
            bounds(tap, h, c)
            tap.ok(disk_rig.all_gone(h, empty), "nothing is left of all these", set(disk_rig.facts(h)) ^ set(empty))
            removal(tap, h, c, empty)
        finally:
            if tap.failed:
                print("# " + h.log_text().replace("\n", "\n# "))
            h.close()
    tap.end()


main()
