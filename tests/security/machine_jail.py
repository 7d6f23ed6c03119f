#!/usr/bin/env python3
# timeout: 300
"""A QEMU that was taken over, against the host (items 1, 3, 5 to 7, 9 and 12 for virtual machines).

The probe has QEMU's place: silica-priv starts, jails and equips it as it does QEMU, for a boot and for a clone.
What is tried is what a guest's code could try that has broken out of the machine into its process.
"""

import os
import re
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402
import machines  # noqa: E402
from attack import AT_FDCWD, CLONE_NEW, SIGCHLD  # noqa: E402
from machines import BASE, DEVICES, FDS, LAUNCH, LAYER, MEMORY, QMP, TAP  # noqa: E402

PIDS_MAX = 128
OWN_MIB = 192  # of QEMU, on top of the guest's memory and of what the template's has of empty pages
SEALS = 0xF  # SEAL, SHRINK, GROW, WRITE
F_GETFL, F_SETFL, F_SETLEASE, F_ADD_SEALS, F_GET_SEALS = 3, 4, 1024, 1033, 1034
O_ACCMODE, O_RDWR, O_WRONLY, O_DIRECTORY, O_NONBLOCK = 3, 2, 1, 0x10000, 0x800
PROT_RW, MAP_SHARED, MAP_PRIVATE = 3, 1, 2
TUN = {"TUNSETIFF": 0x400454CA, "TUNSETPERSIST": 0x400454CB, "TUNSETOWNER": 0x400454CC, "TUNSETLINK": 0x400454CD,
       "TUNSETGROUP": 0x400454CE, "TUNATTACHFILTER": 0x401054D5, "TUNSETQUEUE": 0x400454D9,
       "TUNSETIFINDEX": 0x400454DA, "TUNSETSTEERINGEBPF": 0x800454E0, "TUNSETFILTEREBPF": 0x800454E1,
       "TUNSETCARRIER": 0x400454E2, "TUNGETDEVNETNS": 0x54E3, "SIOCSIFHWADDR": 0x8924, "SIOCGSKNS": 0x894C}
NO = "EPERM|EACCES"
GONE = "ENOENT|ENOTDIR|EACCES|EPERM"
ROOT_FILES = {".", "..", "proc", "dev", "run", "tmp", "guest", "usr"}


def identity(a, h, inst):
    facts = harness.facts_of(a.ask("facts"))
    status = dict(line.split(":\t", 1) for line in facts["status"] if ":\t" in line)
    uid = str(os.stat(f"/proc/{inst.pid}").st_uid)
    a.tap.ok(int(uid) >= harness.SANDBOX_UID_BASE, f"{a.what}: a uid that nobody else has", uid)
    for key in ("Uid", "Gid"):
        a.tap.equal(status[key].split(), [uid] * 4, f"{a.what}: {key}, all four")
    a.tap.equal(status["Groups"].strip(), "", f"{a.what}: no groups")
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        a.tap.equal(int(status[key], 16), 0, f"{a.what}: {key} is empty")
    a.tap.equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), f"{a.what}: no_new_privs, filters")
    a.tap.equal(facts["pid"], ["1"], f"{a.what}: process 1")
    limits = {line[:26].strip(): line.split()[-3:-1] for line in facts["limit"]}
    a.tap.equal(limits["Max core file size"], ["1", "1"], f"{a.what}: no dump of memory")
    a.tap.equal(limits["Max file size"], [str(1024 * harness.MIB)] * 2, f"{a.what}: no file grows beyond its disk")
    own = dict(line.split(" ", 1) for line in facts["ns"])
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        a.tap.ok(own[name] != os.readlink(f"/proc/self/ns/{name}"), f"{a.what}: {name} namespace of its own")
    a.tap.equal({line.split(":", 2)[2] for line in facts["cgroup"]}, {"/"}, f"{a.what}: control groups show nothing")
    a.tap.ok(h.data not in "\n".join(facts["status"] + facts["cgroup"]), f"{a.what}: no path of the host")


