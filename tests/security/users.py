#!/usr/bin/env python3
"""Odd names of users (item 8; crun's CVE-2026-30892): a command runs as exactly who was named, or not at all.

Names come with basic authentication and with the `username` of the files API; what they mean stands in the
sandbox's own /etc/passwd, which root inside may fill with whatever it likes.
"""

import base64
import os
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import guest as guests  # noqa: E402
import harness  # noqa: E402
import silica  # noqa: E402

KNOWN = {b"root": "0", b"user": "1000"}
ODD = [b"", b" ", b"0", b"1000", b"+0", b"-0", b"00", b"0x0", b"-1", b"65534", b"65536", b"4294967295", b"4294967296",
       b"4294968296", b"18446744073709551616", b"99999999999999999999999", b"1e3", b"0.0", b" root", b"root ", b"\troot",
       b"root\t", b"root\n", b"\nroot", b"root\r", b"root\0", b"\0root", b"root\0user", b"user\0root", b"ROOT", b"Root",
       b"roo", b"roott", b"root/", b"./root", b"../root", b"root,user", b"user,root", b"#root", b"root#",
       b"root*", b"*", b"%s%n", b"\xd9\xa0", b"\xef\xbc\x90", b"\xef\xbb\xbfroot", b"r\xcc\x88oot", b"ro\xc0\xafot",
       b"\xff\xfe", b"root\x7f", b"\x1b[31mroot", b"x" * 255, b"x" * 4096, b"x" * 60000, b"0" * 4096 + b"1000",
       b"nosuchuser", b"`id`", b"$(id)", b"root;id", b"root|user", b"user@host"]
# Lines that make a name mean something odd. None of these gives a user.
LINES = ["evil:x:-1:0::/:/bin/sh", "evil:x:4294967295:0::/:/bin/sh", "evil:x:4294967296:0::/:/bin/sh",
         "evil:x:4294968296:4294968296::/:/bin/sh", "evil:x:+0:0::/:/bin/sh", "evil:x: 0:0::/:/bin/sh",
         "evil:x:0 :0::/:/bin/sh", "evil:x:0x0:0::/:/bin/sh", "evil:x::0::/:/bin/sh", "evil:x:1e3:0::/:/bin/sh",
         "evil:x:1000:-1::/:/bin/sh", "evil:x:1000:4294967296::/:/bin/sh", "evil:x:1000:::/:/bin/sh",
         "evil:x:\u0661:0::/:/bin/sh", "evil:x:0:0", "evil:x", "evil", "evil:x:0:0::/:/bin/sh:more", " evil:x:0:0::/:/bin/sh",
         "#evil:x:0:0::/:/bin/sh", "evil:x:0\\:0::/:/bin/sh"]
GOOD_LINES = {"evil:x:65535:1000::/:/bin/sh": ("65535", "1000"), "evil:x:1000:1000::/:/bin/sh": ("1000", "1000"),
              "evil:x:0:0::/:/bin/sh": ("0", "0"), "evil:x:001000:01000::/:/bin/sh": ("1000", "1000")}
OUTSIDE = {"evil:x:65536:65536::/:/bin/sh": "no id of the sandbox", "evil:x:4294967294:0::/:/bin/sh": "nor this"}


