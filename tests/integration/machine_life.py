#!/usr/bin/env python3
# timeout: 900
"""Micro-VMs as a user has them: what is inside, what two of one snapshot share, and every way in which
one of them, its QEMU, its daemon or its snapshot can end. TAP; one skip where QEMU or a kernel cannot be had.

Limits are for an emulated processor on a busy host; none of them is what a case is about.
"""

import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import abuse  # noqa: E402
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 300  # for what takes seconds
ROUNDS = 20
CLOCK_SLACK_S = 0.1
TALK_S = 25  # less than the longest deadline of what is said to a machine that is made
PROGRAMS = ("silica", "silicad", "silica-priv", "silica-dns", "silica-envd", "silica-guest")
TOOLS = (("python3 -c 'print(6 * 7)'", b"42\n"), ("node -e 'console.log(6 * 7)'", b"42\n"),
         ("git init -q /tmp/r && cd /tmp/r && git -c user.name=a -c user.email=b commit -q --allow-empty -m m && "
          "git log --format=%s", b"m\n"), ("python3 -m pip --version | cut -d' ' -f1", b"pip\n"),
         ("sudo -n id -u", b"0\n"))
HOG = "x = []\nwhile True: x.append(bytearray(16 << 20))"
SAME = ("cat /etc/machine-id; hostname; head -c 32 /dev/urandom | base64; cd /proc/sys/kernel/random; cat uuid boot_id; "
        "cat /etc/hostname; echo; python3 -c 'import os, random; print(os.urandom(8).hex(), random.random())'")


def run(box, script, user="user"):
    """stdout, and the end as the protocol has it."""
    return box.run("/bin/sh", "-c", script, user=user)


def text_of(box, script, user="user"):
    output, end = run(box, script, user)
    assert end.get("exited") and not end.get("exitCode"), (script, output, end)
    return output