def files(a, *_):
    facts = harness.facts_of(a.ask("facts"))
    mounts = [line.split() for line in facts["mount"]]
    a.tap.equal([m[4] for m in mounts], ["/", "/dev", "/proc"], f"{a.what}: three mounts")
    options = {m[4]: set(m[5].split(",")) for m in mounts}
    for path, want in (("/", {"ro", "nosuid", "nodev"}), ("/dev", {"nosuid", "noexec"}),
                       ("/proc", {"ro", "nosuid", "nodev", "noexec"})):
        a.tap.ok(want <= options[path], f"{a.what}: {path} is {sorted(want)}", options[path])
    a.tap.equal(set(facts["root"]), ROOT_FILES, f"{a.what}: the root has QEMU's files alone")
    a.tap.equal(set(facts["dev"]), {".", "..", "null", "urandom"}, f"{a.what}: two devices")
    names = set(a.ask("names /proc")) - {"name .", "name .."}
    a.tap.equal(names, {"name 1", "name self", "name thread-self"}, f"{a.what}: /proc shows itself alone")
    for path in ("/x", "/tmp/x", "/run/x", "/guest/kernel", "/usr/bin/qemu-system-x86_64", "/dev/x", "/proc/sys/x"):
        a.refused(f"writing {path}", f"open {attack.quoted(path)} 0x41 511", "EROFS|EACCES|ENOENT|ETXTBSY|EPERM")
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/kcore", "/sys/kernel/uevent_helper",
                 "/sys/fs/cgroup/release_agent", "/proc/1/cgroup_x", "/dev/mem", "/dev/kvm", "/dev/net/tun", "/dev/vda"):
        a.refused(f"opening {path}", f"open {attack.quoted(path)} 2", GONE)
    for name in ("oom_score_adj", "uid_map", "comm", "clear_refs", "attr/current", "timerslack_ns"):
        a.refused(f"writing /proc/self/{name}", f"open s:/proc/self/{name} 1", "EROFS|EACCES|ENOENT|EPERM")
    for path in ("/../../../../etc/passwd", "/proc/self/root/../../etc/passwd", "/proc/1/cwd/../../etc/passwd"):
        a.tap.equal(a.reads(path), "ENOENT", f"{a.what}: {path} is not there")
    for pid in (2, os.getpid()):
        a.tap.equal(a.reads(f"/proc/{pid}/status"), "ENOENT", f"{a.what}: process {pid} is not there")


def descriptors(a, h, inst, boot):
    lines = dict(line.split(" ", 2)[1:] for line in a.ask("links /proc/self/fd"))
    asked = {n for n, target in lines.items() if target.startswith("socket:") and int(n) != QMP
             or re.fullmatch(r"/proc/\d+/fd", target)}
    held = {int(n): target for n, target in lines.items() if n not in asked}
    a.tap.equal(set(held), set(range(FDS)), f"{a.what}: ten descriptors and those of the question")
    a.tap.equal(held[0], "/dev/null", f"{a.what}: no input")
    a.tap.ok(held[1] == held[2] and held[1].endswith(f"/{inst.id}.log"), f"{a.what}: the log", held)
    a.tap.ok(held[MEMORY].endswith("/memory" if boot else "silica-memory (deleted)"), f"{a.what}: memory", held)
    a.tap.equal(held[TAP], "/dev/net/tun", f"{a.what}: tap device")
    modes = a.do(*(f"fcntl {n} {F_GETFL}" for n in range(FDS)))
    want = {0: None, 1: O_WRONLY, 2: O_WRONLY, MEMORY: O_RDWR if boot else 0, LAYER: O_RDWR, BASE: 0, TAP: O_RDWR,
            QMP: O_RDWR, DEVICES: O_WRONLY if boot else 0, LAUNCH: O_RDWR}
    for n, mode in want.items():
        if mode is not None:
            a.tap.equal(modes[n] & O_ACCMODE, mode, f"{a.what}: how descriptor {n} is open")
    for n in range(FDS):
        a.refused(f"entering {n}", f"fchdir {n}", "ENOTDIR|EACCES")
        a.refused(f"opening below {n}", f"openat {n} s:../../../etc/passwd 0", "ENOTDIR|EACCES")
        a.refused(f"a folder above {n}", f"open s:/proc/self/fd/{n}/.. {O_DIRECTORY}", "ENOTDIR|EACCES|ENXIO|ENOENT")
        a.refused(f"a name for {n}", f"linkat {n} s: {AT_FDCWD} s:/tmp/x 0x1000", NO + "|ENOENT|EXDEV|EROFS")
        for path in a.flags.paths:
            a.seen.append(a.reads(f"/proc/self/fd/{n}/../../../../../..{path}"))
    closed = a.do(*(f"fcntl {n} 1" for n in range(FDS + 4, FDS + 60)))
    a.tap.equal(set(closed), {"EBADF"}, f"{a.what}: nothing above is open")


