#!/usr/bin/env python3
# timeout: 1500
"""One Silica, and every client in turn: the official SDKs and libsilica. TAP; see tests/run.

    tests/e2e/run.py [js|js-2.45|python|c]...
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

E2E = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(E2E.parent / "lib"))
import sdks  # noqa: E402  # pylint: disable=wrong-import-position
import silica  # noqa: E402  # pylint: disable=wrong-import-position
from tap import Tap  # noqa: E402  # pylint: disable=wrong-import-position

SUITE_LIMIT_S = 600
RESULT = re.compile(r"^(not )?ok \d+(?: - )?(.*?)(?:\s*# SKIP\s*(.*))?$")


def c_program():
    meson = pathlib.Path(os.environ.get("SILICA_MESON") or silica.BUILD / "meson")
    return meson / "tests" / "e2e" / "sdk" / "test_sdk"


def js_command(package):
    folder = sdks.javascript()
    for name in ("suite.mjs", "tap.mjs"):  # beside node_modules, where imports are looked for
        shutil.copy(E2E / "js" / name, folder)
    version = sdks.package_version(folder, package)
    return f"e2b {version} of npm", [sdks.node(), folder / "suite.mjs"], {"E2B_PACKAGE": package}


def python_command():
    python = sdks.python()
    code = "import importlib.metadata as m; print(m.version('e2b'))"
    version = subprocess.run([python, "-c", code], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=True, timeout=60).stdout.strip()
    return f"e2b {version} of PyPI", [python, "-B", E2E / "python" / "suite.py"], {}


def c_command():
    return "libsilica", [c_program()], {}


SUITES = {
    "js": lambda: js_command("e2b"),
    "js-2.45": lambda: js_command("e2b-2.45"),
    "python": python_command,
    "c": c_command,
}


def run_suite(tap, name, server):
    try:
        label, command, extra = SUITES[name]()
    except Exception as e:  # pylint: disable=broad-except  # no package is one failed case
        tap.report(False, f"{name}: the client is installed", detail=str(e))
        return
    env = dict(server.env, SILICA_E2E=str(E2E), LIMIT_FACTOR=str(silica.limit(1)), **extra)
    planned, seen = None, 0
    command = ["timeout", "-k", "10", str(silica.limit(SUITE_LIMIT_S)), *map(str, command)]
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        for line in child.stdout:
            line = line.rstrip("\n")
            case = RESULT.match(line)
            plan = re.match(r"^1\.\.(\d+)", line)
            if case:
                seen += 1
                tap.report(not case.group(1), f"{label}: {case.group(2)}", skip=case.group(3))
            elif plan:
                planned = int(plan.group(1))
            else:
                print(line if line.startswith("#") else f"# {line}", flush=True)
    tap.report(planned == seen and seen > 0, f"{label}: the suite came to its end",
               detail=f"exit status {child.returncode}, {seen} cases, planned {planned}")


def main():
    wanted = sys.argv[1:] or [n for n in SUITES if n != "c" or c_program().exists()]
    if silica.MICROVM:
        silica.need_machines()
    tap = Tap()
    leaks = silica.Leaks()
    server = silica.Server()
    started = tap.case("silica serve starts", server.start)
    if started:
        for name in wanted:
            run_suite(tap, name, server)
            tap.case(f"{name}: every sandbox is gone", lambda: check_empty(server))
        tap.case("silica serve stops cleanly", server.stop)
        tap.case("nothing is left on the host", leaks.check, server)
        if tap.failed:
            print("\n".join("# " + line for line in server.log_tail().splitlines()))
        server.remove()
    return tap.done()


def check_empty(server):
    status, found = server.request("GET", "/v2/sandboxes")
    assert status == 200, status
    ids = [s["sandboxID"] for s in found]
    for sandbox_id in ids:
        server.request("DELETE", f"/sandboxes/{sandbox_id}")
    assert not ids, f"still there: {ids}"


if __name__ == "__main__":
    sys.exit(main())
