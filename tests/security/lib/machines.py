"""Virtual machines of silica-priv in which the probe has QEMU's place: started, jailed and handed descriptors as QEMU
is. It is asked over the socket that is QEMU's monitor.

    h = machines.Machines()
    c = h.client()
    boot = c.start(kind=harness.BOOT)       # the probe, and its files of a boot
    h.snapshot(c, boot)                     # "saves its devices", silica-priv keeps the rest
    clone = c.start(kind=harness.CLONE)
    h.ask(clone, "facts")
"""

import os
import shutil
import socket
import struct

import harness

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
