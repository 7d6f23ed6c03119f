#!/usr/bin/env python3
# timeout: 900
"""Create and kill, again and again: rounds.py [--rounds N] [--warm N]

After the warm-up and at the end, once it is quiet: descriptors of the daemons and files below DATA are as many,
what tools/leaks and the disks' folder show is the same, and so is the number of network namespaces; the daemons'
memory has grown by less than SLACK_KIB, what they keep for later included. The kernel's slab belongs to the whole host:
it is printed, not judged. SILICA_DRIVER=microvm makes machines, of which two wait.
"""

import argparse
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import fault  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

DAEMONS = ("silicad", "silica-priv")
PAGE_CACHE_KIB = 2000  # of the connection that writes: full after two thousand rounds, whose events it holds
SLACK_KIB = {"silicad": PAGE_CACHE_KIB + 1024, "silica-priv": 2048}
ROUNDS, WARM = 30, 20


def kib(text, key):
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key + ":"))


def namespaces(rig):
    """Network namespaces that processes of this server's sandboxes are in."""
    found = set()
    for pid in rig.first_processes():
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            continue
    return len(found)


def measure(rig):
    """What must be equal, what may grow a little, what is only told."""
    equal, grows = {}, {}
    for name in DAEMONS:
        proc = pathlib.Path(f"/proc/{rig.pid(name)}")
        equal[f"{name} descriptors"] = len(os.listdir(proc / "fd"))
        memory = (proc / "smaps_rollup").read_text()
        grows[name] = {key: kib(memory, key) for key in ("Rss", "Pss", "Anonymous")}
    equal["files"] = sum(len(folders) + len(files) for _, folders, files in os.walk(rig.server.data))
    equal["disks"] = len(rig.disks())
    equal["network namespaces"] = namespaces(rig)
    for kind in ("cgroup", "loop", "mount", "link", "process"):
        equal[kind] = sum(n for line, n in rig.shape().items() if line.startswith(kind))
    host = pathlib.Path("/proc/meminfo").read_text()
    return equal, grows, {key: kib(host, key) for key in ("Slab", "SUnreclaim")}


def quiet_measure(rig):
    rig.rebase()
    seen = []

    def is_same():
        seen.append(measure(rig))
        return len(seen) > 1 and seen[-1][0] == seen[-2][0]
    silica.wait_until(is_same, fault.LIMIT_S, "the same twice", 1)
    return seen[-1]


def one(rig):
    box = rig.create()
    box.kill()


def do_rounds(rig, n):
    started = time.monotonic()
    for _ in range(n):
        one(rig)
    return (time.monotonic() - started) / n


def flat(before, after):
    assert before == after, {k: (before.get(k), after.get(k)) for k in after if before.get(k) != after.get(k)}


def within_slack(before, after):
    for name in DAEMONS:
        grown = {key: after[name][key] - before[name][key] for key in ("Pss", "Anonymous")}
        assert max(grown.values()) < SLACK_KIB[name], (name, grown, SLACK_KIB[name])


def print_all(when, measured):
    for what in measured:
        print(f"# {when}: {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--warm", type=int, default=WARM)
    options = parser.parse_args()
    t = tap.Tap()
    if silica.MICROVM:
        silica.need_machines()
    leaks = silica.Leaks()
    with fault.Rig(programs=silica.BUILD) as rig:
        do_rounds(rig, options.warm)
        before = quiet_measure(rig)
        print_all(f"after {options.warm} rounds", before)
        shape = rig.base
        seconds = t.case(f"{rig.driver}: {options.rounds} rounds of create, exec, kill", do_rounds, rig, options.rounds)
        after = quiet_measure(rig)
        print_all(f"after {options.rounds} more", after)
        print(f"# {seconds or 0:.3f} s for a round; slab "
              f"{after[2]['Slab'] - before[2]['Slab']:+d} KiB, of it for good {after[2]['SUnreclaim'] - before[2]['SUnreclaim']:+d}")
        t.case("descriptors, files, groups, namespaces, loop devices: as many", flat, before[0], after[0])
        t.case("what is there is the same", flat, shape, rig.base)
        t.case("memory of the daemons: within its slack", within_slack, before[1], after[1])
    t.case("nothing is left behind", leaks.check, rig.server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
