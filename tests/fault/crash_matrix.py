#!/usr/bin/env python3
# timeout: 1200
"""Create and kill, with a program that dies at each step: crash_matrix.py [-k TEXT] [--list]

For every crash point (tools/crash-points) that the driver passes:

  kill   the program that reaches it is killed there
  first  the process that was cloned for the sandbox (QEMU, or its init) is killed while that program stands there
  priv   silica-priv is killed while its child stands there, the one that removes files and keeps snapshots

Then the supervisor has started what died, and once all is quiet: what was acknowledged is so; what is listed has
a row, lives and answers; nothing else lives; a new sandbox can be made; and after the last kill the host has
of this server what it had before. A point that was not reached is a failed case.

SILICA_DRIVER=microvm runs it for machines, otherwise it is for containers. Needs `make crash`.
"""

import argparse
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import fault  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

# What has to be done for a point to be reached: the longest beginning of its name decides. None: it is not on
# this driver's way.
DEEDS = {
    "container": {"priv.container.": "create", "priv.start.": "create", "priv.release.": "create",
                  "priv.state.": "create", "daemon.create.": "create", "priv.kill.": "kill", "priv.end.": "kill",
                  "priv.undo.": "kill", "priv.remover.": "kill", "priv.files.": "kill", "daemon.end.": "kill",
                  "priv.machine.": None, "priv.draft.": None, "priv.snapshot.": None, "daemon.machine.": None,
                  "daemon.image.": None, "daemon.pool.": None},
    "microvm": {"priv.machine.": "create", "priv.start.": "create", "priv.release.": "create",
                "priv.state.": "create", "daemon.create.": "create", "daemon.machine.": "create",
                "daemon.machine.warming": "claim", "daemon.machine.stopping": "claim",
                "daemon.machine.waiting": "claim", "daemon.machine.claimed": "claim", "daemon.pool.": "claim",
                "daemon.machine.settling": "boot", "daemon.machine.saving": "boot", "daemon.machine.keeping": "boot",
                "daemon.image.": "boot", "priv.draft.": "boot", "priv.snapshot.": "boot",
                "daemon.machine.ending": "kill", "priv.kill.": "kill", "priv.end.": "kill", "priv.undo.": "kill",
                "priv.remover.": "kill", "priv.files.": "kill", "daemon.end.": "kill", "priv.container.": None},
}
FIRST = ("priv.container.spawned", "priv.machine.spawned", "priv.release.", "priv.start.", "priv.snapshot.asked",
         "priv.kill.asked", "daemon.create.asked", "daemon.create.started", "daemon.create.inited",
         "daemon.create.running", "daemon.create.answered", "daemon.end.killing",
         "daemon.image.boots", "daemon.machine.", "daemon.pool.")
NOT_FIRST = ("daemon.machine.ending",)
IN_CHILD = ("priv.remover.", "priv.files.", "priv.snapshot.")
NOT_IN_CHILD = ("priv.snapshot.asked",)


def deed_of(name):
    table = DEEDS[fault.DRIVER]
    known = [start for start in table if name.startswith(start)]
    if not known:
        raise LookupError(f"nobody has said how {name} is reached: DEEDS")
    return table[max(known, key=len)]


def cases():
    """(name, how, deed) of all, in an order in which those that are alike are together."""
    for name in fault.points():
        deed = deed_of(name)
        if deed is None:
            continue
        yield name, "kill", deed
        if name.startswith(FIRST) and not name.startswith(NOT_FIRST):
            yield name, "first", deed
        if name.startswith(IN_CHILD) and not name.startswith(NOT_IN_CHILD):
            yield name, "priv", deed


