"""What hostile templates are made of, and a host's folder that none of them may touch."""

import hashlib
import os
import shutil
import socket
import stat
import struct
import tempfile

MAGIC_LINKS = ("/proc/self/fd/3", "/proc/self/cwd", "/proc/1/root", "/proc/1/cwd", "/proc/self/exe", "/proc/1/ns/mnt")


class Victim:
    """A folder of the host that links point to: what is in it, whose it is, and when it was changed."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="silica-victim-", dir="/var/tmp")
        os.chmod(self.path, 0o777)
        for name in ("null", "zero", "hosts", "resolv.conf", "hostname", "core_pattern", "sysrq-trigger", "template"):
            with open(os.path.join(self.path, name), "w", encoding="ascii") as f:
                f.write("the host's\n")
            os.chmod(os.path.join(self.path, name), 0o666)
        for name in ("pts", "shm", "self", "lower", "attr"):
            os.mkdir(os.path.join(self.path, name))
        self.before = self.hash()

    def hash(self):
        total = hashlib.sha256()
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            for name in [".", *sorted(folders), *sorted(names)]:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                total.update(repr((path, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns,
                                   os.listxattr(path, follow_symlinks=False))).encode())
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        total.update(f.read())
        for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
            if os.path.exists(path):
                with open(path, "rb") as f:
                    total.update(f.read())
        with open("/proc/self/mountinfo", "rb") as f:
            total.update(b"mounted" if self.path.encode() in f.read() else b"free")
        return total.hexdigest()

    def untouched(self):
        return self.hash() == self.before

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


def clear(path):
    """Removes whatever has that name."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def put_link(path, target):
    clear(path)
    os.symlink(target, path)


def put_file(path):
    clear(path)
    with open(path, "w", encoding="ascii") as f:
        f.write("a file\n")


def put_folder(path):
    clear(path)
    os.mkdir(path)
    put_file(os.path.join(path, "inner"))


def put_fifo(path):
    clear(path)
    os.mkfifo(path)


def put_socket(path):
    clear(path)
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(os.path.dirname(path))  # names of sockets are short
        try:
            s.bind(os.path.basename(path))
        finally:
            os.chdir(here)


def put_node(path, kind=stat.S_IFCHR, major=1, minor=3):
    clear(path)
    os.mknod(path, kind | 0o666, os.makedev(major, minor))
    os.chmod(path, 0o666)


def links_of(victim):
    """Name -> target, for a link in the place of any path."""
    up = "../" * 40
    return {"an absolute path": victim.path, "a chain of ..": up + victim.path.lstrip("/"),
            "the root": "/", "a dangling path": "/nothing/of/that/name", "itself": "dev",
            "a very long path": "./" * 1900 + "x", **{target: target for target in MAGIC_LINKS}}


OTHERS = {"a file": put_file, "a fifo": put_fifo, "a socket": put_socket, "a device": put_node,
          "a whiteout": lambda path: put_node(path, stat.S_IFCHR, 0, 0),
          "a disk": lambda path: put_node(path, stat.S_IFBLK, 8, 0)}

NODES = {"mem": (stat.S_IFCHR, 1, 1), "null": (stat.S_IFCHR, 1, 3), "port": (stat.S_IFCHR, 1, 4),
         "kmsg": (stat.S_IFCHR, 1, 11), "tty": (stat.S_IFCHR, 5, 0), "console": (stat.S_IFCHR, 5, 1),
         "tun": (stat.S_IFCHR, 10, 200), "fuse": (stat.S_IFCHR, 10, 229), "kvm": (stat.S_IFCHR, 10, 232),
         "loop-control": (stat.S_IFCHR, 10, 237), "vhost-net": (stat.S_IFCHR, 10, 238), "sda": (stat.S_IFBLK, 8, 0),
         "loop0": (stat.S_IFBLK, 7, 0), "vda": (stat.S_IFBLK, 254, 0), "nvme": (stat.S_IFBLK, 259, 0),
         "ram": (stat.S_IFBLK, 1, 0)}

NAMES = [b"line\nfeed", b"tab\tand\rreturn", bytes(range(1, 32)), b"\x1b[2J\x1b]0;x\x07", b"x" * 255, b"\xff\xfe\xc0\xaf",
         b"...", b".. ", b" ..", b"..\n", b"-rf", b"$(reboot)", b"`id`", b"a,lowerdir=b", b"a:b", b"c\\:d", b"%s%n", b"'\"",
         "\u202egnp.exe".encode(), b"\xe2\x80\xa8", b"upperdir=x", b"*", b"~"]


def capability(bits, revision=2, rootid=0):
    """security.capability: permitted and effective."""
    data = struct.pack("<IIIII", (revision << 24) | 1, bits & 0xffffffff, 0, bits >> 32, 0)
    return data if revision == 2 else data + struct.pack("<I", rootid)


def deep(path, levels):
    """Folders in each other, far beyond what a path can name."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("d", 0o755, dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def many(path, names, per_file=60000):
    """That many names in one folder; hard links, which cost no inode each."""
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for i in range(names):
        if i % per_file == 0:
            first = f"{i:07d}"
            os.close(os.open(first, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd))
        else:
            os.link(first, f"{i:07d}", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)
