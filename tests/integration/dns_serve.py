#!/usr/bin/env python3
"""Names inside real sandboxes: a whole server, its silica-dns, and a nameserver of the test's on the host's loopback.

The nameserver is on loopback alone, as systemd-resolved's is. [server] resolv_conf points to it.
"""
# timeout: 400

import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import dns_rig as rig  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60
# Answers one line for each: the addresses of a name, or nothing.
LOOKUPS = """
import socket, sys
for name in sys.stdin:
    try:
        found = socket.getaddrinfo(name.strip(), 80, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        found = []
    print(*sorted({a[4][0] for a in found}), flush=True)
"""
FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("169.254.0.22", 53))
q = bytes.fromhex("123401000001000000000000") + b"\\6silent\\5flood\\4test\\0\\0\\1\\0\\1"
print("begun", flush=True)
while True:
    try:
        s.send(q)
    except OSError:
        time.sleep(0.001)
"""


class Guest:
    """A sandbox with one program in it, by `silica run`; it ends with its program."""

    def __init__(self, server, code=LOOKUPS, options=()):
        command = [str(silica.BUILD / "silica"), "run", *options, "--", "python3", "-uc", code]
        self.process = subprocess.Popen(command, env=server.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(LIMIT_S)
        self.process.stdout.close()

    def line(self):
        """One line for each that is asked for; a TCP lookup without an answer would wait for ever."""
        if not select.select([self.process.stdout], [], [], LIMIT_S)[0]:
            raise TimeoutError("no line from inside")
        return self.process.stdout.readline().strip()

    def lookup(self, name):
        self.process.stdin.write(name + "\n")
        return self.line()


def dns_pid(server):
    """Of the silica-dns that is the supervisor's child; None while there is none."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            name, rest = (entry / "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        if name.endswith("(silica-dns") and int(rest.split()[1]) == server.process.pid:
            return int(entry.name)
    return None


class World:
    """The server, its nameserver, and one sandbox that most cases use."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="silica-dns-serve-"))
        self.folder.chmod(0o755)
        self.resolv_conf = self.folder / "resolv.conf"
        self.config = self.folder / "silica.conf"
        self.nameserver = rig.Nameserver("127.77.7.53")
        self.other = rig.Nameserver("127.77.7.54")
        self.point_to(self.nameserver)
        self.config.write_text(f"[server]\nresolv_conf = {self.resolv_conf}\n")
        self.server = silica.Server(["--config", str(self.config)])
        self.guest = None

    def point_to(self, nameserver):
        new = self.folder / "new"
        new.write_text(f"nameserver {nameserver.address}\n")
        new.chmod(0o644)
        new.rename(self.resolv_conf)

    def start(self):
        self.server.start()
        self.guest = Guest(self.server)
        self.guest.lookup("first.test")

    def done(self):
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()
        self.nameserver.close()
        self.other.close()


def resolves(world):
    assert world.guest.lookup("inside.test") == "192.0.2.53"
    assert world.guest.lookup("missing.test") == ""
    out = subprocess.run([str(silica.BUILD / "silica"), "run", "--", "getent", "hosts", "plain.test"],
                         env=world.server.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=LIMIT_S, check=True).stdout
    assert "192.0.2.53" in out, out


def by_tcp(world):
    with Guest(world.server, options=("-e", "RES_OPTIONS=use-vc")) as guest:
        assert guest.lookup("stream.test") == "192.0.2.53"
    assert {tcp for name, _, _, tcp in world.nameserver.seen if name == "stream.test"} == {True}


def confined(world):
    text = pathlib.Path(f"/proc/{dns_pid(world.server)}/status").read_text()
    status = dict(line.split(":", 1) for line in text.splitlines())
    uid = rig.UID + world.server.instance
    assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4, status["Uid"]
    assert status["Groups"].strip() == ""
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[key], 16) == 0, key
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip(), status["Threads"].strip()) == ("1", "2", "1")


def without_internet(world):
    with Guest(world.server, options=("--no-internet",)) as guest:
        assert guest.lookup("offline.test") == ""
    assert "offline.test" not in world.nameserver.names()


def killed(world):
    pid = dns_pid(world.server)
    os.kill(pid, signal.SIGKILL)
    silica.wait_until(lambda: dns_pid(world.server) not in (None, pid), LIMIT_S, "it is started again")
    assert world.guest.lookup("again.test") == "192.0.2.53"


def list_replaced(world):
    pid = dns_pid(world.server)
    world.point_to(world.other)
    silica.wait_until(lambda: dns_pid(world.server) not in (None, pid), LIMIT_S, "it is started again")
    assert world.guest.lookup("replaced.test") == "192.0.2.54"
    world.point_to(world.nameserver)
    silica.wait_until(lambda: world.guest.lookup("back.test") == "192.0.2.53", LIMIT_S,
                      "the list is the first again")


def neighbour_of_a_flood(world):
    """One sandbox asks as fast as it can for what is never answered: the other gets its names."""
    with Guest(world.server, FLOOD) as flooder:
        assert flooder.line() == "begun"
        silica.wait_until(lambda: "silent.flood.test" in world.nameserver.names(), LIMIT_S, "the flood arrives")
        for number in range(10):
            assert world.guest.lookup(f"calm{number}.test") == "192.0.2.53", number


def left_alone(world):
    """The host itself is no sandbox: the port answers nobody else."""
    instance = world.server.instance
    with rig.Client("127.0.0.1", to="127.0.0.1", port=rig.PORT + instance, limit_s=1) as client:
        try:
            client.send(rig.query("host.test"))
            assert client.receive() is None
        except OSError:
            pass  # the firewall says so at once
    assert "host.test" not in world.nameserver.names()


def main():
    t = tap.Tap()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    leaks = silica.Leaks()
    world = World()
    t.case("a server with a nameserver on loopback", world.start)
    if world.guest:
        for name, body in (("names resolve inside", resolves),
                           ("names resolve by TCP", by_tcp),
                           ("silica-dns has no rights", confined),
                           ("without internet there are no names", without_internet),
                           ("a killed silica-dns is started again", killed),
                           ("a replaced list of nameservers is read", list_replaced),
                           ("one sandbox's flood leaves the other its names", neighbour_of_a_flood),
                           ("the host's port answers sandboxes alone", left_alone)):
            t.case(name, body, world)
        world.guest.__exit__()
    if world.server.process and world.server.process.poll() is None:
        t.case("the server stops", world.server.stop)
    t.case("nothing is left", leaks.check, world.server)
    if t.failed:
        print("\n".join("# " + line for line in world.server.log_tail().splitlines()))
    world.server.remove()
    world.done()
    return t.done()


if __name__ == "__main__":
    rig.leave(main())
