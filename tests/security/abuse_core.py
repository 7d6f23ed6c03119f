#!/usr/bin/env python3
"""A crash inside starts no program of the host: neither by the limit that it has, nor by one it sets.

Where the host's core_pattern names a program, the kernel runs that as root, outside of every
namespace, for each process that dumps; a limit of 0 does not stop it, a limit of 1 does. On a kernel of
its own (tests/kernel) such a program is set up and must not run; elsewhere the host's setting is not
touched and only the limit is looked at.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import abuse  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")
HANDLER = "#!/bin/sh\necho \"$1\" >> {mark}\ncat > /dev/null\n"
LIMIT = "ulimit -c {value}; cat /proc/self/limits"
CRASH = "ulimit -c {value}; sh -c 'kill -SEGV $$'; echo alive"


def limit_line(sandbox, value, user):
    output, _ = sandbox.run("/bin/sh", "-c", LIMIT.format(value=value), user=user)
    return next(line.split() for line in output.decode().splitlines() if "core file" in line)


def limit_stays(sandbox):
    if silica.MICROVM:
        raise tap.Skip("a machine's kernel has a handler of its own: none")
    for user in ("user", "root"):
        for value in ("0", "100", "unlimited"):
            words = limit_line(sandbox, value, user)
            assert words[4:6] == ["1", "1"], (user, value, words)


def other_limits_change(sandbox):
    output, _ = sandbox.run("/bin/sh", "-c", "ulimit -n 77; ulimit -n")
    assert output == b"77\n", output


def outside_crash(folder):
    """Shows that the handler would run at all."""
    if os.fork() == 0:
        os.abort()
    os.wait()
    silica.wait_until(lambda: (folder / "mark").exists(), 60, "the handler runs for a process of the host")
    (folder / "mark").unlink()


def no_handler(server, sandbox):
    if os.environ.get("SILICA_OWN_KERNEL") != "1":
        raise tap.Skip("the host's core_pattern is not ours to change; tests/kernel runs this")
    folder, before = server.data, PATTERN.read_text(encoding="ascii")
    (folder / "handler").write_text(HANDLER.format(mark=folder / "mark"), encoding="ascii")
    (folder / "handler").chmod(0o755)
    PATTERN.write_text(f"|{folder}/handler %e", encoding="ascii")
    try:
        outside_crash(folder)
        for value in ("0", "1", "unlimited"):
            output, end = sandbox.run("/bin/sh", "-c", CRASH.format(value=value), user="root")
            assert output == b"alive\n" and end["exited"], (output, end)
        assert not (folder / "mark").exists(), (folder / "mark").read_text(encoding="ascii")
        outside_crash(folder)  # it ran only for this one since
    finally:
        PATTERN.write_text(before, encoding="ascii")


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        sandbox = abuse.Sandbox(server)
        t.case("the limit of core dumps is 1 and stays so", limit_stays, sandbox)
        t.case("other limits can be changed", other_limits_change, sandbox)
        t.case("no crash inside starts the host's handler", no_handler, server, sandbox)
        sandbox.kill()
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