class Case:
    def __init__(self, rig, name, how, deed):
        self.rig, self.name, self.how, self.deed = rig, name, how, deed
        self.box = None  # of "kill"
        self.asked = None
        self.said = []

    def start(self):
        body = {"templateID": "base", "timeout": 600}
        if self.rig.driver == "microvm" and self.deed != "claim":
            body["allow_internet_access"] = False  # none of those that wait: it is made for the request
        if self.deed == "kill":
            self.box = self.rig.create(**{k: v for k, v in body.items() if k == "allow_internet_access"})
            self.box.client.close()
        if self.deed == "boot":
            self.rig.spoil_snapshot()
        self.rig.order("kill" if self.how == "kill" else "wait", self.name)
        self.asked = self.rig.ask("DELETE", f"/sandboxes/{self.box.id}") if self.box else \
            self.rig.ask("POST", "/v2/sandboxes", body)

    def strike(self):
        """Returns once who had to die is dead; the daemons of before that may have to be others then."""
        before = {name: self.rig.pid(name) for name in ("silicad", "silica-priv")}
        try:
            pid = silica.wait_until(self.rig.reached, fault.LIMIT_S, "the point is reached", 0.01)
        except TimeoutError:
            raise AssertionError(f"{self.name} was never reached; the request: {self.asked}") from None
        who = next((name for name, daemon in before.items() if daemon == pid), "a child of silica-priv")
        self.said.append(f"reached by {who} ({fault.points()[self.name][1]})")
        if self.how == "first":
            n = self.rig.kill_all_first()
            assert n > 0, "there was nobody to kill"
            self.said.append(f"{n} killed")
            self.rig.file.unlink()
        elif self.how == "priv":
            os.kill(before["silica-priv"], signal.SIGKILL)
            self.await_other("silica-priv", before["silica-priv"])
            self.rig.file.unlink()
        elif who in before:
            self.await_other(who, pid)

    def await_other(self, name, pid):
        silica.wait_until(lambda: self.rig.pid(name) not in (0, pid), fault.LIMIT_S, f"another {name}", 0.02)

    def check_answer(self):
        """What was acknowledged is so, and what was refused says why."""
        asked = self.asked.join()
        self.said.append(f"{'kill' if self.box else 'create'}: {asked}")
        if asked.status == 0:
            assert self.name.startswith("daemon.") and self.how == "kill", f"silicad lived, and: {asked}"
        elif self.box:
            assert asked.status in (204, 500, 503), str(asked)
            if asked.status == 204:
                assert self.box.id not in self.rig.listed(), "killed, and listed"
        elif asked.status == 201:
            # A sandbox whose init is killed may be gone at any time after it was told.
            assert self.how == "first" or asked.body["sandboxID"] in self.rig.listed(), "acknowledged, and lost"
        else:
            assert asked.status in (500, 502, 503) and asked.body["message"], str(asked)

    def run(self):
        started = time.monotonic()
        self.start()
        try:
            self.strike()
            silica.wait_until(self.rig.is_up, fault.LIMIT_S, "the server is up again", 0.05)
            self.check_answer()
        finally:
            self.rig.forget_order()
        self.rig.check_rows()
        self.rig.check_listed_answer()
        self.rig.create().kill()
        self.rig.kill_listed()
        self.rig.check_shape()
        self.said.append(f"{time.monotonic() - started:.1f} s")


def run_case(t, rig, name, how, deed):
    case = Case(rig, name, how, deed)
    before = t.failed

    def run():
        try:
            case.run()
        finally:
            print("# " + "; ".join(case.said))
    t.case(f"{rig.driver}: {deed}, {how} at {name}", run)
    if t.failed > before:
        print("# " + rig.server.log_tail().replace("\n", "\n# "), flush=True)
        try:
            rig.rebase()  # the next ones are judged by themselves
        except (TimeoutError, AssertionError):
            rig.restart()


def ordinary_has_none():
    """The build that is installed has neither the names nor the code."""
    for program in ("silica-priv", "silicad", "silica"):
        content = (silica.ROOT / "build" / program).read_bytes()
        for word in (b"SILICA_CRASH", b"daemon.create.row", b"priv.start.told"):
            assert word not in content, (program, word)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="TEXT", action="append", help="only cases with TEXT in 'HOW NAME DEED'")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    options = parser.parse_args()
    wanted = [c for c in cases() if not options.k or any(k in f"{c[1]} {c[0]} {c[2]}" for k in options.k)]
    if options.list:
        for name, how, deed in wanted:
            print(f"{how:6} {name:30} {deed}")
        print(f"{len(wanted)} cases, {len({c[0] for c in wanted})} points of {len(fault.points())}")
        return 0
    t = tap.Tap()
    if not fault.PROGRAMS.is_dir():
        print("1..0 # SKIP no build with crash points: make crash")
        return 0
    if silica.MICROVM:
        silica.need_machines()
    leaks = silica.Leaks()
    t.case("the ordinary programs have no crash points", ordinary_has_none)
    with fault.Rig() as rig:
        for name, how, deed in wanted:
            run_case(t, rig, name, how, deed)
    t.case("nothing is left behind", leaks.check, rig.server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
