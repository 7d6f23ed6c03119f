"""Virtual machines of silica-priv in which the probe has QEMU's place: started, jailed and handed descriptors as QEMU
is. It is asked over the socket that is QEMU's monitor.

    h = machines.Machines()
    c = h.client()
    boot = c.start(kind=harness.BOOT)       # the probe, and its files of a boot
    h.snapshot(c, boot)                     # "saves its devices", silica-priv keeps the rest
    clone = c.start(kind=harness.CLONE)
    h.ask(clone, "facts")
"""

import base64
import contextlib
import encodings.idna  # noqa: F401  # http.client asks for it, when our uid may not read it any more
import glob
import http.client
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import harness

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "kernel"))
import machine  # noqa: E402  # pylint: disable=wrong-import-position

VMM_ID = "0123456789abcdefghij"
MEMORY, LAYER, BASE, TAP, QMP, DEVICES, LAUNCH, FDS = 3, 4, 5, 6, 7, 8, 9, 10
FD_NAMES = {MEMORY: "memory", LAYER: "layer", BASE: "base image", TAP: "tap device", QMP: "monitor's socket",
            DEVICES: "devices", LAUNCH: "launch object"}
DEVICES_TEXT = "the devices of a machine"


def make_vmm(data, monitor=None, name=VMM_ID):
    """A folder for QEMU with the probe for QEMU; `monitor` is a script for it (probe_monitor.c)."""
    top = os.path.join(data, "machine", "vmm")
    root = os.path.join(top, name)
    for folder in ("proc", "dev", "run", "tmp", "guest", "usr/bin", "usr/share/qemu"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    shutil.copy(harness.build_file("security-probe"), os.path.join(root, "usr/bin/qemu-system-x86_64"))
    for file in ("kernel", "initrd"):
        with open(os.path.join(root, "guest", file), "w", encoding="ascii") as f:
            f.write("nothing\n")
    if monitor is not None:
        set_monitor(data, monitor, name)
    with open(os.path.join(top, "current"), "w", encoding="ascii") as f:
        f.write(name + "\n")
    return root


def set_monitor(data, monitor, name=VMM_ID):
    with open(os.path.join(data, "machine", "vmm", name, "guest", "monitor"), "w", encoding="ascii") as f:
        f.write(monitor)


def make_image(templates, template, text="the image of a template\n"):
    """The least that silica-priv takes for a template's image."""
    path = os.path.join(templates, template, "rootfs.img")
    with open(path, "wb") as f:
        f.write(text.encode())
        f.truncate(harness.MIB)
    os.chmod(path, 0o444)
    return path


def ask_monitor(path, uid, question, timeout=60):
    s = socket.socket(socket.AF_UNIX)
    with s:
        s.settimeout(timeout)
        with harness.as_uid(uid):
            s.connect(path)
        s.sendall(question.encode() + b"\n")
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    return answer.decode(errors="replace").splitlines()


def keep(c, inst):
    """PRIV_SNAPSHOT."""
    c.request(harness.SNAPSHOT, struct.pack("=24s", inst.id.encode()))


class Machines(harness.Helper):
    def __init__(self, **options):
        super().__init__(**options)
        make_vmm(self.data)
        make_image(self.templates, harness.TEMPLATE)

    def monitor_path(self, inst):
        return os.path.join(self.data, "run", "machines", f"{inst.id}.qmp")

    def ask(self, inst, question, timeout=60):
        """The words "as UID" of attack.Attack say nothing here: QEMU has one user and makes no process."""
        if question.startswith("as "):
            question = question.split(" ", 2)[2]
        return ask_monitor(self.monitor_path(inst), self.uid, question, timeout)

    def snapshot_of(self, c, **options):
        """Boots, says that the devices are saved, and makes it the template's snapshot."""
        boot = c.start(kind=harness.BOOT, **options)
        self.ask(boot, f"do write {MEMORY} s:the%20memory 10 ; write {DEVICES} s:{DEVICES_TEXT.replace(' ', '%20')} "
                       f"{len(DEVICES_TEXT)}")
        keep(c, boot)


# ---- real ones ----

CACHE = os.path.join(harness.ROOT, "build", "cache", "machine")
COMMANDS = "bash cat chmod dash dd head id ls readlink sha256sum sleep stat uname wc".split()


class Monitor:
    """QMP to a real QEMU, as silicad speaks it."""

    def __init__(self, path, uid):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        with harness.as_uid(uid):
            self.sock.connect(path)
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """What it returns; its refusal as a harness.Error."""
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("QEMU closed its monitor")
            got = json.loads(line)
            if "error" in got:
                raise harness.Error(-1, 0, got["error"]["desc"])
            if "return" in got:
                return got["return"]

    def human(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})

    def close(self):
        self.file.close()
        self.sock.close()


