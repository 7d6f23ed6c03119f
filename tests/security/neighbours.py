#!/usr/bin/env python3
"""Two sandboxes beside each other (item 9, but for the network): what one makes is not there for the other.

`holder` keeps something by its process 1: a file, a socket, a queue, a lock. `guest` looks for it, as root inside
and as a user with the same number as the other's.
"""

import os
import secrets
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402

KEY = 0x51C0FFEE & 0x7fffffff
IPC_CREAT, RW_ALL = 0o1000, 0o666
CREATE = "0x42 0x1b6"  # read, write, create; for all
GONE = "ENOENT|EACCES"
QUEUED = "h:0900000000000000ffffffff" + "00" * 116  # a signal's facts, of sigqueue()


class Pair:
    """`holder` does something as its process 1, which stays; `a` is an Attack of the other's."""

    def __init__(self, h, holder, guest, a):
        self.h, self.holder, self.guest, self.a = h, holder, guest, a
        self.tap, self.what = a.tap, a.what

    def hold(self, *steps):
        """The holder's results; none may fail, or there is nothing to look for."""
        lines = self.h.ask(self.holder, "do " + " ; ".join(steps))
        words = [line.split()[-1] for line in lines]
        bad = [line for line in lines if line.split()[-1].startswith("E") and line.split()[0] != "show"]
        self.tap.ok(not bad and len(words) == len(steps), f"{self.what}: the other has it", lines)
        return words


def files(p):
    for folder in ("/tmp", "/dev/shm", "/home/user", "/root", "/etc", "/"):
        path = f"{folder.rstrip('/')}/{secrets.token_hex(8)}"
        p.hold(f"open s:{path} {CREATE}", "write $0 s:mine 4", "close $0")
        p.a.refused(f"a file of the other in {folder}", f"open s:{path} 0", GONE)
    p.hold("open s:/etc/template 1", "pwrite64 $0 s:OTHER 5 0", "close $0")
    p.tap.equal(p.a.text("/etc/template"), "from the template", f"{p.what}: what the other writes over the template's")


def signals(p):
    """The same number of a user is another user on the host."""
    for pid in (p.holder.pid, p.holder.pid + 1):
        for call in (f"kill {pid} 0", f"kill -{pid} 0", f"tgkill {pid} {pid} 9", f"rt_sigqueueinfo {pid} 9 {QUEUED}",
                     f"pidfd_open {pid} 0", f"sched_setaffinity {pid} 8 b:8", f"setpriority 0 {pid} 19",
                     f"getpgid {pid}"):
            p.a.refused(f"{call.split()[0]} of the other's", call, "ESRCH")
    p.a.do("kill -1 9")
    p.tap.ok(p.h.ask(p.holder, "cat /etc/hostname") == [f"cat {p.holder.id}"], f"{p.what}: SIGKILL to all ends none of its")
    one, two = (os.stat(f"/proc/{i.pid}").st_uid for i in (p.holder, p.guest))
    p.tap.ok(abs(one - two) >= 65536, f"{p.what}: on the host their ranges of ids have nothing in common", (one, two))
    pids = [line.split()[1] for line in p.a.ask("names /proc") if line.split()[1].isdigit()]
    p.tap.ok("1" in pids and len(pids) <= 2, f"{p.what}: only its own processes show", pids)


def sockets(p):
    name = secrets.token_hex(8)
    for address, size in (attack.address_of("\0" + name), attack.address_of(f"/tmp/{name}")):
        p.hold("socket 1 1 0", f"bind $0 {address} {size}", "listen $0 5")
        p.a.refused("a unix socket of the other", "socket 1 1 0", f"connect $0 {address} {size}", "ECONNREFUSED|ENOENT")
    p.tap.ok(name not in p.a.text("/proc/net/unix"), f"{p.what}: and its name does not show")
    address = "h:0200" + (4711).to_bytes(2, "big").hex() + "00000000" + "00" * 8
    p.hold("socket 2 1 0", "setsockopt $0 1 2 h:01000000 4", f"bind $0 {address} 16", "listen $0 5")
    p.tap.ok(":1267 " not in p.a.text("/proc/net/tcp"), f"{p.what}: its port does not show")
    p.a.refused("its port on loopback", "socket 2 1 0", "connect $0 h:020012677f0000010000000000000000 16", "ECONNREFUSED")
    for family in (40, 31, 38, 15, 30):
        p.a.refused(f"a socket of family {family} (vsock 40)", f"socket {family} 1 0", "EAFNOSUPPORT")