def images(a, h, *_):
    base = os.path.join(h.templates, harness.TEMPLATE, "rootfs.img")
    before = os.stat(base)
    for flags in (O_RDWR, O_WRONLY, O_WRONLY | 0x200):
        a.refused(f"the base image again, with {flags}", f"open s:/proc/self/fd/{BASE} {flags}", NO)
    for what, call, want in (("writing", f"write {BASE} s:x 1", "EBADF"), ("cutting", f"ftruncate {BASE} 0", "EINVAL|EBADF"),
                             ("a hole in", f"fallocate {BASE} 3 0 4096", "EBADF"),
                             ("mapping", f"mmap 0 4096 {PROT_RW} {MAP_SHARED} {BASE} 0", "EACCES"),
                             ("a lease of", f"fcntl {BASE} {F_SETLEASE} 1", NO),
                             ("a lock of", f"flock {BASE} 2", NO),
                             ("the mode of", f"fchmod {BASE} 511", NO), ("the owner of", f"fchown {BASE} 0 0", NO),
                             ("an attribute of", f"fsetxattr {BASE} s:user.x s:y 1 0", NO)):
        a.refused(f"{what} the base image", call, want)
    a.do(f"ioctl {BASE} 0x40086602 h:1000000000000000", f"ioctl {BASE} 0x80086601 b:8")
    after = os.stat(base)
    a.tap.equal((after.st_mode, after.st_uid, after.st_size, after.st_ctime_ns),
                (before.st_mode, before.st_uid, before.st_size, before.st_ctime_ns), f"{a.what}: the base image is as it was")
    a.refused("the layer again", f"open s:/proc/self/fd/{LAYER} {O_RDWR}", NO)
    a.refused("the mode of the layer", f"fchmod {LAYER} 511", NO)
    a.tap.equal(a.do(f"pwrite64 {LAYER} s:layer 5 4096")[0], 5, f"({a.what}: the layer can be written)")


def devices(a, *_):
    got = a.do(f"read {DEVICES} b:64 64", "show 0.1 64")
    a.tap.ok(machines.DEVICES_TEXT.split()[-1] in str(got[-1]), f"({a.what}: the devices can be read)", got)
    for flags in (O_RDWR, O_WRONLY):
        a.refused(f"the devices again, with {flags}", f"open s:/proc/self/fd/{DEVICES} {flags}", NO)
    for what, call, want in (("writing", f"write {DEVICES} s:x 1", "EBADF"), ("cutting", f"ftruncate {DEVICES} 0", "EINVAL|EBADF"),
                             ("mapping", f"mmap 0 4096 {PROT_RW} {MAP_SHARED} {DEVICES} 0", "EACCES")):
        a.refused(f"{what} the devices", call, want)


def sealed(a, fd, name):
    """No way to change what others have too."""
    a.tap.equal(a.do(f"fcntl {fd} {F_GET_SEALS}")[0] & SEALS, SEALS, f"{a.what}: {name} has all seals")
    a.refused(f"other seals for {name}", f"fcntl {fd} {F_ADD_SEALS} 0", NO)
    again = f"open s:/proc/self/fd/{fd} {O_RDWR}"
    a.tap.ok(a.do(again)[0] == "EACCES" or fd == MEMORY, f"{a.what}: {name} again")  # QEMU opens its memory so
    for opened, how in ((f"dup {fd}", "as it is"), (again, "opened again")):
        for what, call in (("writing", "write $0 s:x 1"), ("writing in the middle of", "pwrite64 $0 s:x 1 4096"),
                           ("cutting", "ftruncate $0 0"), ("extending", "ftruncate $0 0x40000000"),
                           ("punching", "fallocate $0 3 0 4096"), ("zeroing", "fallocate $0 0x10 0 4096"),
                           ("mapping for writing", f"mmap 0 4096 {PROT_RW} {MAP_SHARED} $0 0"),
                           ("sending into", f"sendfile $0 {BASE} 0 100"),
                           ("copying into", f"copy_file_range {BASE} 0 $0 0 100 0")):
            a.refused(f"{what} {name}, {how}", opened, call, NO + "|EBADF|EINVAL|EXDEV|EOPNOTSUPP")
    a.refused(f"{name} made writable later", f"mmap 0 4096 1 {MAP_SHARED} {fd} 0", "mprotect $0 4096 3", NO + "|EINVAL|ENOMEM")
    a.refused(f"removing pages of {name}", f"mmap 0 4096 1 {MAP_SHARED} {fd} 0", "madvise $0 4096 9", NO + "|EINVAL|ENOMEM")
    a.refused(f"the mode of {name}", f"fchmod {fd} 511", NO)
    a.refused(f"running {name}", f"execveat {fd} s: 0 0 0x1000", NO)
    a.refused(f"running {name} by its name", f"execve s:/proc/self/fd/{fd} 0 0", NO)


