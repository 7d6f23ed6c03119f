#!/usr/bin/env python3
# timeout: 600
"""The memory that the clones of a template share, attacked through a real QEMU: by its monitor, and by the driver of a
balloon in the guest. The hash of the sealed memory stays, and so does what the next clone begins with.

Needs QEMU, and apt for the guest's kernel (kept in build/cache/machine for the next time).
"""

import contextlib
import hashlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machines  # noqa: E402
from machines import BASE, MEMORY  # noqa: E402

MEMORY_MIB, BALLOON_MIB = 512, 96


def memory_of(inst):
    """Its descriptors' numbers are QEMU's own by now: the memory is told by its name."""
    folder = f"/proc/{inst.pid}/fd"
    for name in os.listdir(folder):
        if "silica-memory" in os.readlink(f"{folder}/{name}"):
            with open(f"{folder}/{name}", "rb") as f:
                return hashlib.sha256(f.read()).hexdigest()
    raise FileNotFoundError("the sealed memory")


def anonymous(inst):
    with open(f"/proc/{inst.pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Anonymous:")) << 10


def failed_migration(monitor):
    """It is told later; "" if it did not fail."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        state = monitor.ask("query-migrate").get("status", "")
        if state in ("failed", "completed"):
            return state if state == "failed" else ""
        time.sleep(0.1)
    return ""


def by_monitor(tap, h, c, first):
    """What whoever speaks to QEMU's monitor may ask it for, silicad taken over or QEMU itself.

    Either QEMU says no, or the system said no to QEMU (in human words both are a text), or QEMU has ended for it.
    """
    inst, monitor, _ = h.clone(c)

    def refused(what, command, **arguments):
        nonlocal inst, monitor
        try:
            answer = monitor.ask(command, **arguments)
            if command == "migrate":
                answer = failed_migration(monitor)
            tap.ok(isinstance(answer, str) and answer.strip() != "", f"{what} is refused", answer)
        except harness.Error as e:
            tap.ok(True, f"{what} is refused ({str(e)[:80]})")
        except ConnectionError:
            tap.ok(c.wait_exit(inst.id) is not None, f"{what} ends it")
            inst, monitor, _ = h.clone(c)

    def human(what, line):
        refused(what, "human-monitor-command", **{"command-line": line})

    path = f"/proc/self/fd/{MEMORY}"
    ram = {"qom-type": "memory-backend-file", "size": MEMORY_MIB * harness.MIB, "share": True}
    refused("the same memory, shared", "object-add", id="again", **{**ram, "mem-path": path})
    refused("memory with a name", "object-add", id="shm", **{**ram, "mem-path": "/dev/shm/x"})
    refused("memory in a file", "object-add", id="file", **{**ram, "mem-path": "/tmp/x"})
    refused("removing the memory", "object-del", id="ram")
    refused("its memory into its memory", "pmemsave", val=0, size=4096, filename=path)
    refused("its memory into a file", "pmemsave", val=0, size=4096, filename="/tmp/x")
    refused("its memory into the image", "pmemsave", val=0, size=4096, filename=f"/proc/self/fd/{BASE}")
    refused("a dump into the memory", "dump-guest-memory", paging=False, protocol=f"file:{path}")
    refused("devices into the memory", "xen-save-devices-state", filename=path, live=True)
    refused("migrating by a program", "migrate", uri="exec:cat")
    refused("migrating to an address", "migrate", uri="tcp:127.0.0.1:22")
    refused("migrating to a socket", "migrate", uri="unix:/tmp/x")
    refused("another monitor", "chardev-add", id="c1", backend={"type": "socket", "data": {
        "addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "4444"}}, "server": True, "wait": False}})
    refused("writing a file", "chardev-add", id="c2", backend={"type": "file", "data": {"out": path}})
    refused("a file of the host", "blockdev-add", driver="file", **{"node-name": "n1", "filename": "/etc/passwd"})
    refused("the image for writing", "blockdev-add", driver="file",
            **{"node-name": "n2", "filename": f"/proc/self/fd/{BASE}", "locking": "off", "read-only": False})
    refused("a disk over the network", "blockdev-add", driver="nbd",
            **{"node-name": "n3", "server": {"type": "inet", "host": "127.0.0.1", "port": "10809"}})
    refused("a device of the host", "device_add", driver="vfio-pci", host="00:00.0", id="d1")
    refused("memory over vhost", "netdev_add", type="tap", id="n4", ifname="tap1", script="no", vhost=True)
    refused("a network by a program", "netdev_add", type="tap", id="n5", script="/bin/sh")
    human("a snapshot of the whole", "savevm x")
    human("a debugger's socket", "gdbserver tcp:127.0.0.1:1234")
    with contextlib.suppress(harness.Error):
        monitor.human(f"logfile {path}")
    tap.equal(os.path.exists(os.path.join(h.data, "machine", "vmm", "tmp", "x")), False, "no file was made")
    tap.equal(memory_of(inst), first, "after all that a monitor can ask for the memory is what it was")
    monitor.close()
    c.stop(inst.id)


def by_guest(tap, inst, monitor, guest):
    """Its kernel gives memory back to the host: for itself, at the price of itself."""
    monitor.ask("device_add", driver="virtio-balloon-pci", id="balloon", addr="9",
                **{"free-page-reporting": True, "deflate-on-oom": False})
    said = guest.shell("/usr/bin/security-probe 'do open s:/virtio_balloon.ko 0 ; finit_module $0 s: 0'; ls /sys/bus/virtio/drivers/virtio_balloon/; sleep 1")
    if "virtio" not in said.replace("virtio_balloon", ""):
        said += guest.shell("echo 1 >/sys/bus/pci/rescan; sleep 2; ls /sys/bus/virtio/drivers/virtio_balloon/")
    monitor.ask("balloon", value=(MEMORY_MIB - BALLOON_MIB) * harness.MIB)
    actual, end = MEMORY_MIB * harness.MIB, time.monotonic() + 60
    while actual > (MEMORY_MIB - BALLOON_MIB + 8) * harness.MIB and time.monotonic() < end:
        time.sleep(0.5)
        actual = monitor.ask("query-balloon")["actual"]
    tap.ok(actual < (MEMORY_MIB - BALLOON_MIB // 2) * harness.MIB, "(the guest has filled its balloon)", (actual, said))
    time.sleep(2)
    monitor.ask("balloon", value=MEMORY_MIB * harness.MIB)


def fill(tap, inst, guest):
    before = anonymous(inst)
    guest.shell("head -c 60000000 /dev/urandom >/dev/shm/full || head -c 60000000 /dev/urandom >/tmp/full; :", timeout=240)
    guest.shell("dd if=/dev/mem of=/dev/null bs=4096 count=16; dd if=/dev/zero of=/dev/mem bs=4096 count=16 seek=4096; :")
    tap.ok(anonymous(inst) - before > 32 * harness.MIB, "(the guest has written memory of its own)", anonymous(inst) - before)


def use_all(tap, c, inst, guest):
    """Reading its disk fills a guest's memory. What of it is empty in the template becomes memory of the template's,
    and of the guest's, which is its own affair: it must not be ended for that."""
    guest.shell("dd if=/dev/vdb of=/dev/null bs=1048576 count=700; :", timeout=60)
    left = guest.shell("cat /proc/meminfo")
    free = next(int(line.split()[1]) for line in left.splitlines() if line.startswith("MemFree")) >> 10
    tap.ok(free < 64, "(the guest has used all its memory)", free)
    tap.equal(c.wait_exit(inst.id, 1), None, "and lives")


