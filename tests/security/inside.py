#!/usr/bin/env python3
"""What silica-priv hands to process 1 (item 5), and that none of it leads to a file of the host.

What programs hold that envd starts is in fds.py, what a process is and may do in amicontained.py.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

USAGE_FILES = r"memory\.current|memory\.usage_in_bytes|cpu\.stat|memory\.oom_control|memory\.events|pids\.events"


def access_mode(inst, fd):
    with open(f"/proc/{inst.pid}/fdinfo/{fd}", encoding="ascii") as f:
        flags = next(line for line in f if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE


def descriptors(tap, facts, inst):
    fds = dict(line.split(" ", 1) for line in facts["fd"])
    tap.equal(fds.pop("0", None), "/dev/null", "descriptor 0 is /dev/null")
    for n in ("1", "2"):
        tap.ok(fds.pop(n, "").endswith(f"/{inst.id}.log"), f"descriptor {n} is the log pipe")
    tap.ok(fds.pop("4", "").startswith("socket:"), "descriptor 4 is the listening socket")
    groups = [n for n, target in fds.items() if re.search(rf"/{inst.id}/user/cgroup\.procs$", target)]
    tap.ok(1 <= len(groups) <= 4 and sorted(map(int, groups)) == list(range(5, 5 + len(groups))),
           "then come the limited group's files, for writing")
    pressed = [n for n, target in fds.items() if target.endswith(f"/{inst.id}/envd/memory.stat")]
    usage = pressed + [n for n, target in fds.items() if re.search(rf"/{inst.id}/user/({USAGE_FILES})$", target)]
    tap.ok(len(usage) <= 4 + len(pressed) <= 5 and all(access_mode(inst, n) == os.O_RDONLY for n in usage),
           "then what that group uses and met, and envd's own memory, for reading only")
    for n in groups + usage:
        del fds[n]
    # 3 and what follows are the probe's own connection and folder
    rest = [t for t in fds.values() if not t.startswith("socket:") and t != "/proc/1/fd"]
    tap.equal(rest, [], "and nothing else: no folder, no file, no socket of the helper")


def host_files(tap, h, inst):
    flag = os.path.join(h.data, "flag")
    with open(flag, "w", encoding="ascii") as f:
        f.write("secret of the host")
    os.chmod(flag, 0o644)
    ways = [flag, ".." + flag, "/.." * 20 + flag, "/proc/1/root" + flag, "/proc/self/cwd/../../../../.." + flag,
            "/proc/1/fd/1/../../flag", "/proc/self/fd/5/../../../../../.." + flag, "/dev/fd/0/../../.." + flag]
    for way in ways:
        answer = "\n".join(h.ask(inst, f"cat {way}"))
        tap.ok("secret" not in answer, f"a file of the host is not there by {way.replace(h.data, 'DATA')}", answer)
    os.remove(flag)
    tap.equal(h.ask(inst, "cat /etc/shadow"), ["cat ENOENT"], "the host's /etc is not there")
    for what in ("1", "2"):
        answer = h.ask(inst, f"cat /proc/self/fd/{what}")
        tap.ok(answer == ["cat EACCES"], f"the log pipe {what} cannot be opened again", answer)
    for n in range(5, 9):
        answer = h.ask(inst, f"write /proc/self/fd/{n} 0")
        tap.ok(answer != ["write ok"], f"nor the group file {n}", answer)


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper()
    try:
        c = h.client()
        inst = c.start()
        facts = harness.facts_of(h.ask(inst, "facts"))
        descriptors(tap, facts, inst)
        host_files(tap, h, inst)
        c.stop(inst.id)
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