def calls(a, *_):
    """What the filters refuse beyond a sandbox's: there is no other process to reach, and nothing to make one with."""
    sun, size = attack.address_of("\0silica-host")
    for family in (1, 2, 10, 16, 17, 40):
        a.refused(f"a socket of family {family}", f"socket {family} 1 0", NO + "|EAFNOSUPPORT")
    a.refused("a pair of sockets", "socketpair 1 1 0 b:8", NO)
    for what, call in (("connecting what it has", f"connect {QMP} {sun} {size}"), ("binding", f"bind {QMP} {sun} {size}"),
                       ("a fork", f"clone {SIGCHLD} 0 0 0 0"), ("another fork", "fork"), ("a third", "vfork"),
                       ("a process sharing memory", f"clone {0x100 | SIGCHLD} 0 0 0 0"),
                       ("tracing", "ptrace 16 1 0 0"), ("reading memory", "process_vm_readv 1 b:16 1 b:16 1 0"),
                       ("a process's descriptor", "pidfd_open 1 0"), ("others' descriptors", "pidfd_getfd 0 0 0"),
                       ("memory with a name", "memfd_create s:x 0"), ("System V memory", "shmget 0 4096 0x3b6"),
                       ("System V messages", "msgget 0 0x3b6"), ("semaphores", "semget 0 1 0x3b6"),
                       ("a message queue", "mq_open s:x 0x42 0x1b6 0"), ("keys", "add_key s:user s:x s:y 1 -3"),
                       ("asking for keys", "request_key s:user s:x 0 -3"), ("keyrings", "keyctl 0 -3 0"),
                       ("mounting", "mount s:none s:/tmp s:tmpfs 0 0"), ("a new mount", "fsopen s:tmpfs 0"),
                       ("a tree", f"open_tree {AT_FDCWD} s:/ 1"), ("moving mounts", "move_mount 0 s: 0 s: 0"),
                       ("another root", "chroot s:/tmp"), ("pivoting", "pivot_root s:/ s:/tmp"), ("setns", "setns 0 0"),
                       ("BPF", "bpf 0 b:64 64"), ("perf", "perf_event_open b:128 0 -1 -1 0"),
                       ("io_uring", "io_uring_setup 8 b:128"), ("userfaultfd", "userfaultfd 0"),
                       ("a module", "init_module b:16 16 s:"), ("kexec", "kexec_load 0 0 0 0"), ("rebooting", "reboot 0 0 0 0"),
                       ("the kernel's log", "syslog 3 b:64 64"), ("ports", "iopl 3"), ("handles", "open_by_handle_at 0 b:16 0"),
                       ("making handles", f"name_to_handle_at {AT_FDCWD} s:/ b:128 b:8 0"), ("watching all", "fanotify_init 0 0"),
                       ("watching", "inotify_init1 0"), ("becoming root", "setuid 0"), ("all ids", "setresuid 0 0 0"),
                       ("groups", "setgroups 0 0"), ("a node", "mknod s:/dev/x 0x2180 0x101"), ("a folder", "mkdir s:/dev/x 511"),
                       ("a link", "symlink s:/etc s:/dev/x"), ("removing", "unlink s:/dev/null"), ("ranks", "setpriority 0 0 -1"),
                       ("real time", "sched_setscheduler 0 1 h:01000000"), ("other processors", "sched_setaffinity 0 8 b:8"),
                       ("a program", "execveat -100 s:/usr/bin/qemu-system-x86_64 0 0 0"), ("unshare", "unshare 0x400")):
        a.refused(what, call, NO + "|ENOSYS")
    for name, flag in CLONE_NEW.items():
        a.refused(f"a {name} namespace", f"unshare {flag}", NO)
        if name != "time":
            a.refused(f"a process in one", f"clone {flag | SIGCHLD} 0 0 0 0", NO)
    a.refused("clone3", "nr:435 b:88 88", "ENOSYS")
    for name, request in TUN.items():
        a.refused(f"{name} of the tap device", f"ioctl {TAP} {request} b:64", NO)
    for request in (0x5412, 0x541C, 0x5423):
        a.refused(f"terminal request {request:x}", f"ioctl 0 {request} b:8", NO)
    a.refused("a signal to another", "kill 2 9", "ESRCH|EPERM")
    a.tap.ok(a.do("kill -1 9")[0] in ("ESRCH", "EPERM", 0), f"{a.what}: a signal to all reaches nobody")


