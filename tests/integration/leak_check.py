#!/usr/bin/env python3
"""tools/leaks and silica.Leaks: they see what a server leaves behind, and with --instance nothing else."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402  # pylint: disable=wrong-import-position
import tap  # noqa: E402  # pylint: disable=wrong-import-position

UNUSED = 4095  # above every instance number
LIMIT_S = 1


class Fake:
    """What silica.Leaks wants of a server."""

    def __init__(self, data, instance=UNUSED):
        self.data = data
        self.instance = instance


class Leftover:
    """A process named like ours that names a folder, as silicad does."""

    def __init__(self, folder, data):
        program = folder / "silica-left"
        shutil.copy("/bin/sleep", program)
        # pylint: disable-next=consider-using-with  # stopped by __exit__
        self.process = subprocess.Popen([str(data), "600"], executable=program, stdin=subprocess.DEVNULL)

    def __enter__(self):
        name = pathlib.Path(f"/proc/{self.process.pid}/comm")
        silica.wait_until(lambda: name.read_text() == "silica-left\n", 30, "it runs")
        return self

    def __exit__(self, kind, value, traceback):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def left(leaks, server):
    try:
        leaks.check(server, LIMIT_S)
    except AssertionError as e:
        return str(e).splitlines()[1:]
    return []


def nothing_is_no_leak(folder):
    assert left(silica.Leaks(), Fake(folder / "data")) == []


def own_process_is_seen(folder):
    leaks = silica.Leaks()
    with Leftover(folder, folder / "data"):
        assert left(leaks, Fake(folder / "data")) == [f"process silica-left {folder}/data 600"]


def other_process_is_not(folder):
    leaks = silica.Leaks()
    for other in ("data2", "xdata", "data-old/data"):
        with Leftover(folder, folder / other):
            assert left(leaks, Fake(folder / "data")) == [], other


def files_are_seen(folder):
    leaks = silica.Leaks()
    (folder / "data" / "sandboxes" / "i1").mkdir()
    (folder / "data" / "run" / "priv.sock").touch()
    assert left(leaks, Fake(folder / "data")) == [f"file {folder}/data/sandboxes/i1"]


def server_without_number(folder):
    """It never started: whatever is there counts, and asking fails by no option."""
    leaks = silica.Leaks()
    with Leftover(folder, folder / "elsewhere"):
        assert f"process silica-left {folder}/elsewhere 600" in left(leaks, Fake(folder / "data", None))


def failed_start_leaves_nothing(_):
    server = silica.Server(arguments=["--nosuch"])
    try:
        with server:
            raise AssertionError("it started")
    except RuntimeError:
        pass
    assert not server.data.exists() and server.log_path is None


def main():
    t = tap.Tap()
    os.environ["SILICA_LEAKS"] = "instance"
    for name, body in (("an empty listing is no leak", nothing_is_no_leak),
                       ("a process of the server is seen", own_process_is_seen),
                       ("one of another server is not", other_process_is_not),
                       ("a sandbox's files are seen, the sockets' folder is not", files_are_seen),
                       ("a server that never started is looked at too", server_without_number),
                       ("nor does it leave its own folder and log", failed_start_leaves_nothing)):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="silica-test-"))
        for part in ("sandboxes", "run"):
            (folder / "data" / part).mkdir(parents=True)
        t.case(name, body, folder)
        shutil.rmtree(folder)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
