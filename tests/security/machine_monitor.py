#!/usr/bin/env python3
# timeout: 400
"""A QEMU that was taken over, against silicad (items 14 and 16 for virtual machines): a monitor that floods, lies, says
garbage, says nothing, or closes and lives on.

The probe has QEMU's place and plays a script (probe_monitor.c). A creation on such a machine fails in time and says
why; silicad holds no more memory than before, answers others, and nothing of the machine stays.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "..", "lib")]
import harness  # noqa: E402
import machines  # noqa: E402
import silica  # noqa: E402

GREETING = ('{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}')
OK = '{"return": {}, "id": $ID}'
LOADED = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "completed"}}'
STOP = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}'
UP = f"say {GREETING}\nhear\nsay {OK}\n"
HELD_MAX = 32 * harness.MIB
CREATE_LIMIT_S = 60
# name: the script, and seconds within which the creation must have failed
CASES = {
    "says garbage": ("say what is this?\n", 5),
    "sends a line without end": ("raw 1000000000 120\n", 10),
    "sends nothing but newlines": ("repeat 1000000 \n", 10),
    "greets without end": (f"repeat 0 {GREETING}\n", 10),
    "floods events": (f"{UP}repeat 0 {STOP}\n", 10),
    "sends deep JSON": (f"say {'[' * 4000}\n", 5),
    "answers what nobody asked": (f'{UP}say {{"return": {{}}, "id": 4711}}\n', 5),
    "refuses everything": (f'{UP}answer {{"error": {{"class": "GenericError", "desc": "%s"}}, "id": $ID}}\n' % ("no " * 900), 5),
    "says that loading failed": (f"{UP}hear\nsay {OK}\nhear\nsay {OK}\nsay {LOADED.replace('completed', 'failed')}\n", 5),
    "closes and lives on": (f"{UP}close\n", 15),
    "closes, takes no other, and lives on": ("unlisten\nclose\n", 15),
    "ends at once": ("exit 0\n", 10),
    "says nothing": ("", 30),
    "claims to run without having loaded": (f"{UP}hear\nsay {OK}\nhear\nsay {OK}\nsay {LOADED}\nanswer {OK}\n", CREATE_LIMIT_S),
}


def make_templates(top):
    root = top / harness.TEMPLATE
    (root / "rootfs/etc").mkdir(parents=True)
    (top / "aliases").mkdir()
    (top / "aliases" / "base").write_text(harness.TEMPLATE + "\n", encoding="ascii")
    (root / "template.json").write_text(json.dumps({
        "id": harness.TEMPLATE, "alias": "base", "buildId": "00000000-0000-4000-8000-000000000000", "cpuCount": 1,
        "memoryMB": 256, "diskMB": 1024}) + "\n", encoding="ascii")


class Rig:
    """A server whose machines are the probe's."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="silica-test-"))
        self.top.chmod(0o755)
        self.data = self.top / "data"
        make_templates(self.top / "templates")
        (self.top / "silica.conf").write_text("[microvm]\npool = 0\n", encoding="ascii")
        cache = pathlib.Path(machines.CACHE, "kernel")
        if cache.is_dir():
            shutil.copytree(cache, self.data / "machine" / "kernel")
        self.server = silica.Server(["--driver", "microvm", "--config", str(self.top / "silica.conf")],
                                    data=self.data, templates=str(self.top / "templates"))

    def snapshot(self):
        """Made past silicad, by its own user."""
        machines.make_vmm(str(self.data))
        uid = harness.UID_BASE + self.server.instance
        c = harness.Client(str(self.data / "run" / "priv.sock"), uid)
        boot = c.start(kind=harness.BOOT, cpu=1000, pids=1024)
        machines.ask_monitor(str(self.data / "run" / "machines" / f"{boot.id}.qmp"), uid,
                             f"do write {machines.MEMORY} s:memory 6 ; write {machines.DEVICES} s:devices 7")
        machines.keep(c, boot)
        c.close()

    def left(self):
        instance = f"silica-{self.server.instance}"
        groups = [p for top in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") for p in pathlib.Path(top, instance).glob("i*")]
        return [*map(str, groups), *os.listdir(self.data / "run" / "machines"),
                *os.listdir(self.data / "run" / "sandboxes"), *os.listdir(self.data / "sandboxes")]


def held_by_daemon(server):
    """A function: how much more silicad holds than now."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children", encoding="ascii") as f:
        pids = f.read().split()
    pid = next(p for p in pids if pathlib.Path(f"/proc/{p}/comm").read_text(encoding="ascii").strip() == "silicad")

    def resident():
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS:"))
    before = resident()
    return lambda: resident() - before


def case(tap, rig, held, name, script, limit):
    machines.set_monitor(str(rig.data), script)
    begun = time.monotonic()
    status, said = rig.server.request("POST", "/sandboxes", {"templateID": "base", "timeout": 60}, timeout=120)
    took = time.monotonic() - begun
    print(f"# {name}: {status} {said} after {took:.1f} s")
    tap.ok(status >= 500 and said.get("message"), f"{name}: the creation fails and says why", (status, said))
    tap.ok(took < limit + 10, f"{name}: in time", took)
    tap.ok(str(said).isprintable() and len(str(said)) < 1000, f"{name}: in words for people", said)
    tap.equal(rig.server.request("GET", "/v2/sandboxes")[0], 200, f"{name}: others are answered")
    end = time.monotonic() + 30
    while rig.left() and time.monotonic() < end:
        time.sleep(0.2)
    tap.equal(rig.left(), [], f"{name}: nothing stays")
    tap.ok(held() < HELD_MAX, f"{name}: silicad holds no more memory", held())


def main():
    harness.need_root()
    tap = harness.Tap()
    rig = Rig()
    leaks = silica.Leaks()
    try:
        try:
            rig.server.start()
        except (RuntimeError, TimeoutError) as e:
            harness.skip_all(f"no server with machines: {e}")
        rig.snapshot()
        held = held_by_daemon(rig.server)
        for name, (script, limit) in CASES.items():
            case(tap, rig, held, name, script, limit)
        tap.equal(rig.server.process.poll(), None, "the server lives")
        rig.server.stop()
        leaks.check(rig.server)
    finally:
        if tap.failed:
            print("# " + rig.server.log_tail().replace("\n", "\n# "))
        rig.server.kill()
        shutil.rmtree(rig.top, ignore_errors=True)
    tap.end()


main()