def ipc(p):
    shm = p.hold(f"shmget {KEY} 4096 {IPC_CREAT | RW_ALL}", "shmat $0 0 0")[0]
    sem = p.hold(f"semget {KEY} 1 {IPC_CREAT | RW_ALL}")[0]
    msg = p.hold(f"msgget {KEY} {IPC_CREAT | RW_ALL}", "msgsnd $0 h:010000000000000078 1 0")[0]
    queue = "q" + secrets.token_hex(8)
    p.hold(f"mq_open s:{queue} 0x42 0x1b6 0")
    for name, call in (("memory by its key", f"shmget {KEY} 0 0"), ("semaphores by their key", f"semget {KEY} 0 0"),
                       ("messages by their key", f"msgget {KEY} 0"), ("its queue by name", f"mq_open s:{queue} 0 0 0")):
        p.a.refused(name, call, "ENOENT")
    for name, call in (("memory by its number", f"shmat {shm} 0 0x1000"), ("what it is", f"shmctl {shm} 2 b:128"),
                       ("semaphores by their number", f"semctl {sem} 0 12 0"),
                       ("messages by their number", f"msgrcv {msg} b:64 1 0 0x800")):
        p.a.refused(name, call, "EINVAL|EIDRM")
    for what in ("shm", "sem", "msg"):
        p.tap.equal(len(p.a.text(f"/proc/sysvipc/{what}").splitlines()), 1, f"{p.what}: /proc/sysvipc/{what} has the head alone")
    for call in ("add_key s:user s:k s:v 1 -3", "add_key s:user s:k s:v 1 -4", "keyctl 0 -4 0", "keyctl 1 s:shared",
                 "keyctl 22 0 -2", "request_key s:user s:k 0 -4"):
        p.a.refused(f"keys ({call[:16]})", call, "EPERM")


def shared_files(p):
    """The template's files are one on the host: its locks, watches and leases are not."""
    p.hold("open s:/etc/hostname 2", "flock $0 2", "open s:/etc/template 0", "flock $2 2")
    p.tap.equal(p.a.do("open s:/etc/template 0", "flock $0 6")[-1], 0, f"{p.what}: the other's lock is not in the way")
    p.tap.equal(len([line for line in p.a.text("/proc/locks").splitlines() if "FLOCK" in line]), 0, f"{p.what}: nor does it show")
    before = p.hold("inotify_init1 0x800", "inotify_add_watch $0 s:/etc/template 0xfff")
    p.a.do("open s:/etc/template 0", "read $0 b:8 8", "close $0", "utimensat -100 s:/etc/template 0 0")
    told = p.h.ask(p.holder, f"do read {before[0]} b:256 256")
    p.tap.equal(told, ["read EAGAIN"], f"{p.what}: the other is told of nothing that this one does with a file")


def views(p):
    terminals = p.hold("open s:/dev/ptmx 0x102", "ioctl $0 0x80045430 b:8")
    names = {line.split()[1] for line in p.a.ask("names /dev/pts")}
    p.tap.ok(terminals and names <= {".", "..", "ptmx"}, f"{p.what}: its terminals are not here", names)
    text = p.a.text("/proc/self/mountinfo")
    p.tap.ok("shared:" not in text and "master:" not in text, f"{p.what}: no mount is passed on or received", text)
    facts = "\n".join(p.a.ask("facts"))
    p.tap.ok(p.holder.id not in facts and p.holder.addr not in facts, f"{p.what}: nothing names the other")
    state = os.stat(os.path.join(p.h.data, "sandboxes", p.guest.id))
    p.tap.equal((stat.S_IMODE(state.st_mode), state.st_uid), (0o700, 0), f"{p.what}: outside its files are root's alone")


SUBJECTS = {"files": files, "signals": signals, "sockets": sockets, "IPC": ipc, "shared files": shared_files, "views": views}


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    flags = attack.Flags(h)
    try:
        c = h.client()
        for uid in (0, 1000):
            holder, guest = c.start(), c.start()
            for name, subject in SUBJECTS.items():
                a = attack.Attack(tap, h, guest, uid, flags, name)
                subject(Pair(h, holder, guest, a))
                a.end()
            for i in (holder, guest):
                c.stop(i.id)
    finally:
        flags.close()
        h.close()
    tap.end()


main()
