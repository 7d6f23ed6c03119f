#!/usr/bin/env python3
# timeout: 1500
"""Hostile templates (item 4): each starts safely, or is refused with an error that says why; the host is as before.

A template here is a folder that belongs to root, as every template does; what is in it is the enemy's. Links
point to a folder of the host ("the victim") whose every file, time and attribute is compared after each case.
With names of CASES as arguments only those.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import attack  # noqa: E402
import harness  # noqa: E402
import hostile  # noqa: E402

STARTS, REFUSED = "starts", "is refused"
MOUNT_POINTS = ("dev", "proc", "sys", "etc")
WRITTEN = ("etc/hosts", "etc/resolv.conf", "etc/hostname")
OTHER_FOLDERS = ("tmp", "run", "home", "home/user", "var", "root", "usr", "bin")
START_MAX_S = 60  # also of a template with a million names: nothing is walked
LEVELS = 4096
MANY = int(os.environ.get("SILICA_TEST_NAMES") or 1000000)  # fewer where a processor is emulated
CAPS = 0xa00405fb  # the agreed set
SYS_ADMIN = 1 << 21
WITNESS = "unwalked"  # a folder in each template; reading it would give it a time of access
FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x40086602, 0x10


class Cases:
    def __init__(self, tap, h):
        self.tap, self.h, self.c = tap, h, h.client()
        self.flags, self.victim = attack.Flags(h), hostile.Victim()
        self.n = 0
        self.sees_walks = self.walked(self.new()[1], os.listdir)

    def new(self):
        self.n += 1
        name = f"hostile{self.n:013d}"
        root = self.h.make_template(name)
        os.makedirs(os.path.join(root, WITNESS, "inner"))
        os.utime(os.path.join(root, WITNESS), (0, 0))
        return name, root

    @staticmethod
    def walked(root, by=None):
        """Whether the witness of a template was read since it was made."""
        witness = os.path.join(root, WITNESS)
        if by:
            by(witness)
        return os.stat(witness).st_atime != 0

    def drop(self, name):
        subprocess.run(["rm", "-rf", "--", os.path.join(self.h.templates, name)], stdin=subprocess.DEVNULL, check=True)

    def same_host(self, what):
        self.tap.ok(self.victim.untouched() and self.flags.untouched(), f"{what}: the host is as before")

    def inside(self, inst, what):
        """A sandbox that is as it should be, whatever its template says."""
        def lines(question):
            return self.h.ask(inst, question)
        facts = harness.facts_of(lines("as 0 facts"))
        kinds = {line.split(" - ")[0].split(" ")[4]: line.split(" - ")[1].split(" ")[0] for line in facts["mount"]
                 if " - " in line}
        self.tap.equal([kinds.get(p) for p in ("/", "/proc", "/sys", "/dev")], ["overlay", "proc", "sysfs", "tmpfs"],
                       f"{what}: root, /proc, /sys and /dev are ours")
        self.tap.ok(set(kinds.values()) <= {"overlay", "proc", "sysfs", "tmpfs", "devpts"}, f"{what}: and nothing else", kinds)
        self.tap.equal((facts.get("hostfile"), lines("stat /etc/hosts")[1:2], lines("stat /dev/null")[1:2]),
                       ([inst.id], ["mode 100644"], ["mode 20666"]), f"{what}: /etc and /dev are ours")
        self.tap.equal([lines("as 0 cat /proc/keys"), lines("as 0 cat /proc/timer_list")], [[], []],
                       f"{what}: what is covered is covered")
        for uid in (0, 1000):
            attack.Attack(self.tap, self.h, inst, uid, self.flags, what).end(["/tmp", "/run", "/home", "/link", "/"])

    def try_one(self, what, name, want, then=None):
        """Starts the template and ends it; `then` asks questions in between."""
        inst, told, started = None, "", time.monotonic()
        try:
            inst = self.c.start(template=name, memory=128 * harness.MIB)
        except harness.Error as e:
            told = str(e)
        took = time.monotonic() - started
        self.tap.equal(STARTS if inst else REFUSED, want, f"{what} {want}")
        self.tap.ok(took < START_MAX_S, f"{what}: soon", took)
        if inst is None:
            self.tap.ok(any(word in told for word in ("template", "sandbox's", "/", "mount", "root file")) and len(told) > 15,
                        f"{what}: the error says why", told)
            print(f"# {told}")
        else:
            self.inside(inst, what)
            if then:
                then(inst)
            self.c.stop(inst.id)
        root = os.path.join(self.h.templates, name, "rootfs")
        if os.path.isdir(os.path.join(root, WITNESS)):
            skip = "" if self.sees_walks else " # SKIP reading a folder leaves no time here"
            self.tap.ok(not (self.sees_walks and self.walked(root)), f"{what}: nothing walks through it{skip}")
        self.same_host(what)

    def close(self):
        self.flags.close()
        self.victim.close()


def in_places(t):
    """CVE-2026-41579, CVE-2026-47766 (/dev of an image is a link) and all of their kind."""
    for place in MOUNT_POINTS:
        for kind, target in hostile.links_of(t.victim).items():
            name, root = t.new()
            hostile.put_link(os.path.join(root, place), target)
            t.try_one(f"/{place} as a link to {kind}", name, REFUSED)
            t.drop(name)
        for kind, put in hostile.OTHERS.items():
            name, root = t.new()
            put(os.path.join(root, place))
            # a whiteout is the absence of a folder, which is made then
            t.try_one(f"/{place} as {kind}", name, STARTS if kind == "a whiteout" else REFUSED)
            t.drop(name)


def in_etc(t):
    for place in WRITTEN:
        links = hostile.links_of(t.victim)
        links["a file of the host"] = os.path.join(t.victim.path, os.path.basename(place))
        for kind in ("an absolute path", "a chain of ..", "a dangling path", "a file of the host", "/proc/self/fd/3"):
            name, root = t.new()
            hostile.put_link(os.path.join(root, place), links[kind])
            t.try_one(f"/{place} as a link to {kind}", name, STARTS)
            t.drop(name)
    name, root = t.new()
    for place, put in zip(WRITTEN, (hostile.put_fifo, hostile.put_socket, hostile.put_node)):
        put(os.path.join(root, place))
    t.try_one("/etc/hosts and its fellows as fifo, socket and device", name, STARTS)
    t.drop(name)
    name, root = t.new()
    hostile.put_folder(os.path.join(root, "etc/hosts"))
    t.try_one("/etc/hosts as a folder", name, REFUSED)
    t.drop(name)


def elsewhere(t):
    """Folders that silica-priv does not touch may be anything: links in there end inside."""
    links = hostile.links_of(t.victim)
    for kind in ("an absolute path", "a chain of ..", "/proc/1/root", "a dangling path"):
        name, root = t.new()
        for place in OTHER_FOLDERS:
            if not os.path.islink(os.path.join(root, os.path.dirname(place))):
                hostile.put_link(os.path.join(root, place), links[kind])
        hostile.put_link(os.path.join(root, "link"), t.victim.path)
        def then(inst, kind=kind):
            for path in ("/tmp/template", "/link/template", "/home/template", t.victim.path + "/template"):
                got = t.h.ask(inst, f"as 0 cat {path}")
                t.tap.ok("the host's" not in str(got), f"{kind}: {path.replace(t.victim.path, 'VICTIM')} is not the host's", got)
                t.h.ask(inst, f"as 0 write {path} x")
        t.try_one(f"folders as links to {kind}", name, STARTS, then)
        t.drop(name)


def covered(t):
    """CVE-2025-31133, -52565, -52881: links below /dev and /proc, where a runtime mounts or writes."""
    name, root = t.new()
    for path, target in (("dev/null", "core_pattern"), ("dev/zero", "zero"), ("dev/tty", "null"), ("dev/ptmx", "null")):
        hostile.put_link(os.path.join(root, path), os.path.join(t.victim.path, target))
    t.try_one("CVE-2025-31133: /dev/null as a link", name, STARTS)
    t.drop(name)
    name, root = t.new()
    for path, target in (("dev/console", "null"), ("dev/pts", "pts"), ("dev/shm", "shm"), ("dev/mqueue", "self"),
                         ("dev/fd", "self")):
        hostile.put_link(os.path.join(root, path), os.path.join(t.victim.path, target))
    t.try_one("CVE-2025-52565: /dev/console and /dev/pts as links", name, STARTS)
    t.drop(name)
    name, root = t.new()
    os.makedirs(os.path.join(root, "proc/thread-self/attr"))
    hostile.put_link(os.path.join(root, "proc/thread-self/attr/exec"), os.path.join(t.victim.path, "sysrq-trigger"))
    for path, target in (("proc/self", "self"), ("proc/sys", "self"), ("proc/kcore", "null"), ("proc/sysrq-trigger", "null"),
                         ("sys/firmware", "self"), ("sys/fs", "self")):
        hostile.put_link(os.path.join(root, path), os.path.join(t.victim.path, target))
    t.try_one("CVE-2025-52881: /proc/self and what is written below as links", name, STARTS)
    t.drop(name)


def rootfs_itself(t):
    name, root = t.new()
    os.rename(root, root + ".real")
    os.symlink(root + ".real", root)
    t.try_one("rootfs as a link to a folder beside it", name, REFUSED)
    hostile.put_link(root, "/")
    t.try_one("rootfs as a link to /", name, REFUSED)
    hostile.put_link(root, t.victim.path)
    t.try_one("rootfs as a link to the host", name, REFUSED)
    hostile.put_file(root)
    t.try_one("rootfs as a file", name, REFUSED)
    os.remove(root)
    t.try_one("no rootfs", name, REFUSED)
    os.rename(root + ".real", root)
    os.chown(root, 1000, 1000)
    t.try_one("rootfs of a user", name, REFUSED)
    os.chown(root, 0, 0)
    os.chmod(root, 0)
    t.try_one("rootfs of mode 0", name, STARTS)
    t.drop(name)
    outside = os.path.join(t.victim.path, "lower")
    hostile.put_link(os.path.join(t.h.templates, name), outside)
    t.try_one("a template that is a link out of its folder", name, REFUSED)
    os.remove(os.path.join(t.h.templates, name))


def copy_probe(root, name, mode):
    path = os.path.join(root, name)
    shutil.copyfile(harness.build_file("security-probe"), path)
    os.chmod(path, mode)
    return path


def programs(t):
    """What gains rights by its file gains those of the sandbox."""
    name, root = t.new()
    copy_probe(root, "suid", 0o6755)
    foreign = copy_probe(root, "foreign", 0o755)
    os.chown(foreign, 70000, 70000)  # an id that the sandbox does not have
    os.chmod(foreign, 0o6755)
    for file, bits, revision, rootid in (("caps", SYS_ADMIN, 2, 0), ("caps3", SYS_ADMIN, 3, 0), ("own", 1 << 6 | 1 << 7, 2, 0),
                                         ("rooted", SYS_ADMIN, 3, 1000)):
        os.setxattr(copy_probe(root, file, 0o755), "security.capability", hostile.capability(bits, revision, rootid))

    def then(inst):
        def status(program):
            lines = t.h.ask(inst, f"as 1000 run /{program} cat /proc/self/status")
            return {k: v.strip() for k, _, v in (line.removeprefix("cat ").partition(":") for line in lines)}, lines
        s, lines = status("suid")
        t.tap.equal((s.get("Uid", "").split(), int(s.get("CapEff", "-1"), 16), int(s.get("CapBnd", "-1"), 16)),
                    (["1000", "0", "0", "0"], CAPS, CAPS), "set-uid root: root inside with the agreed set, and no more")
        s, lines = status("foreign")
        t.tap.ok(s.get("Uid", "").split() in ([], ["1000"] * 4), "set-uid of an id outside the range gains nothing", lines)
        for program in ("caps", "caps3", "rooted", "own"):
            s, lines = status(program)
            t.tap.ok(int(s.get("CapEff", "0"), 16) & ~CAPS == 0 and s.get("Uid", "1000 ").split()[0] == "1000",
                     f"file capabilities of {program}: none beyond the agreed set", lines)
    t.try_one("programs with rights", name, STARTS, then)
    t.drop(name)


def nodes(t):
    name, root = t.new()
    os.mkdir(os.path.join(root, "nodes"))
    for node, (kind, major, minor) in hostile.NODES.items():
        hostile.put_node(os.path.join(root, "nodes", node), kind, major, minor)
    hostile.put_node(os.path.join(root, "nodes", "whiteout"), hostile.stat.S_IFCHR, 0, 0)

    def then(inst):
        for uid in (0, 1000):
            for node in (*hostile.NODES, "whiteout"):
                for flags in ("0x800", "0x802"):
                    got = t.h.ask(inst, f"as {uid} do open s:/nodes/{node} {flags}")
                    t.tap.ok(got in (["open EACCES"], ["open ENOENT"]), f"uid {uid}: the node {node} opens nothing ({flags})", got)
    t.try_one("device nodes", name, STARTS, then)
    t.drop(name)


def attributes(t):
    """What overlayfs keeps for itself in attributes, in a layer that is not its own work."""
    name, root = t.new()
    lower = t.victim.path
    for folder, items in (("opaque", {"trusted.overlay.opaque": b"y"}), ("x", {"trusted.overlay.opaque": b"x"}),
                          ("redirect", {"trusted.overlay.redirect": lower.encode()}),
                          ("up", {"trusted.overlay.redirect": b"/../../../../.." + lower.encode()}),
                          ("origin", {"trusted.overlay.origin": b"\0" * 64}), ("impure", {"trusted.overlay.impure": b"y"}),
                          ("user", {"user.overlay.redirect": lower.encode(), "user.overlay.opaque": b"y", "user.x": b"y" * 1000})):
        os.mkdir(os.path.join(root, folder))
        for key, value in items.items():
            os.setxattr(os.path.join(root, folder), key, value)
    for file, items in (("metacopy", {"trusted.overlay.metacopy": b"", "trusted.overlay.redirect": lower.encode() + b"/template"}),
                        ("digest", {"trusted.overlay.metacopy": b"\0\4\0\1" + b"\0" * 32}),
                        ("marked", {"trusted.overlay.whiteout": b"", "trusted.overlay.protattr": b"ia"}),
                        ("long", {"trusted.overlay.redirect": b"/" + b"x" * 1000})):
        path = os.path.join(root, file)
        hostile.put_file(path)
        for key, value in items.items():
            os.setxattr(path, key, value)
    os.setxattr(root, "trusted.overlay.opaque", b"y")
    os.setxattr(root, "trusted.overlay.redirect", lower.encode())

    def then(inst):
        for path in ("/redirect/template", "/up/template", "/metacopy", "/digest", "/long", "/user/template", "/origin"):
            got = t.h.ask(inst, f"as 0 cat {path}") + t.h.ask(inst, f"as 0 do open s:{path} 2")
            t.tap.ok("the host's" not in str(got), f"attributes: {path} is not the host's", got)
        # security.* is let pass by some kernels' modules; overlayfs looks at trusted.* alone.
        for key in ("trusted.overlay.redirect", "trusted.overlay.opaque", "trusted.x", "system.x"):
            got = t.h.ask(inst, f"as 0 do setxattr s:/tmp s:{key} s:/ 1 0")
            t.tap.ok(got in (["setxattr EPERM"], ["setxattr EOPNOTSUPP"]), f"attributes: root inside cannot set {key}", got)
    t.try_one("attributes of overlayfs", name, STARTS, then)
    t.drop(name)


def names(t):
    name, root = t.new()
    for place in ("", "etc", "tmp"):
        for odd in hostile.NAMES:
            path = os.path.join(root.encode(), place.encode(), odd)
            os.mkdir(path) if len(odd) % 2 else hostile.put_file(path)

    def then(inst):
        for odd in hostile.NAMES:
            got = t.h.ask(inst, f"as 0 do access {attack.quoted(b'/etc/' + odd)} 0")
            t.tap.equal(got, ["access 0"], f"names: {odd[:20]!r} is there")
            t.h.ask(inst, f"as 0 do write 1 {attack.quoted(b'/etc/' + odd)} {len(odd) + 5}")
        end = time.monotonic() + 10
        while "/etc/\\" not in t.h.log_text() and time.monotonic() < end:  # shown there, but quoted
            time.sleep(0.05)
        log = t.h.log_text()
        t.tap.ok("/etc/\\" in log and "\x1b" not in log and "\x07" not in log, "names: none of their control bytes is in the log")
    t.try_one("odd names", name, STARTS, then)
    t.drop(name)


def sizes(t):
    name, root = t.new()
    hostile.deep(os.path.join(root, "tmp"), LEVELS)
    t.try_one(f"{LEVELS} folders in each other", name, STARTS)
    t.drop(name)
    name, root = t.new()
    with open(os.path.join(root, "sparse"), "wb") as f:
        f.truncate(1 << 40)

    def then(inst):
        t.tap.ok(t.h.ask(inst, "as 0 stat /sparse")[0] == "stat ok", "a file of 1 TiB: it is there")
        got = t.h.ask(inst, "as 0 do open s:/sparse 1 ; pwrite64 $0 s:x 1 0", timeout=300)
        t.tap.ok(len(got) == 2, "a file of 1 TiB: writing to it ends", got)
        print(f"# {got}")
    t.try_one("a file of 1 TiB of nothing", name, STARTS, then)
    t.drop(name)


def million(t):
    name, root = t.new()
    hostile.many(os.path.join(root, "many"), MANY // 2)
    os.mkdir(os.path.join(root, "tree"))
    for i in range(500):
        hostile.many(os.path.join(root, "tree", f"{i:03d}"), MANY // 1000)
    t.try_one(f"{MANY} names, half in one folder, half in a tree", name, STARTS)
    t.drop(name)


def hard_links(t):
    """A template's file may be a file of the host too: what is written inside is a copy."""
    name, root = t.new()
    before = os.path.join(t.victim.path, "template")
    os.link(before, os.path.join(root, "twin"))
    os.link(before, os.path.join(root, "etc/hosts"))
    t.victim.before = t.victim.hash()  # the number of links and its time

    def then(inst):
        got = t.h.ask(inst, "as 0 do open s:/twin 0x401 ; write $0 s:x 1 ; fchmod $0 511 ; fchown $0 5 5 ; unlink s:/twin")
        t.tap.ok(len(got) == 5 and not any(" E" in line for line in got), "hard links: inside it is written, changed, removed", got)
    t.try_one("hard links with files of the host", name, STARTS, then)
    t.drop(name)
    t.victim.before = t.victim.hash()


def immutable(t):
    name, root = t.new()
    path = os.path.join(root, "etc/hosts")
    hostile.put_file(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL.to_bytes(8, "little"))
        t.try_one("an immutable /etc/hosts", name, REFUSED)
    finally:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, b"\0" * 8)
        os.close(fd)
    t.drop(name)


CASES = (in_places, in_etc, elsewhere, covered, rootfs_itself, programs, nodes, attributes, names, hard_links, immutable,
         sizes, million)


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    t = Cases(tap, h)
    try:
        before = h.snapshot()
        for case in (c for c in CASES if c.__name__ in sys.argv[1:] or not sys.argv[1:]):
            started = time.monotonic()
            case(t)
            print(f"# {case.__name__}: {time.monotonic() - started:.0f} s", flush=True)
        tap.equal(h.snapshot(), before, "nothing is left on the host")
    finally:
        t.close()
        if tap.failed:
            print("# " + "\n# ".join(h.log_text().splitlines()[-40:]))
        h.close()
    tap.end()


main()
