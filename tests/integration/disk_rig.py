"""What the tests of disks share: file systems of their own, and a sandbox's files with its root's eyes."""

import contextlib
import ctypes
import errno
import glob
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402

MIB = harness.MIB
LIMIT_S = 90  # for what the kernel does at its own pace
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000
LIBC = ctypes.CDLL(None, use_errno=True)


def own_mounts():
    """From here on no mount of this program or its children is seen by the host."""
    if LIBC.unshare(CLONE_NEWNS) != 0 or LIBC.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC_PRIVATE), None) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace of the test's own")


def run(*command):
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT_S)


def knows(kind):
    """Whether kernel and host can make that file system."""
    with open("/proc/filesystems", encoding="ascii") as f:
        known = {line.split()[-1] for line in f}
    if kind not in known:
        subprocess.run(["modprobe", kind], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with open("/proc/filesystems", encoding="ascii") as f:
            known = {line.split()[-1] for line in f}
    return kind in known and any(os.access(f"{d}/mkfs.{kind}", os.X_OK) for d in ("/usr/sbin", "/sbin"))


@contextlib.contextmanager
def file_system(kind, mib, *options):
    """A folder on a new file system of that kind and size, in a sparse file."""
    with tempfile.TemporaryDirectory(prefix="silica-test-", dir="/var/tmp") as top:
        os.chmod(top, 0o755)  # the daemon looks for its socket below
        image, folder = os.path.join(top, "image"), os.path.join(top, "on")
        with open(image, "wb") as f:
            f.truncate(mib * MIB)
        run(f"mkfs.{kind}", *options, image)
        os.mkdir(folder)
        run("mount", "-o", "loop", "-t", kind, image, folder)
        try:
            yield folder
        finally:
            # The kernel lets go of what lay on it a moment after its last user.
            until(lambda: subprocess.run(["umount", folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         check=False).returncode == 0)


def until(condition):
    """Whether it came true in time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Inside:
    """The files of a sandbox, touched as its root. To be closed before its end: it holds the disk."""

    def __init__(self, inst):
        self.fd = os.open(f"/proc/{inst.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root = os.fstat(self.fd).st_uid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    @contextlib.contextmanager
    def open(self, path, flags=os.O_WRONLY | os.O_CREAT):
        with harness.as_uid(self.root):
            fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        try:
            yield fd
        finally:
            os.close(fd)

    def write(self, path, size):
        """Returns how much could be written, and the name of what ended it early or None."""
        part, done = os.urandom(MIB), 0
        with self.open(path) as fd:
            try:
                while done < size:
                    done += os.write(fd, part[:size - done])
                os.fsync(fd)
            except OSError as e:
                return done, errno.errorcode[e.errno]
        return done, None

    def read(self, path, size):
        with self.open(path, os.O_RDONLY) as fd:
            return os.read(fd, size)

    def unlink(self, path):
        with harness.as_uid(self.root):
            os.unlink(path, dir_fd=self.fd)

    def make_files(self, folder, most):
        """As many empty files as can be made there, up to `most`; the number, and the error's name."""
        with harness.as_uid(self.root):
            os.mkdir(folder, dir_fd=self.fd)
            for n in range(most):
                try:
                    os.close(os.open(f"{folder}/{n}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self.fd))
                except OSError as e:
                    return n, errno.errorcode[e.errno]
        return most, None

    def room(self):
        return os.fstatvfs(self.fd)


def loops(h):
    return [line for line in h.snapshot() if line.startswith("loop ")]


def facts(h):
    """What is there of the instance."""
    return sorted(h.snapshot())


def all_gone(h, empty):
    """Whether all is as it was in `empty`, the kernel's last steps included."""
    return until(lambda: facts(h) == empty)


def pool_loops(h):
    """The devices of the pool, by path in /sys."""
    found = []
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as f:
            if f.read().strip() == os.path.join(h.data, "pool.img"):
                found.append(path)
    return found


def images(h):
    """The sandboxes' disks in the pool, which nobody may have mounted now."""
    with tempfile.TemporaryDirectory(prefix="silica-test-", dir="/var/tmp") as top:
        run("mount", "-o", "loop,ro,norecovery", "-t", "xfs", os.path.join(h.data, "pool.img"), top)
        try:
            return [name for name in os.listdir(os.path.join(top, "disks")) if not name.startswith("empty-")]
        finally:
            run("umount", top)
