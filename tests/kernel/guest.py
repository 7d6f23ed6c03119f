#!/usr/bin/env python3
"""Runs inside the machine: every program of PROGRAMS, their cases as one list of TAP on standard output.

The word silica.only=TEXT,TEXT on the kernel's command line leaves those with a TEXT in their path. Each
program has a time limit, and then the whole machine has one outside. Between the programs the host
must be as it was: that is the last case of each.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

PROGRAMS = {  # path below tests -> seconds
    "security/inside.py": 120,
    "security/amicontained.py": 200,
    "security/escape_bench.py": 300,
    "security/escape_cdk.py": 300,
    "security/escape_proc.py": 300,
    "security/fds.py": 300,
    "security/users.py": 400,
    "security/neighbours.py": 200,
    "security/templates_hostile.py": 900,
    "security/network.py": 600,
    "security/network_host.py": 600,
    "security/network_rates.py": 600,
    "security/network_firewalls.py": 600,
    "security/resources.py": 120,
    "security/abuse_core.py": 200,
    "security/abuse_life.py": 400,
    "security/objects.py": 400,
    "kernel/limits.py": 180,
    "integration/priv_lifecycle.py": 120,
    "integration/priv_adoption.py": 120,
    "integration/priv_hostile.py": 120,
    "integration/priv_restart.py": 180,
    "integration/disk_limits.py": 300,
    "integration/disk_adoption.py": 300,
    "integration/disk_places.py": 600,
    "integration/priv_limits.py": 200,
    "integration/sandbox_metrics.py": 120,
    "integration/daemon_life.py": 200,
    "integration/cli_serve.py": 200,
    "integration/envd_launch.py": 100,
    "integration/envd_process.py": 100,
    "integration/envd_limits.py": 100,
    "integration/events.py": 300,
    "integration/edge_traffic.py": 100,
    "integration/dns_forward.py": 200,
    "integration/dns_serve.py": 200,
}
KERNEL = "6.1."
OTHER_MOUNT = re.compile(r" - cgroup ", re.MULTILINE)
CASE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\S*\s*(.*))?$", re.IGNORECASE)
SKIP = re.compile(r"^(.*?)\s*#\s*SKIP\S*\s*(.*)$", re.IGNORECASE)


class Program:
    """One program's TAP, passed on line by line under its name."""

    def __init__(self, out, path, limit_s):
        self.out, self.name, self.limit_s = out, pathlib.Path(path).stem, limit_s
        self.command = [sys.executable, str(ROOT / "tests" / path)]
        self.seen = self.failed = 0
        self.planned = None

    def line(self, text):
        case, plan = CASE.match(text), PLAN.match(text)
        if plan:
            self.planned = int(plan.group(1))
            if self.planned == 0:
                self.out.report(True, f"{self.name}: all", skip=plan.group(2) or "no reason given")
        elif case:
            skip = SKIP.match(case.group(2))
            self.seen += 1
            self.failed += bool(case.group(1))
            name, reason = skip.groups() if skip else (case.group(2), None)
            self.out.report(not case.group(1), f"{self.name}: {name}", skip=reason)
        elif text.strip():
            print("# " + text.lstrip("# "), flush=True)

    def run(self):
        env = dict(os.environ, SILICA_BUILD=str(ROOT / "build"), SILICA_SOURCE=str(ROOT), SILICA_OWN_KERNEL="1",
                   SILICA_TEST_NAMES="20000")
        child = subprocess.Popen(self.command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
        signal.alarm(self.limit_s)
        for text in child.stdout:
            self.line(text.rstrip("\n"))
        status = child.wait()
        signal.alarm(0)
        whole = self.planned is not None and self.planned == self.seen
        if not whole or (status != 0 and self.failed == 0):
            self.out.report(False, f"{self.name}: runs to its end",
                            detail=f"status {status}, planned {self.planned}, seen {self.seen}")


def floor_kernel():
    assert os.uname().release.startswith(KERNEL), os.uname().release


def one_hierarchy():
    text = pathlib.Path("/proc/self/mountinfo").read_text(encoding="ascii")
    assert " - cgroup2 " in text and not OTHER_MOUNT.search(text), text


def chosen():
    words = pathlib.Path("/proc/cmdline").read_text(encoding="ascii").split()
    text = next((w.partition("=")[2] for w in words if w.startswith("silica.only=")), "")
    return [(path, limit_s) for path, limit_s in PROGRAMS.items() if any(t in path for t in text.split(","))]


def main():
    # Started by nobody's init: what systemd does for a host, and no more.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, stdin=subprocess.DEVNULL)
    out = tap.Tap()
    out.case(f"the kernel is {KERNEL}x", floor_kernel)
    out.case("version 2 is the only hierarchy of control groups", one_hierarchy)
    for path, limit_s in chosen():
        leaks = silica.Leaks()
        program = Program(out, path, limit_s)
        program.run()
        out.case(f"{program.name}: the host is as before", leaks.check)
    return out.done()


if __name__ == "__main__":
    sys.exit(main())
