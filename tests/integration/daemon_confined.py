#!/usr/bin/env python3
"""What the kernel says of the running daemons: no rights, a filter, and no open file that is not theirs.

What silicad is refused then, call by call, is in tests/unit/test_daemon_confine.c.
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

UID_BASE = {"silicad": 0x6FFF0000, "silica-dns": 0x6FFF0100}


def children(server):
    """comm -> pid of what the supervisor started."""
    text = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return {pathlib.Path(f"/proc/{pid}/comm").read_text().strip(): int(pid) for pid in text.split()}


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, rest in (line.split(":", 1) for line in lines)}


def rights(server, name, pid):
    status = status_of(pid)
    for member in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[member], 16) == 0, (member, status[member])
    uid = str(UID_BASE[name] + server.instance)
    assert status["Uid"].split() == [uid] * 4 and status["Gid"].split() == [uid] * 4, (status["Uid"], status["Gid"])
    assert status["Groups"] == "", status["Groups"]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +1 +1 ", limits, re.M), limits


def open_files(server, pid, allowed):
    """Where its descriptors lead: sockets, events, what its starter gave it, and files of `allowed`."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        plain = target.startswith(("socket:", "anon_inode:", "pipe:")) or target == "/dev/null"
        log = int(fd) <= 2 and target == str(server.log_path)
        assert plain or log or target.startswith(allowed), (fd, target)


def helper(pid):
    status = status_of(pid)
    kept = int(status["CapEff"], 16)
    assert kept == int(status["CapBnd"], 16) and kept == int(status["CapPrm"], 16) and status["Seccomp"] == "2", status
    for cap, name in ((16, "sys_module"), (17, "sys_rawio"), (22, "sys_boot"), (25, "sys_time"), (2, "dac_read_search")):
        assert kept >> cap & 1 == 0, name


def run(t, server):
    found = children(server)
    sandbox = server.request("POST", "/sandboxes", {"templateID": "base"})[1]  # all of them have been at work
    state = f"{server.data}/state/"
    for name, files in (("silicad", (state,)), ("silica-dns", ("/etc/resolv.conf", "/run/", "/etc/"))):
        if name not in found:
            continue
        t.case(f"{name} has no rights", rights, server, name, found[name])
        t.case(f"{name} holds its own files alone", open_files, server, found[name], files)
    t.case("silica-priv has what it needs and no more", helper, found["silica-priv"])
    server.request("DELETE", f"/sandboxes/{sandbox['sandboxID']}")


def main():
    t = tap.Tap()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    with silica.Server() as server:
        run(t, server)
    sys.exit(t.done())


main()