def run_ids(guest, authorization):
    """(uid line of the running program, or None; the answer)."""
    box = guest.sandbox
    plain = box._start_bytes(guests.PROBE_PATH, ["cat /proc/self/status"], "user").decode("latin-1")
    fields = [line for line in plain.split("\r\n") if not line.startswith("Authorization:")]
    end = fields.index("")
    fields[end:end] = [f"Authorization: {value}" for value in authorization]
    try:
        box.client.send("\r\n".join(fields).encode("latin-1"))
        status, body = box.client.answer()
    except (ConnectionError, BrokenPipeError) as e:  # a head that is too long
        box.client.close()
        return None, str(e)
    if status == 431:
        box.client.close()
    if status != 200:
        return None, (status, body)
    try:
        text = "".join(base64.b64decode(e.get("data", {}).get("stdout", "")).decode() for e in guests.abuse.frames(body))
    except RuntimeError as e:
        return None, str(e)
    facts = dict(line.removeprefix("cat ").split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return (facts["Uid"].split(), facts["Gid"].split()), "ran"


def basic(name, password=b""):
    return "Basic " + base64.b64encode(name + b":" + password).decode()


def same(one, two):
    return ([one] * 4, [two] * 4)


def by_login(tap, guest):
    for name, uid in KNOWN.items():
        got, why = run_ids(guest, [basic(name)])
        tap.equal(got, same(uid, uid), f"{name.decode()} is who that is, in all four ids")
        got, why = run_ids(guest, [basic(name, b"root:root")])
        tap.equal(got, same(uid, uid), f"a password does not matter to {name.decode()}")
    for name in ODD:
        got, why = run_ids(guest, [basic(name)])
        tap.ok(got is None and why != "ran", f"the name {name[:24]!r} ({len(name)} bytes) is refused", (got, why))
        tap.ok("\x1b" not in str(why), "and the answer repeats no control bytes of it")


def by_header(tap, guest):
    """What is no login leaves the default user; it never makes another."""
    for value in ("Basic", "Basic ", "Basic !!!!", "Basic cm9vdA", "Basic  cm9vdDo=x", "Bearer cm9vdDo=",
                  "basic", "Basic\tcm9vdDo=", "Basic " + "A" * 9000, base64.b64encode(b"root:").decode(), "root:"):
        got, why = run_ids(guest, [value])
        tap.ok(got in (None, same("1000", "1000")), f"the header {value[:24]!r} gives the default user or none", (got, why))
    got, why = run_ids(guest, [basic(b"user"), basic(b"root")])
    tap.ok(got in (None, same("1000", "1000")), "of two headers the second does not win", (got, why))
    got, why = run_ids(guest, [])
    tap.equal(got, same("1000", "1000"), "no header is the default user")


def by_query(tap, guest):
    """Files belong to who was named, and to nobody when that is nobody."""
    box = guest.sandbox
    for i, name in enumerate(n for n in ODD if n and len(n) < 5000):
        path = f"/tmp/by-query-{i}"
        query = f"/files?path={path}&username={urllib.parse.quote(name)}"
        status, _ = box.client.request("POST", query, b"x", [*box.guest, ("Content-Type", "application/octet-stream")])
        there = guest.ask(None, f"as 0 stat {path}") != ["stat ENOENT"]
        tap.ok(status >= 400 and not there, f"a file as {name[:24]!r} is refused", status)


def by_passwd(tap, guest):
    """The file belongs to the sandbox; envd reads it as a stranger's."""
    box = guest.sandbox
    before = box.read("/etc/passwd")

    def become(line):
        box.upload("/etc/passwd", before + line.encode() + b"\n", user="root")
        return run_ids(guest, [basic(b"evil")])
    for line in LINES:
        got, why = become(line)
        tap.ok(got is None and why != "ran", f"a line {line!r} gives no user", (got, why))
    for line, (uid, gid) in GOOD_LINES.items():
        got, why = become(line)
        tap.equal(got, same(uid, gid), f"a line {line!r} gives that user")
    for line, what in () if silica.MICROVM else OUTSIDE.items():  # a machine has all ids to itself
        got, why = become(line)
        tap.ok(got is None and why != "ran", f"a line {line!r} gives nobody: {what}", (got, why))
    box.upload("/etc/passwd", before, user="root")


def broken_passwd(tap, server):
    """A file of which nothing can be read, each in a sandbox of its own: there is nobody left to mend it."""
    for what, content in (("of one long line", b"evil:x:0:0::" + b"/" * 100000 + b":/bin/sh\n"), ("of nothing", b"\n"),
                          ("of null bytes", b"\0" * 4096), ("of very many lines", b"a:x:1:1::/:/x\n" * 200000)):
        guest = guests.Guest(server)
        guest.sandbox.upload("/etc/passwd", content, user="root")
        got, why = run_ids(guest, [basic(b"evil")])
        tap.ok(got is None and why != "ran", f"a file {what} gives nobody", (got, why))
        guest.sandbox.health()
        guest.kill()


def main():
    harness.need_root()
    tap = harness.Tap()
    with silica.Server() as server:
        guest = guests.Guest(server)
        by_login(tap, guest)
        by_header(tap, guest)
        by_query(tap, guest)
        by_passwd(tap, guest)
        tap.ok(guest.answers(), "envd answers after all that")
        guest.kill()
        broken_passwd(tap, server)
    tap.end()


main()
