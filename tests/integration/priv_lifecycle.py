#!/usr/bin/env python3
"""silica-priv: sandboxes are started, listed and stopped, and nothing of them is left."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security", "lib"))
import harness  # noqa: E402

ROUNDS, AT_ONCE = 5, 4


def loop(tap, h, c):
    before = h.snapshot()
    for _ in range(ROUNDS):
        made = [c.start() for _ in range(AT_ONCE)]
        if {i.id for i in c.list()} != {i.id for i in made} or len({i.addr for i in made}) != AT_ONCE:
            tap.ok(False, "the list names what was started")
        for inst in made:
            if h.ask(inst, "cat /etc/hostname") != [f"cat {inst.id}"]:
                tap.ok(False, "the sandbox at that address is the one asked for")
        if h.snapshot() == before:
            tap.ok(False, "running sandboxes can be seen from outside")
        for inst in made:
            c.stop(inst.id)
    tap.equal(c.list(), [], f"after {ROUNDS * AT_ONCE} starts and stops the list is empty")
    tap.equal(h.snapshot(), before, "and the host is as before: no process, mount, group, link, rule, file")


def layers(tap, h, c):
    first = c.start()
    h.ask(first, "write /etc/template changed")
    tap.equal(h.ask(first, "cat /etc/template"), ["cat changede template"], "a file of the template can be changed")
    second = c.start()
    tap.equal(h.ask(second, "cat /etc/template"), ["cat from the template"], "the next sandbox sees the template's")
    tap.equal(h.ask(first, "stat /home/user")[-1], "owner 1000 1000", "ids of the template are ids inside")
    tap.equal(h.on_disk(first, "stat", "-c", "%u %g", "upper/etc/template"), "0 0\n", "on disk the ids are not shifted")
    c.stop(first.id)
    c.stop(second.id)
    with open(os.path.join(h.templates, harness.TEMPLATE, "rootfs/etc/template"), encoding="ascii") as f:
        tap.equal(f.read(), "from the template\n", "the template is unchanged")


def ends(tap, h, c):
    before = h.snapshot()
    inst = c.start()
    try:
        h.ask(inst, "exit 7")
    except OSError:
        pass
    tap.equal(c.wait_exit(inst.id), "exited with status 7", "an end by itself is told with its reason")
    tap.equal(h.snapshot(), before, "and nothing of it is left")
    inst = c.start()
    os.kill(inst.pid, 9)
    tap.equal(c.wait_exit(inst.id), "killed by signal 9", "a kill from outside is told too")
    inst = c.start()
    c.stop(inst.id)
    c.stop(inst.id)
    tap.ok(True, "stopping what is stopped succeeds")
    tap.equal(c.wait_exit(inst.id, 0.3), None, "a requested stop is no exit event")


def two_stops(tap, c):
    inst = c.start()
    body = inst.id.encode().ljust(24, b"\0")
    one, two = c.send(harness.STOP, body), c.send(harness.STOP, body)
    c.wait(one)
    c.wait(two)
    tap.ok(True, "two stops at once are both answered")


def failures(tap, h, c):
    before = h.snapshot()
    for what, options, errno in [("a template that is not there", {"template": "a" * 20}, 2),
                                 ("too little memory", {"memory": 1}, 22),
                                 ("too much CPU", {"cpu": 10**9}, 22),
                                 ("no processes", {"pids": 0}, 22)]:
        try:
            c.start(**options)
            tap.ok(False, f"{what} is refused")
        except harness.Error as e:
            tap.equal(-e.error, errno, f"{what} is refused")
    inst = c.start()
    try:
        c.start(name=inst.id)
        tap.ok(False, "an id is used once")
    except harness.Error as e:
        tap.equal(-e.error, 17, "an id is used once")
    c.stop(inst.id)
    tap.equal(h.snapshot(), before, "failed starts leave nothing")


def evil_templates(tap, h, c):
    """Symbolic links where the helper mounts or writes: refused, or replaced, never followed."""
    before = h.snapshot()
    target = os.path.join(h.data, "target")
    os.mkdir(target)
    for n, folder in enumerate(("dev", "proc", "sys", "etc")):
        for m, to in enumerate((target, "old", "/old")):
            name = f"evil{n}{m}".ljust(20, "0")
            root = h.make_template(name)
            os.rename(os.path.join(root, folder), os.path.join(root, "old"))
            os.symlink(to, os.path.join(root, folder))
            what = f"a link at /{folder} to {to.replace(h.data, 'DATA')} is refused"
            try:
                c.stop(c.start(template=name).id)
                tap.ok(False, what)
            except harness.Error as e:
                tap.ok("plain folder" in str(e), what, str(e))
    root = h.make_template("evilfile".ljust(20, "0"))
    victim = os.path.join(target, "victim")
    with open(victim, "w", encoding="ascii") as f:
        f.write("mine")
    for name in ("hosts", "resolv.conf", "hostname"):
        os.symlink(victim, os.path.join(root, "etc", name))
    inst = c.start(template="evilfile".ljust(20, "0"))
    tap.equal(h.ask(inst, "cat /etc/hostname"), [f"cat {inst.id}"], "links at files in /etc are replaced")
    with open(victim, encoding="ascii") as f:
        tap.equal(f.read(), "mine", "and not written through")
    c.stop(inst.id)
    os.remove(victim)
    os.rmdir(target)
    os.mknod(os.path.join(root, "disk"), 0o60666, os.makedev(7, 0))
    inst = c.start(template="evilfile".ljust(20, "0"))
    tap.equal(h.ask(inst, "cat /disk"), ["cat EACCES"], "a device node in a template is just a name")
    c.stop(inst.id)
    tap.equal(h.snapshot(), before, "none of them leaves anything")


def end_of_helper(tap, h):
    tap.equal(h.end(), 0, "SIGTERM ends the helper with status 0")
    left = [line for line in h.snapshot() if not line.startswith("file ")]
    tap.equal(left, [], "without sandboxes its table and groups go with it")
    tap.ok(not os.path.exists(h.socket), "and its socket")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        began = time.monotonic()
        c = h.client()
        loop(tap, h, c)
        layers(tap, h, c)
        ends(tap, h, c)
        two_stops(tap, c)
        failures(tap, h, c)
        evil_templates(tap, h, c)
        c.close()
        end_of_helper(tap, h)
        print(f"# {time.monotonic() - began:.1f} s")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