def log(a, h, inst):
    """What QEMU says there costs little, and nobody waits for it."""
    a.refused("taking back what it said", "read 1 b:64 64", "EBADF")
    a.do(f"fcntl 1 {F_GETFL}", f"fcntl 1 {F_SETFL} 1")  # it waits now, we must not
    a.ask("flood 1 40 a")  # as many lines as are taken in a second, and then nothing
    time.sleep(2.5)
    begin = time.monotonic()
    c = h.client()
    c.list()
    c.close()
    a.tap.ok(time.monotonic() - begin < 10, f"{a.what}: silica-priv answers")
    before = len(h.log_text())
    a.do(f"fcntl 1 {F_SETFL} {1 | O_NONBLOCK}")
    a.ask(f"flood 1 {64 * harness.MIB} a-line-without-end-" + "x" * 200)
    time.sleep(2)
    a.tap.ok(len(h.log_text()) - before < 100000, f"{a.what}: a flood is cut", len(h.log_text()) - before)
    a.ask("flood 1 100 %1b]0;title%07\u202e")
    a.tap.ok("\x1b" not in h.log_text(), f"{a.what}: and quoted")


def resources(tap, h, c):
    inst = c.start(kind=harness.CLONE)
    n = int(h.ask(inst, "threads 1000")[0].split()[1])
    tap.ok(n < PIDS_MAX, "threads have a bound", n)
    tap.equal(h.ask(inst, "forks 10")[0].split()[1], "0", "there are no processes beside it")
    got = h.ask(inst, f"do ftruncate {LAYER} 0x40000000 ; pwrite64 {LAYER} s:x 1 0x3fffffff")
    tap.equal([line.split()[1] for line in got], ["0", "1"], "(a disk has its size)")
    got = h.ask(inst, f"do ftruncate {LAYER} 0x40000001 ; pwrite64 {LAYER} s:x 1 0x40000000")
    tap.equal(got, ["ftruncate EFBIG", "pwrite64 EFBIG"], "and does not grow")
    try:
        got = h.ask(inst, f"hog {2 * 256 + OWN_MIB + 64}", timeout=120)
    except OSError as e:
        got = [repr(e)]
    tap.ok("hog ok" not in got, "memory has a bound", got)
    reason = c.wait_exit(inst.id)
    tap.ok(reason is not None, "and beyond it the machine ends", reason)


