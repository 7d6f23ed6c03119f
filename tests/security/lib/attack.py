"""Attacks for the probe to make: rows of system calls, flags on the host that must stay unread, the shell's view.

    a = Attack(tap, h, inst, uid, flags)
    a.refused("mounts a disk", "mount s:/dev/sda s:/mnt s:ext4 0 0", "EPERM")
    a.end("what was tried")

Steps are those of tests/security/probe_steps.c. After every attack the flags are looked for in all that was
answered, and by name in all places where a success would have put them.
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import urllib.parse

AT_FDCWD = -100
CLONE_NEW = {"time": 0x80, "ns": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000,
             "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}
SIGCHLD = 17
READ_BYTES = 512


def quoted(text):
    """As an argument of a step."""
    raw = text if isinstance(text, bytes) else text.encode()
    return "s:" + "".join(chr(b) if b < 128 and chr(b).isalnum() or b in b"/._-" else f"%{b:02x}" for b in raw)


def address_of(path):
    """A struct sockaddr_un as an argument, and its length; a leading NUL is an abstract name."""
    raw = path if isinstance(path, bytes) else path.encode()
    packed = socket.AF_UNIX.to_bytes(2, "little") + raw + (b"" if raw[:1] == b"\0" else b"\0")
    return "h:" + packed.hex(), len(packed)


class Flags:
    """Files of the host that nobody inside may read: closed, open to all, and beside the sandboxes' own."""

    def __init__(self, h):
        self.secret = "FLAG" + secrets.token_hex(16)
        self.folder = tempfile.mkdtemp(prefix="silica-flag-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.paths = [os.path.join(self.folder, "closed"), os.path.join(self.folder, "open"),
                      os.path.join(h.data, "flag")]
        for path in self.paths:
            with open(path, "w", encoding="ascii") as f:
                f.write(self.secret)
            os.chmod(path, 0o600 if path.endswith("closed") else 0o644)

    def untouched(self):
        def content(path):
            with open(path, encoding="ascii") as f:
                return f.read()
        return all(content(path) == self.secret for path in self.paths) and \
            sorted(os.listdir(self.folder)) == ["closed", "open"]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.paths[2])


class Attack:
    """One attack by one uid of one sandbox. `probe` has ask(inst, question)."""

    def __init__(self, tap, probe, inst, uid, flags, what):
        self.tap, self.probe, self.inst, self.uid, self.flags = tap, probe, inst, uid, flags
        self.what = f"{what}, as {'root' if uid == 0 else 'a user'}"
        self.seen = []

    def ask(self, question):
        answer = self.probe.ask(self.inst, f"as {self.uid} {question}")
        self.seen += answer
        return answer

    def do(self, *steps):
        """Returns the result of each step: a number, an error's name, or a text that was shown."""
        results = []
        for line in self.ask("do " + " ; ".join(steps)):
            _, _, value = line.rpartition(" ")
            results.append(int(value) if re.fullmatch(r"-?\d+", value) else urllib.parse.unquote(value, "latin-1"))
        return results

    def refused(self, name, *steps):
        """The last word is what the last step must answer: an error's name, or several with "|" between."""
        *steps, want = steps
        got = self.do(*steps)
        last = got[-1] if len(got) == len(steps) else f"ended after {len(got)} steps"
        self.tap.ok(last in want.split("|"), f"{self.what}: {name} gives {want}", f"{steps}: {got}")

    def text(self, path):
        return "\n".join(line.partition(" ")[2] for line in self.ask(f"cat {path}"))

    def reads(self, path):
        """What a file holds, by open and read; an error's name if it does not open."""
        got = self.do(f"open {quoted(path)} 0x800", f"read $0 b:{READ_BYTES} {READ_BYTES}",
                      f"show 1.1 {READ_BYTES}")
        return got[0] if isinstance(got[0], str) else str(got[-1])

    def end(self, places=()):
        """The flags were not seen, and are at none of the places (folders that now might be the host's)."""
        for path in self.flags.paths:
            for place in ("", "/proc/1/root", "/proc/self/root", *places):
                self.seen.append(self.reads(place + path))
        text = urllib.parse.unquote("\n".join(map(str, self.seen)))
        self.tap.ok(self.flags.secret not in text, f"{self.what}: the flags stay unread")
        self.tap.ok(self.flags.untouched(), f"{self.what}: the flags are untouched")


def host_disk():
    """Major and minor number of the device that the host's root is on."""
    dev = os.stat("/").st_dev
    return os.major(dev), os.minor(dev)


def device_number(major, minor):
    return (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xff) << 12
