#!/usr/bin/env python3
# timeout: 300
"""What silica-envd says when a limit of the sandbox was behind a failure. The kernel's counts are files
of the test's own here; the real ones are met in events.py."""

import fcntl
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from envd_rig import RpcError, envd  # noqa: E402

FULL = "the sandbox's disk is full (10 GiB)"
NO_FILES = "the sandbox's disk has no room for more files"


def away_from_3(fd):
    """A copy above the number that the launch object has; open for the daemon too."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD, 40)
    os.close(fd)
    return copy


class Counts:
    """The two files; a script raises a count by writing to `memory` or `pids`."""

    def __init__(self, folder):
        self.memory = pathlib.Path(folder) / "memory"
        self.pids = pathlib.Path(folder) / "pids"
        self.reset()
        self.fds = [away_from_3(os.open(p, os.O_RDONLY)) for p in (self.memory, self.pids)]

    def reset(self):
        self.memory.write_text("low 9\noom_kill 3\n")
        self.pids.write_text("max 5\n")

    def killed(self, n=4):
        return f"printf 'low 9\\noom_kill {n}\\n' > {self.memory}"

    def refused(self, n=6):
        return f"printf 'max {n}\\n' > {self.pids}"


def end_of(e, script, **more):
    return e.run(script, **more)[2]


def memory(e, counts):
    counts.reset()
    text = "the sandbox ran out of memory (limit 512 MiB)"
    assert end_of(e, counts.killed() + "; kill -9 $$") == {
        "exitCode": -1, "status": "signal: killed", "error": f"signal: killed: {text}"}
    # A shell whose child was killed; the count had been 4 when it began.
    assert end_of(e, counts.killed(5) + "; exit 137") == {
        "exitCode": 137, "exited": True, "status": "exit status 137",
        "error": f"exit status 137: {text}"}
    assert end_of(e, "exit 137")["error"] == "exit status 137"
    assert "error" not in end_of(e, counts.killed(6))
    assert end_of(e, counts.killed(5) + "; exit 1")["error"] == "exit status 1"  # it never falls


def processes(e, counts):
    counts.reset()
    assert end_of(e, counts.refused() + "; exit 1") == {
        "exitCode": 1, "exited": True, "status": "exit status 1",
        "error": "exit status 1: the sandbox's limit of 1024 processes was reached"}
    assert end_of(e, "exit 1")["error"] == "exit status 1"
    end = end_of(e, f"{counts.refused(7)}; {counts.killed()}; exit 1")
    assert end["error"].endswith("(limit 512 MiB)"), end  # what killed comes first


def late_subscriber(e, counts):
    counts.reset()
    stream = e.sh(counts.killed() + "; exit 137")
    pid = stream.pid()
    stream.rest()
    late = e.stream("process.Process/Connect", {"process": {"pid": pid}})
    assert late.pid() == pid
    assert late.rest()[2]["error"].startswith("exit status 137: the sandbox ran out of memory")


def killed_by_request(e, counts):
    counts.reset()
    stream = e.sh(counts.killed() + "; echo; sleep 100")
    pid = stream.pid()
    while "data" not in stream.event():
        pass
    e.unary("process.Process/SendSignal", {"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"})
    end = stream.rest()[2]
    assert end["error"] == "signal: killed", end


def unreadable(e, counts):
    counts.reset()
    assert end_of(e, f"echo nonsense > {counts.memory}; exit 1")["error"] == "exit status 1"


def full_disk(e, _counts):
    small = e.root / "small"
    e.run(f"mkdir -p {small}; mount -t tmpfs -o size=256k none {small}; echo > {small}/there; "
          f"mkdir {small}/folder")
    end = end_of(e, "head -c 1M /dev/zero > fill", cwd=str(small))
    assert end["error"] == f"exit status 1: {FULL}", end
    assert end_of(e, "exit 1")["error"] == "exit status 1"  # elsewhere there is room
    upload(e, small / "more", b"x" * 300000, f"not enough disk space available: {FULL}")
    e.run(f"umount {small}")


def no_files(e, _counts):
    small = e.root / "few"
    e.run(f"mkdir -p {small}; mount -t tmpfs -o size=1M,nr_inodes=4 none {small}")
    end = end_of(e, "for i in 1 2 3 4 5; do echo > $i || exit 1; done", cwd=str(small))
    assert end["exitCode"] != 0 and end["error"].endswith(f": {NO_FILES}"), end
    upload(e, small / "more", b"x", "not enough disk space available: ")
    for method, message in (("MakeDir", {"path": f"{small}/folder"}),
                            ("Move", {"source": f"{e.root}/here", "destination":
                                      f"{small}/folder/there"})):
        (e.root / "here").write_text("")
        try:
            e.unary(f"filesystem.Filesystem/{method}", message)
        except RpcError as error:
            assert error.code == "internal" and "the sandbox's disk" in error.message, error
        else:
            raise AssertionError(f"{method} had room")
    e.run(f"umount {small}")


def upload(e, path, data, message):
    status, _, body = e.request("POST", f"/files?path={path}", data,
                                {"Content-Type": "application/octet-stream"})
    assert status == 507, (status, body)
    assert message in body.decode(), body


def without_counts(e):
    assert end_of(e, "kill -9 $$") == {"exitCode": -1, "status": "signal: killed",
                                       "error": "signal: killed"}


def main():
    t = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="silica-counts-") as folder:
        os.chmod(folder, 0o777)
        counts = Counts(folder)
        launch = {"controlSecret": "s", "memoryBytes": 512 << 20, "pids": 1024,
                  "diskBytes": 10 << 30, "memoryEventsFd": counts.fds[0],
                  "pidsEventsFd": counts.fds[1]}
        with envd(as_init=True, launch=launch, pass_fds=counts.fds) as e:
            for case in (memory, processes, late_subscriber, killed_by_request, unreadable,
                         full_disk, no_files):
                t.case(case.__name__, case, e, counts)
        with envd() as e:
            t.case("without_counts", without_counts, e)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