def cli(server, *arguments):
    return subprocess.run([str(silica.BUILD / "silica"), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=LIMIT_S, check=False, env=server.env)


def rows(server):
    db = sqlite3.connect(f"file:{server.data}/state/silica.db?mode=ro", uri=True)
    try:
        return dict(db.execute("SELECT id, pid FROM sandboxes"))
    finally:
        db.close()


def qemu(server, box):
    """The process of its machine, which is what the server takes it for."""
    pid = rows(server)[box.id]
    assert pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"), pid
    return pid


def ids(server):
    status, body = server.request("GET", "/v2/sandboxes")
    assert status == 200, (status, body)
    return {s["sandboxID"] for s in body}


def daemon_pid(server, name):
    text = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    for pid in text.split():
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return int(pid)
    raise LookupError(f"no {name} below silica serve")


def restart(server, name):
    """Ends a daemon without warning and waits for the next one."""
    pid = daemon_pid(server, name)
    os.kill(pid, signal.SIGKILL)

    def is_new():
        try:
            return daemon_pid(server, name) != pid and silica.is_healthy(server.url)
        except (LookupError, OSError):
            return False
    silica.wait_until(is_new, LIMIT_S, f"another {name} serves")


def end_of(server, box):
    """Waits until it is gone by itself; returns what the server says about it, which is the same everywhere."""
    def killed():
        status, events = server.request("GET", f"/events/sandboxes/{box.id}")
        assert status == 200, events
        return events[0] if events[0]["type"] == "sandbox.lifecycle.killed" else None
    event = silica.wait_until(killed, LIMIT_S, "it is gone")
    assert event["eventData"]["reason"] == "exit", event
    status, body = server.request("GET", f"/sandboxes/{box.id}")
    assert status == 404 and event["eventData"]["message"] in body["message"], (event, body)
    box.client.close()
    return event["eventData"]["message"]


def still_works(box):
    box.client.close()
    assert text_of(box, "echo alive") == b"alive\n"


def inside(server, box):
    """Its own kernel, by the command line too; what a template holds works."""
    kernel = text_of(box, "uname -r").decode().strip()
    names = [p.name for p in (server.data / "machine" / "kernel").iterdir()]
    assert any(f"linux-image-{kernel}_" in n for n in names), (kernel, names)
    done = cli(server, "run", "--driver", "microvm", "--", "uname", "-r")
    assert (done.returncode, done.stdout.decode().strip()) == (0, kernel), done
    for script, want in TOOLS:
        assert text_of(box, script) == want, script


def driver_is_checked(server):
    before = server.request("GET", "/events/sandboxes")[1][0]["id"]
    done = cli(server, "run", "--driver", "container", "--", "uname", "-r")
    assert done.returncode == 125 and b"microvm" in done.stderr and done.stdout == b"", done
    assert server.request("GET", "/events/sandboxes")[1][0]["id"] == before, "it made a sandbox"
    status, body = server.request("GET", "/capabilities")
    assert status == 200 and body["driver"] == "microvm", body


def clock(server):
    """Of one that waited, stopped, for a while, and of one that was made for the request."""
    for fields in ({}, {"allow_internet_access": False}):
        box = abuse.Sandbox(server, **fields)
        before = time.time()
        output = text_of(box, "date +%s.%N")
        after = time.time()
        box.kill()
        assert before - CLOCK_SLACK_S <= float(output) <= after + CLOCK_SLACK_S, (before, output, after)


def clones_differ(server):
    boxes = [abuse.Sandbox(server) for _ in range(3)]
    said = [text_of(box, SAME).split() for box in boxes]
    for values in zip(*said):
        assert len(set(values)) == len(boxes), said
    for box, words in zip(boxes, said):
        assert words[1].decode() == words[5].decode() == box.id, (box.id, words)
        box.kill()


def process_survives(box):
    """Its stream is cut, it goes on, and is found again."""
    stream = abuse.Abuse(box, box._start_bytes("/bin/sh", ["-c", "echo up; while :; do date +%s%N > /tmp/beat; "
                                                                "sleep 0.2; done"], "user"))
    stream.wait("up")
    stream.client.close()
    first = text_of(box, "cat /tmp/beat; true")
    silica.wait_until(lambda: text_of(box, "cat /tmp/beat; true") not in (first, b""), LIMIT_S, "it goes on")
    assert any(p["config"]["cmd"] == "/bin/sh" for p in box.list()["processes"])


def disk_is_limited(server, box):
    """Without writing it, which would take long."""
    disk_mb = server.request("GET", f"/sandboxes/{box.id}")[1]["diskSizeMB"]
    for user in ("user", "root"):
        output, end = run(box, f"cd /var/tmp && fallocate -l {disk_mb}M big 2>&1 && echo all of it", user)
        assert b"No space left" in output and end["exitCode"] == 1, (output, end)
        output, end = run(box, "cd /var/tmp && for i in 512M 64M 8M 1M 128K 4K; do while fallocate -l $i f$n "
                               "2> /dev/null; do n=$((n + 1)); done; done; head -c 100000 /dev/zero > last", user)
        assert "disk is full" in end.get("error", ""), (output, end)
        box.health()
        text_of(box, "cd /var/tmp && rm -f big f* && echo x > last && rm last", user)


def memory_is_limited(server, box, other):
    for user in ("user", "root"):
        output, end = box.run("/usr/bin/python3", "-c", HOG, user=user)
        assert output == b"" and "out of memory" in end.get("error", ""), (user, output, end)
    assert box.id in ids(server)
    still_works(box)
    still_works(other)


def panics(server, other):
    box = abuse.Sandbox(server)
    stream = abuse.Abuse(box, box._start_bytes("/bin/sh", ["-c", "echo c > /proc/sysrq-trigger; sleep 100"], "root"))
    message = end_of(server, box)
    assert "panicked" in message, message
    stream.client.close()
    still_works(other)


def powers_off(server, other):
    box = abuse.Sandbox(server)
    stream = abuse.Abuse(box, box._start_bytes("/bin/sh", ["-c", "echo o > /proc/sysrq-trigger; sleep 100"], "root"))
    message = end_of(server, box)
    assert "switched off" in message, message
    stream.client.close()
    still_works(other)


def killed(server, other):
    box = abuse.Sandbox(server)
    os.kill(qemu(server, box), signal.SIGKILL)
    message = end_of(server, box)
    assert "its virtual machine ended: killed by signal 9" in message, message
    still_works(other)


def stuck(server, other):
    """A QEMU that stands still tells nobody; the daemon asks it from time to time."""
    box = abuse.Sandbox(server)
    pid = qemu(server, box)
    os.kill(pid, signal.SIGSTOP)
    try:
        message = end_of(server, box)
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGCONT)
    assert "monitor" in message, message
    assert not os.path.exists(f"/proc/{pid}"), "its process is left"
    still_works(other)


