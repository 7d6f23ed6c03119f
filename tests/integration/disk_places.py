#!/usr/bin/env python3
# timeout: 600
"""Where disks lie: on XFS and Btrfs as files, elsewhere in a pool; what is half-made, foreign, too small, low."""

import errno
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk_rig  # noqa: E402
from disk_rig import Inside, MIB, harness  # noqa: E402

GIB = 1024 * MIB
UNAVAILABLE = 6  # of enum err_kind
KEPT = 256 * MIB


def free(folder):
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def synced_free(folder):
    """Btrfs counts when it has written."""
    fd = os.open(folder, os.O_RDONLY)
    disk_rig.LIBC.syncfs(fd)
    os.close(fd)
    return free(folder)


def works(tap, h, c, what):
    """One sandbox's life with two disks' worth of writes, and nothing left after it."""
    empty = disk_rig.facts(h)
    inst = c.start(disk=64 * MIB)
    with Inside(inst) as root:
        tap.equal(root.write("tmp/file", 128 * MIB)[1], "ENOSPC", f"{what}: a disk has a limit")
        root.unlink("tmp/file")
        tap.equal(root.write("tmp/file", 32 * MIB), (32 * MIB, None), f"{what}: and what was deleted is free again")
    tap.ok(h.loop_of(inst.id) is not None, f"{what}: a device was made for it")
    c.stop(inst.id)
    tap.ok(disk_rig.all_gone(h, empty), f"{what}: stopped, nothing is left", set(disk_rig.facts(h)) ^ set(empty))


def reflinks(tap, kind, *options):
    """A data folder where files can share blocks: the disks are plain files in it."""
    if not disk_rig.knows(kind):
        tap.ok(True, f"{kind}: disks are files # SKIP no mkfs.{kind}, or not in this kernel")
        return
    with disk_rig.file_system(kind, 1024, *options) as folder:
        h = harness.Helper(below=folder)
        try:
            c = h.client()
            inst = c.start(disk=64 * MIB)
            files = os.listdir(os.path.join(h.data, "disks"))
            tap.equal(sorted(files), sorted(["empty-64.img", f"{inst.id}.img"]), f"{kind}: disks are files")
            tap.ok(not os.path.exists(os.path.join(h.data, "pool.img")), f"{kind}: there is no pool")
            path = os.path.join(h.data, "disks", f"{inst.id}.img")
            tap.equal(os.stat(path).st_size, 64 * MIB, f"{kind}: of the disk's size")
            tap.equal(os.stat(path).st_mode & 0o777, 0o600, f"{kind}: for root alone")
            doctor(tap, h.data, rf"^ok +sandbox disks +files in {h.data}/disks", f"files on {kind}")
            c.stop(inst.id)
            works(tap, h, c, kind)
            low(tap, h, c, kind)
        finally:
            if tap.failed:
                print("# " + h.log_text().replace("\n", "\n# "))
            h.close()


def low(tap, h, c, what):
    """Less free than is kept: no sandbox is made, those that live go on, and it says what to do."""
    inst = c.start(disk=64 * MIB)
    empty = disk_rig.facts(h)
    filler = os.path.join(h.data, "filler")
    with open(filler, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, free(h.data) - 150 * MIB)
    disk_rig.until(lambda: synced_free(h.data) < KEPT)
    try:
        tap.ok(False, f"{what}: low, no sandbox is made", c.start(disk=64 * MIB).id)
    except harness.Error as e:
        tap.equal((e.error, e.kind), (-errno.ENOSPC, UNAVAILABLE), f"{what}: low, no sandbox is made")
        tap.ok("the data folder is low" in str(e) and "free some space" in str(e), f"{what}: it says what to do", e)
    tap.ok(disk_rig.all_gone(h, empty), f"{what}: nothing of it is left", set(disk_rig.facts(h)) ^ set(empty))
    with Inside(inst) as root:
        tap.equal(root.write("tmp/file", 8 * MIB), (8 * MIB, None), f"{what}: those that live can write")
    os.unlink(filler)
    disk_rig.until(lambda: synced_free(h.data) > 2 * KEPT)
    c.stop(inst.id)
    c.stop(c.start(disk=64 * MIB).id)
    tap.ok(True, f"{what}: with room again there are sandboxes again")


def refuses(tap, h, words, what):
    """It does not start, and says why."""
    try:
        h.start()
        tap.ok(False, what)
        h.end()
    except RuntimeError as e:
        tap.ok(words in str(e).splitlines()[-1], what, e)