def main():
    harness.need_root()
    tap = harness.Tap()
    h = machines.RealMachines(MEMORY_MIB * harness.MIB)
    try:
        c = h.client()
        h.snapshot_of(c)
        inst, monitor, guest = h.clone(c)
        first = memory_of(inst)
        try:
            use_all(tap, c, inst, guest)
        except OSError as e:
            tap.ok(False, "the guest uses all its memory", (e, c.wait_exit(inst.id)))
        tap.equal(memory_of(inst), first, "and the memory is what it was")
        monitor.close()
        c.stop(inst.id)
        inst, monitor, guest = h.clone(c)
        by_monitor(tap, h, c, first)
        if h.module:
            by_guest(tap, inst, monitor, guest)
            tap.equal(memory_of(inst), first, "after a balloon and reports of free pages, too")
        else:
            print("# no balloon: its driver cannot be fetched")
        fill(tap, inst, guest)
        tap.equal(memory_of(inst), first, "and after the guest has written all that it could")
        monitor.close()
        c.stop(inst.id)
        inst, monitor, guest = h.clone(c)
        tap.equal(memory_of(inst), first, "the next clone begins with the same")
        tap.ok("Linux" in guest.shell("uname"), "and works")
        monitor.close()
        c.stop(inst.id)
    finally:
        if tap.failed:
            print("# " + h.log_text()[-3000:].replace("\n", "\n# "))
        h.close()
    tap.end()


main()