def daemon_dies(name):
    def case(server, other):
        text_of(other, f"echo {name} > /tmp/mark")
        adopted = abuse.Sandbox(server)
        restart(server, name)
        assert other.id in ids(server)
        other.client.close()
        assert text_of(other, "cat /tmp/mark").decode().strip() == name
        still_works(adopted)
        for box in (adopted, abuse.Sandbox(server)):  # the new one watches as the old one did
            os.kill(qemu(server, box), signal.SIGKILL)
            end_of(server, box)
    return case


def held(server):
    """Descriptors of the daemons, and machines: with what waits, which is always as many once all is quiet."""
    number = (server.data / "instance").read_text().strip()
    done = subprocess.run([str(silica.ROOT / "tools" / "leaks"), "snapshot", "--instance", number, "--data",
                           str(server.data)], stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True,
                          timeout=60)
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    return {**{k: kinds.count(k) for k in set(kinds)},
            **{name: len(os.listdir(f"/proc/{daemon_pid(server, name)}/fd")) for name in ("silicad", "silica-priv")}}


def rounds(server):
    def one():
        box = abuse.Sandbox(server)
        box.health()
        box.kill()

    def quiet():
        """The same for a second."""
        first = held(server)
        time.sleep(1)
        return first if held(server) == first else None
    one()
    before = silica.wait_until(quiet, LIMIT_S, "it is quiet")
    for _ in range(ROUNDS):
        one()
    # Fewer is fine: a connection of ours may still have been closing when we counted.
    silica.wait_until(lambda: all(n <= before.get(k, 0) for k, n in held(server).items()), LIMIT_S,
                      f"no more than before: {before}")


def stop_while_one_is_made(server):
    """What is said to a machine that is being made to wait does not hold up the end of the server."""
    box = abuse.Sandbox(server)  # another takes its place behind the answer
    started = time.monotonic()
    server.stop(signal.SIGTERM)
    took = time.monotonic() - started
    server.start()
    assert box.id in ids(server)
    still_works(box)
    box.kill()
    assert took < TALK_S, took


def other_snapshot(server, programs):
    """What was saved by another QEMU, kernel or guest is not loaded: its template is booted anew."""
    manifest = next((server.data / "machine" / "snapshots").glob("*/manifest"))
    before = manifest.read_text()
    server.stop()
    with open(programs / "silica-guest", "ab") as f:
        f.write(b"\0")  # changes nothing but what it is
    server.start()
    box = abuse.Sandbox(server)
    still_works(box)
    after = manifest.read_text()
    box.kill()
    lines = [(a, b) for a, b in zip(before.splitlines(), after.splitlines()) if a != b]
    assert any(a.startswith("vmm ") for a, _ in lines), (before, after)
    assert "the snapshot was made with 'vmm " in server.log_path.read_text(), "it says why"


def all_cases(t, server, programs):
    box, other = abuse.Sandbox(server), abuse.Sandbox(server)
    t.case("its own kernel; python3, node, git, pip, sudo", inside, server, box)
    t.case("silica run --driver wants the driver that is there", driver_is_checked, server)
    t.case("the clock is the host's", clock, server)
    t.case("clones of one snapshot have names and randomness of their own", clones_differ, server)
    t.case("a process outlives its connection", process_survives, box)
    t.case("the disk is limited", disk_is_limited, server, box)
    t.case("memory is limited", memory_is_limited, server, box, other)
    box.kill()
    t.case("a kernel that panics ends its sandbox, with a reason", panics, server, other)
    t.case("a machine that is switched off from inside too", powers_off, server, other)
    t.case("a QEMU that is killed too", killed, server, other)
    t.case("a QEMU that stands still too", stuck, server, other)
    t.case("silicad killed: machines live, are reached and watched", daemon_dies("silicad"), server, other)
    t.case("silica-priv killed: machines live, are reached and watched", daemon_dies("silica-priv"), server, other)
    other.kill()
    t.case(f"{ROUNDS} rounds leave nothing", rounds, server)
    t.case("SIGTERM while a machine is made", stop_while_one_is_made, server)
    t.case("a snapshot of another machine is made anew", other_snapshot, server, programs)


def main():
    t = tap.Tap()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    silica.need_machines()
    leaks = silica.Leaks()
    with tempfile.TemporaryDirectory(prefix="silica-test-") as folder:
        pathlib.Path(folder).chmod(0o755)
        programs = pathlib.Path(folder)
        for name in PROGRAMS:
            shutil.copy2(silica.BUILD / name, programs)
        silica.machines()  # before the programs are others
        silica.BUILD = programs
        with silica.Server(driver="microvm") as server:
            all_cases(t, server, programs)
        t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