def pool(tap):
    """A data folder without shared blocks."""
    with disk_rig.file_system("ext4", 3072, "-q") as folder:
        h = harness.Helper(below=folder)
        path = os.path.join(h.data, "pool.img")
        try:
            c = h.client()
            works(tap, h, c, "ext4")
            low(tap, h, c, "ext4")
            doctor(tap, h.data, rf"^ok +sandbox disks +in the pool {h.data}/pool.img: \d+ MiB", "a pool on ext4")
            doctor(tap, folder, r"^ok +sandbox disks +in a pool, .*, which the first start makes", "a pool to be made")
            doctor(tap, folder, r"^failed +disk +\d+ MiB free .*, 5120 are wanted", "room that is too little")
            tap.equal(os.stat(path).st_mode & 0o777, 0o600, "the pool is for root alone")
            with open("/proc/mounts", encoding="utf-8") as f:
                tap.ok("pool" not in f.read() and not os.path.exists(os.path.join(h.data, "disks")),
                       "it is in no mount table")
            first = os.stat(path)
            h.end()
            tap.ok(disk_rig.until(lambda: disk_rig.loops(h) == []), "and its device gone with its last user",
                   disk_rig.loops(h))
            os.rename(path, path + ".old")
            with open(os.path.join(h.data, ".new-pool.img"), "wb") as f:
                f.truncate(GIB)
            h.start()
            tap.ok(not os.path.exists(os.path.join(h.data, ".new-pool.img")), "a half-made pool is made anew")
            works(tap, h, h.client(), "made anew")
            h.end()
            os.chmod(path, 0o644)
            refuses(tap, h, "mode 600", "a pool that others can read is refused")
            os.unlink(path)
            os.symlink(path + ".old", path)
            refuses(tap, h, "open the pool of disks", "a link in its place is refused")
            os.unlink(path)
            with open(path, "wb") as f:
                f.truncate(GIB)
            os.chmod(path, 0o600)
            refuses(tap, h, "mount the pool of disks", "a file that is no pool is refused, and not formatted")
            os.unlink(path)
            os.rename(path + ".old", path)
            h.start()
            tap.equal(os.stat(path).st_ino, first.st_ino, "with the old pool back")
            works(tap, h, h.client(), "the old pool")
            h.end()
            second(tap, h)
        finally:
            if tap.failed:
                print("# " + h.log_text().replace("\n", "\n# "))
            h.close()


def second(tap, h):
    """The host's disk has grown meanwhile."""
    path = os.path.join(h.data, "pool.img")
    disk_rig.until(lambda: disk_rig.loops(h) == [])
    filler = os.path.join(h.data, "filler")
    with open(filler, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, free(h.data) - 600 * MIB)
    os.unlink(path)
    h.start()
    h.end()
    small = os.stat(path).st_size
    tap.equal(small, GIB, "the smallest pool is 1 GiB")
    os.unlink(filler)
    h.start()
    tap.ok(os.stat(path).st_size > 2 * small, "a pool grows with its host", os.stat(path).st_size)
    c = h.client()
    inst = c.start(disk=2 * GIB)
    with Inside(inst) as root:
        tap.equal(root.write("tmp/file", 1200 * MIB), (1200 * MIB, None), "and its file system with it")
    c.stop(inst.id)
    h.end()


def write_fails(root):
    """One more write, given to the device."""
    os.sync()
    try:
        return root.write("tmp/more", 8 * MIB)[1] is not None
    except OSError:
        return True


def host_full(tap):
    """Somebody else fills the disk below the pool while sandboxes live."""
    with disk_rig.file_system("ext4", 1200, "-q") as folder:
        h = harness.Helper(below=folder)
        try:
            c = h.client()
            empty = disk_rig.facts(h)
            writer, reader = c.start(disk=2 * GIB), c.start(disk=64 * MIB)
            with Inside(reader) as quiet:
                quiet.write("tmp/file", 4096)
            os.sync()
            filler = os.path.join(folder, "filler")
            with open(filler, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, free(folder) - 100 * MIB)
            with Inside(writer) as root, Inside(reader) as quiet:
                root.write("tmp/file", 400 * MIB)
                tap.ok(disk_rig.until(lambda: write_fails(root)), "on a full host who goes on writing gets errors")
                tap.equal(len(quiet.read("tmp/file", 8192)), 4096, "who does not is not harmed")
            try:
                tap.ok(False, "no sandbox is made", c.start(disk=64 * MIB).id)
            except harness.Error as e:
                tap.equal((e.error, e.kind), (-errno.ENOSPC, UNAVAILABLE), "no sandbox is made")
            os.unlink(filler)
            c.stop(writer.id)
            works(tap, h, c, "with room again")
            with Inside(reader) as quiet:
                tap.equal(quiet.write("tmp/file", 8 * MIB), (8 * MIB, None), "those that lived through it can write")
            c.stop(reader.id)
            tap.ok(disk_rig.all_gone(h, empty), "and nothing is left", set(disk_rig.facts(h)) ^ set(empty))
        finally:
            if tap.failed:
                print("# " + h.log_text().replace("\n", "\n# "))
            h.close()


def doctor(tap, folder, want, what):
    """Its rows on disks; other rows may well be bad in a test."""
    done = subprocess.run([harness.build_file("silica"), "doctor", "--data", folder], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=disk_rig.LIMIT_S, check=False)
    tap.ok(any(re.search(want, line) for line in done.stdout.splitlines()), f"doctor: {what}", done.stdout)


def without_tool(tap):
    """No mkfs.xfs: said before anything else is made, with the package's name."""
    script = "for f in /usr/sbin/mkfs.xfs /sbin/mkfs.xfs; do mount --bind /dev/null $f 2>/dev/null; done; exec \"$@\""
    with disk_rig.file_system("ext4", 512, "-q") as folder:
        os.makedirs(os.path.join(folder, "templates"))
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", harness.build_file("silica-priv"), "--data", folder,
             "--templates", folder + "/templates", "--socket", folder + "/run/priv.sock", "--client-uid", "1",
             "--instance", "9", "--envd", harness.build_file("security-probe")],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=disk_rig.LIMIT_S, check=False)
        tap.ok(done.returncode != 0 and "apt-get install xfsprogs" in done.stderr,
               "without mkfs.xfs its package is named", done.stderr)
        tap.ok(not os.path.exists(os.path.join(folder, "pool.img")), "and no pool is left")


def main():
    harness.need_root()
    disk_rig.own_mounts()
    harness.build_file("silica")
    tap = harness.Tap()
    reflinks(tap, "xfs", "-q")
    reflinks(tap, "btrfs", "-q")
    pool(tap)
    host_full(tap)
    without_tool(tap)
    tap.end()


main()