def boots(tap, h, c):
    """A machine that boots has files of the host's in its hands."""
    boot = c.start(kind=harness.BOOT)
    tap.equal(h.ask(boot, f"do fchmod {MEMORY} 0x9ff")[0], "fchmod EPERM", "no set-uid file on the host's disk")
    tap.equal(h.ask(boot, f"do fcntl {MEMORY} {F_SETLEASE} 1 ; flock {MEMORY} 2")[1], "flock EPERM", "no lock of it")
    size = os.path.getsize(os.path.join(h.data, "machine/snapshots", f".new-{boot.id}", "memory"))
    tap.equal(size, 256 * harness.MIB, "(the memory's file has its size)")
    for fd, name in ((MEMORY, "memory"), (DEVICES, "devices"), (LAYER, "disk")):
        got = h.ask(boot, f"do ftruncate {fd} 0x40000001 ; pwrite64 {fd} s:x 1 0x40000000")
        tap.equal(got, ["ftruncate EFBIG", "pwrite64 EFBIG"], f"its {name} has a bound")
    h.ask(boot, f"do ftruncate {DEVICES} {65 * harness.MIB}")
    try:
        machines.keep(c, boot)
        tap.ok(False, "devices of such a size are no snapshot")
    except harness.Error:
        tap.ok(True, "devices of such a size are no snapshot")
    left = [name for name in os.listdir(os.path.join(h.data, "machine/snapshots")) if name.startswith(".new-")]
    tap.equal(left, [], "nothing is left of those that were not kept")


def neighbours(tap, h, c):
    """Two clones of one template have its memory in common, and nothing else."""
    one, two = c.start(kind=harness.CLONE), c.start(kind=harness.CLONE)
    tap.ok(os.stat(f"/proc/{one.pid}").st_uid != os.stat(f"/proc/{two.pid}").st_uid, "different users")
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        tap.ok(os.readlink(f"/proc/{one.pid}/ns/{name}") != os.readlink(f"/proc/{two.pid}/ns/{name}"),
               f"different {name} namespaces")
    for fd, name in machines.FD_NAMES.items():
        h.ask(one, f"do lseek {fd} 77 0")
        tap.ok(h.ask(two, f"do lseek {fd} 0 1")[0] != "lseek 77", f"the place in the {name} is each one's own")
        flags = int(h.ask(one, f"do fcntl {fd} {F_GETFL}")[0].split()[1])
        h.ask(one, f"do fcntl {fd} {F_SETFL} {flags | 0x400}")  # O_APPEND
        tap.ok(int(h.ask(two, f"do fcntl {fd} {F_GETFL}")[0].split()[1]) & 0x400 == 0, f"and how the {name} is open")
    for inst in (one, two):
        c.stop(inst.id)
    three = c.start(kind=harness.CLONE)
    tap.ok("memory" in h.ask(three, f"do pread64 {MEMORY} b:16 16 0 ; show 0.1 10")[-1], "the memory is the template's")
    c.stop(three.id)


def attacks(tap, h, c, flags, kind):
    inst = c.start(kind=kind)
    boot = kind == harness.BOOT
    what = "a boot" if boot else "a clone"
    # "as a user": the words of a sandbox's attacks
    for name, steps in (("identity", identity), ("files", files), ("images", images), ("calls", calls), ("log", log)):
        a = attack.Attack(tap, h, inst, 1, flags, f"{what}: {name}")
        steps(a, h, inst)
        a.end()
    a = attack.Attack(tap, h, inst, 1, flags, f"{what}: descriptors")
    descriptors(a, h, inst, boot)
    a.end()
    a = attack.Attack(tap, h, inst, 1, flags, f"{what}: sealed memory")
    sealed(a, LAUNCH, "the launch object")
    if not boot:
        sealed(a, MEMORY, "the memory")
        devices(a)
    a.end()
    c.stop(inst.id)


def main():
    harness.need_root()
    tap = harness.Tap()
    h = machines.Machines()
    try:
        before = h.snapshot()
        flags = attack.Flags(h)
        try:
            c = h.client()
            h.snapshot_of(c)
            for kind in (harness.CLONE, harness.BOOT):
                attacks(tap, h, c, flags, kind)
            neighbours(tap, h, c)
            resources(tap, h, c)
            boots(tap, h, c)
            socket_mode = os.stat(os.path.join(h.data, "run", "machines")).st_mode
            tap.equal(stat.S_IMODE(socket_mode), 0o755, "(the sockets' folder)")
            tap.equal(os.listdir(os.path.join(h.data, "run", "machines")), [], "no socket is left")
        finally:
            flags.close()
        left = [line for line in h.snapshot() if line not in before and "machine/snapshots" not in line]
        tap.equal([line for line in left if "kept" not in line], [], "nothing is left but the snapshot")
    finally:
        if tap.failed:
            print("# " + h.log_text()[-3000:].replace("\n", "\n# "))
        h.close()
    tap.end()


main()
