#!/usr/bin/env python3
# timeout: 400
"""A template's build that is cancelled, killed or misdirected leaves nothing. TAP; needs root.

No packages are needed: a mirror of ours holds mmdebstrap up by answering nothing.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lib"))
sys.dont_write_bytecode = True
import silica  # noqa: E402  # pylint: disable=wrong-import-position
from tap import Tap  # noqa: E402  # pylint: disable=wrong-import-position

LIMIT_S = 60


class Mirror:
    """Accepts connections and never answers, so that a build hangs for as long as it is let."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/debian"
        return self

    def wait_for_guest(self):
        self.socket.settimeout(LIMIT_S)
        self.guest, _ = self.socket.accept()

    def __exit__(self, *_):
        self.socket.close()


def start_build(folder, mirror):
    """A session of its own; what it prints goes to a file, the end of the build shows there."""
    log = open(folder / "log", "wb")  # pylint: disable=consider-using-with  # the child's from now on
    with log:
        return subprocess.Popen(
            [str(silica.BUILD / "silica"), "template", "build", "base", "--templates",
             str(folder / "templates"), "--mirror", mirror], stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True)


def alive_in(folder):
    """Processes that name the folder in their arguments, as mmdebstrap and apt do."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def mounts_in(folder):
    return [m for m in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            if str(folder) in m]


def left_in(folder):
    """Names in the templates' folder; a build that published nothing leaves none."""
    return sorted(p.name for p in (folder / "templates").iterdir() if p.name != "aliases")


def with_folder(body):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="silica-image-"))
    try:
        body(folder)
    finally:
        shutil.rmtree(folder)


def begin(folder, mirror):
    """Start a build and wait until its apt asks the mirror."""
    child = start_build(folder, mirror.url)
    mirror.wait_for_guest()
    assert any(name.startswith(".build-") for name in left_in(folder))
    assert len(alive_in(folder)) > 1, "the build's own programs are seen"
    return child


def cancelled_by(sig):
    def body(folder):
        with Mirror() as mirror:
            child = begin(folder, mirror)
            child.send_signal(sig)
            status = child.wait(LIMIT_S)
        assert status != 0, "a cancelled build does not succeed"
        assert not alive_in(folder), f"still there: {alive_in(folder)}"
        assert not mounts_in(folder)
        assert left_in(folder) == []
    with_folder(body)


def killed():
    def body(folder):
        with Mirror() as mirror:
            child = begin(folder, mirror)
            child.kill()
            child.wait(LIMIT_S)
            silica.wait_until(lambda: not alive_in(folder), LIMIT_S, "its programs died with it")
        assert not mounts_in(folder)
        stale = left_in(folder)
        assert len(stale) == 1
        with Mirror() as mirror:
            child = begin(folder, mirror)
            assert stale[0] not in left_in(folder), "the next build removes what was left"
            child.send_signal(signal.SIGINT)
            child.wait(LIMIT_S)
        assert left_in(folder) == []
    with_folder(body)


def two_at_once():
    def body(folder):
        with Mirror() as one, Mirror() as two:
            first = begin(folder, one)
            mine = left_in(folder)
            second = begin(folder, two)
            assert set(mine) < set(left_in(folder)), "a running build is no leftover"
            for child in (second, first):
                child.send_signal(signal.SIGINT)
                child.wait(LIMIT_S)
        assert left_in(folder) == []
    with_folder(body)


def refused_mirror():
    def body(folder):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        child = start_build(folder, f"ftp://127.0.0.1:{port}/debian")
        assert child.wait(LIMIT_S) != 0
        assert "mirror" in (folder / "log").read_text()
        assert left_in(folder) == []
    with_folder(body)


def base_is_complete():
    templates = pathlib.Path(silica.TEMPLATES)
    name = (templates / "aliases" / "base").read_text().strip()
    info = json.loads((templates / name / "template.json").read_text())
    assert info["id"] == name and info["alias"] == "base", info
    root = templates / name / "rootfs"
    marks = dict(line.split("=", 1) for line in (root / ".e2b").read_text().splitlines())
    assert marks == {"ENV_ID": name, "TEMPLATE_ID": name, "BUILD_ID": info["buildId"]}, marks
    assert (root / "etc/machine-id").read_bytes() == b""
    assert not (root / "etc/apt/apt.conf.d/99mmdebstrap").exists()
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not list((root / "var/lib/apt/lists").iterdir())
    assert "user:x:1000:1000:" in (root / "etc/passwd").read_text()
    for path, mode in (("code", 0o777), ("usr/local", 0o777), ("usr/local/bin", 0o777),
                       ("etc/sudoers.d/user", 0o440), ("tmp", 0o1777), ("home/user", 0o755)):
        assert (root / path).stat().st_mode & 0o7777 == mode, path
    assert (root / "home/user").stat().st_uid == 1000
    for program in ("python3", "pip", "node", "npm", "git", "curl", "sudo", "gcc", "g++", "make"):
        assert os.path.lexists(root / "usr/bin" / program), program
    assert (root / "usr/bin/sudo").stat().st_mode & 0o4000, "sudo is setuid"


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    tap = Tap()
    tap.case("SIGINT cancels", cancelled_by, signal.SIGINT)
    tap.case("SIGTERM cancels", cancelled_by, signal.SIGTERM)
    tap.case("kill -9: its programs die, the next build cleans up", killed)
    tap.case("two builds at once leave each other alone", two_at_once)
    tap.case("a mirror that is no http URL is refused", refused_mirror)
    tap.case("the base template is what docs/templates.md says", base_is_complete)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