class Guest:
    """envd in a real machine."""

    def __init__(self, h, inst):
        self.h, self.inst = h, inst

    def request(self, method, path, body=None, headers=None, timeout=60):
        with harness.as_uid(self.h.uid):
            connection = http.client.HTTPConnection(self.inst.addr, 49983, timeout=timeout)
            connection.connect()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def wait(self, seconds=240):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.request("GET", "/health", timeout=5)[0] in (200, 204):
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError("the guest does not answer")

    def shell(self, text, user="root", timeout=120):
        """Both outputs of a command, whatever its end."""
        message = json.dumps({"process": {"cmd": "/bin/sh", "args": ["-c", text]}}).encode()
        name = base64.b64encode(f"{user}:".encode()).decode()
        status, data = self.request("POST", "/process.Process/Start", b"\0" + struct.pack(">I", len(message)) + message,
                                    {"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1",
                                     "Authorization": f"Basic {name}"}, timeout)
        if status != 200:
            raise AssertionError(f"status {status}: {data!r}")
        out, at = b"", 0
        while at < len(data):
            size = struct.unpack(">I", data[at + 1:at + 5])[0]
            event = json.loads(data[at + 5:at + 5 + size] or b"{}").get("event", {})
            at += 5 + size
            for stream in ("stdout", "stderr"):
                out += base64.b64decode(event.get("data", {}).get(stream, ""))
        return out.decode(errors="replace")


def balloon_module(kernel):
    """The guest's driver for the balloon, which its initial file system does not have: from its package. Or None."""
    path = os.path.join(CACHE, "virtio_balloon.ko")
    if os.path.exists(path):
        return path
    name, _, version = os.path.basename(kernel).partition("_")
    with tempfile.TemporaryDirectory() as folder:
        for command in (["apt-get", "download", f"{name}={version}"], ["sh", "-c", "dpkg-deb -x *.deb ."]):
            if subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=240).returncode != 0:
                return None
        for found in glob.glob(f"{folder}/**/virtio_balloon.ko", recursive=True):
            shutil.copy(found, path)
            return path
    return None


class RealMachines(harness.Helper):
    """silica-priv with QEMU itself and a small template of this host's programs."""

    def __init__(self, memory=256 * harness.MIB, **options):
        self.memory = memory
        super().__init__(**options)
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        root = pathlib.Path(self.templates, harness.TEMPLATE, "rootfs")
        shutil.rmtree(root)
        tree = machine.Tree(root)
        for name in COMMANDS:
            tree.program(name)
        (root / "usr/bin/sh").symlink_to("dash")
        shutil.copy(harness.build_file("security-probe"), root / "usr/bin/security-probe")
        if os.path.isdir(os.path.join(CACHE, "kernel")):
            shutil.copytree(os.path.join(CACHE, "kernel"), os.path.join(self.data, "machine", "kernel"))
        kernels = glob.glob(os.path.join(self.data, "machine", "kernel", "linux-image-*"))
        self.module = balloon_module(kernels[0]) if kernels else None
        if self.module:
            shutil.copy(self.module, root / "virtio_balloon.ko")
        aliases = pathlib.Path(self.templates, "aliases")
        aliases.mkdir()
        (aliases / "base").write_text(harness.TEMPLATE + "\n", encoding="ascii")
        (root.parent / "template.json").write_text(json.dumps({
            "id": harness.TEMPLATE, "alias": "base", "buildId": "00000000-0000-4000-8000-000000000000", "cpuCount": 1,
            "memoryMB": 256, "diskMB": 1024}) + "\n", encoding="ascii")
        done = subprocess.run([harness.build_file("silica"), "template", "machine", "--data", self.data, "--templates",
                               self.templates], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=300)
        if done.returncode != 0:
            self.close()
            harness.skip_all(f"no machines can be prepared: {done.stderr.strip()}")

    def monitor(self, inst):
        return Monitor(os.path.join(self.data, "run", "machines", f"{inst.id}.qmp"), self.uid)

    def snapshot_of(self, c):
        boot = c.start(kind=harness.BOOT, memory=self.memory)
        monitor, guest = self.monitor(boot), Guest(self, boot)
        guest.wait()
        time.sleep(1)
        monitor.ask("stop")
        monitor.ask("xen-save-devices-state", filename=f"/dev/fdset/{DEVICES}", live=False)
        monitor.close()
        keep(c, boot)

    def clone(self, c):
        """A clone that runs: instance, monitor, guest."""
        inst = c.start(kind=harness.CLONE, memory=self.memory)
        monitor, guest = self.monitor(inst), Guest(self, inst)
        monitor.ask("migrate-incoming", uri=f"fd:{DEVICES}")
        while monitor.ask("query-migrate").get("status") != "completed":
            time.sleep(0.01)
        monitor.ask("cont")
        guest.wait()
        return inst, monitor, guest
