#!/usr/bin/env python3
# timeout: 600
"""What `silica template machine` makes: a root for QEMU, disks of templates, and that a machine of it boots.

TAP; needs root and QEMU, and apt for the kernel (kept in build/cache/machine for the next time). The
template is a small one of this host's programs. The machine is started with QEMU in its own root by
chroot(2), in a network namespace of the test's, and talked to as silicad does.
"""

import base64
import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "kernel")]
sys.dont_write_bytecode = True
import machine  # noqa: E402  # pylint: disable=wrong-import-position
import silica  # noqa: E402  # pylint: disable=wrong-import-position
from tap import Skip, Tap  # noqa: E402  # pylint: disable=wrong-import-position

CACHE = ROOT / "build" / "cache" / "machine"
PROGRAMS = ("silica", "silica-envd", "silica-guest")
TEMPLATE_ID = "machinetests00000000"
TEMPLATE = {"id": TEMPLATE_ID, "alias": "base", "buildId": "00000000-0000-4000-8000-000000000000",
            "cpuCount": 1, "memoryMB": 256, "diskMB": 1024}
COMMANDS = "bash cat chmod dash id ls readlink stat uname".split()
PREPARE_LIMIT_S = 300
BOOT_LIMIT_S = 180
MEMORY_MIB = 192
NETNS = f"silica-test-{os.getpid()}"
HOST_MAC, GUEST_MAC = "02:53:4c:00:00:01", "02:53:4c:00:00:02"
SECRET = "5ec7e7" * 8
SANDBOX_ID = "imachinetests00000000"
APPEND = "console=ttyS0 quiet panic=-1 reboot=t"
TUNSETIFF, IFF_TAP_NO_PI = 0x400454CA, 0x1002
CLONE_NEWNET = 0x40000000


def run(*command, limit=60):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
                          timeout=limit).stdout


class Rig:
    """A data folder with one small template, and copies of the programs, which a case may change."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="silica-machine-"))
        self.top.chmod(0o755)
        self.data = self.top / "data"
        self.programs = self.top / "programs"
        self.programs.mkdir()
        for name in PROGRAMS:
            shutil.copy(silica.BUILD / name, self.programs)
        self.template = self.data / "templates" / TEMPLATE_ID
        (self.data / "templates" / "aliases").mkdir(parents=True)
        self.template.mkdir()
        (self.template / "template.json").write_text(json.dumps(TEMPLATE) + "\n", encoding="ascii")
        (self.data / "templates" / "aliases" / "base").write_text(TEMPLATE_ID + "\n", encoding="ascii")
        self.fill(machine.Tree(self.template / "rootfs"))
        if (CACHE / "kernel").is_dir():
            shutil.copytree(CACHE / "kernel", self.data / "machine" / "kernel")

    @staticmethod
    def fill(tree):
        for name in COMMANDS:
            tree.program(name)
        (tree.top / "usr/bin/sh").symlink_to("dash")
        shutil.rmtree(tree.top / "silica")
        shutil.rmtree(tree.top / "var/lib/silica")
        (tree.top / "etc/resolv.conf").unlink()
        (tree.top / "etc/resolv.conf").symlink_to("/etc/passwd")
        (tree.top / "proc").rmdir()  # made when it is missing
        (tree.top / "usr/bin/setuid").write_bytes(b"x" * 5000)
        (tree.top / "usr/bin/setuid").chmod(0o4755)

    def prepare(self, *arguments):
        done = subprocess.run([str(self.programs / "silica"), "template", "machine", "--data", str(self.data),
                               *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=PREPARE_LIMIT_S)
        if done.returncode != 0:
            raise AssertionError(f"status {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    @property
    def vmm(self):
        return self.data / "machine" / "vmm"

    @property
    def image(self):
        return self.template / "rootfs.img"

    def keep_kernel(self):
        """For the next time, and for nobody else."""
        fresh = CACHE.with_name(f"machine.{os.getpid()}")
        fresh.mkdir(parents=True)
        shutil.copytree(self.data / "machine" / "kernel", fresh / "kernel")
        shutil.rmtree(CACHE, ignore_errors=True)
        fresh.rename(CACHE)


def prepared(rig):
    name = rig.prepare()
    assert len(name) == 20 and set(name) <= set("0123456789abcdef"), name
    assert (rig.vmm / "current").read_text() == name + "\n"
    assert sorted(p.name for p in rig.vmm.iterdir()) == sorted((name, "current"))
    kernels = [p.name for p in (rig.data / "machine" / "kernel").iterdir()]
    assert all(k.startswith("linux-image-") for k in kernels), kernels
    rig.keep_kernel()
    return name


def is_plain(rig):
    """Nothing but files and folders of root that nobody else can change, and what QEMU asks for."""
    top = rig.vmm / rig.prepare("--offline")
    for path in (top, *top.rglob("*")):
        st = path.lstat()
        folder = stat.S_ISDIR(st.st_mode)
        assert folder or stat.S_ISREG(st.st_mode), path
        assert st.st_uid == st.st_gid == 0, path
        assert stat.S_IMODE(st.st_mode) in ((0o755,) if folder else (0o644, 0o755)), path
    for name in ("usr/bin/qemu-system-x86_64", "lib64/ld-linux-x86-64.so.2", "guest/kernel", "guest/initrd",
                 *(f"usr/share/qemu/{n}" for n in ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin"))):
        assert (top / name).is_file(), name
    for name in ("proc", "dev", "run", "tmp"):
        assert not list((top / name).iterdir()), name
    words = run("chroot", str(top), "/usr/bin/qemu-system-x86_64", "-machine", "help")
    assert "\npc " in words, words


def initrd_is_complete(rig):
    top = rig.vmm / rig.prepare("--offline")
    archive = (top / "guest/initrd").read_bytes()
    entries, at = {}, 0
    while True:  # newc: 13 numbers of 8 digits, name, content, each padded to 4
        assert archive[at:at + 6] == b"070701", at
        numbers = [int(archive[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = archive[at + 110:at + 110 + numbers[11] - 1].decode()
        at += (110 + numbers[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        entries[name] = (numbers, archive[at:at + numbers[6]])
        at += (numbers[6] + 3) // 4 * 4
    assert entries["init"][1] == (rig.programs / "silica-guest").read_bytes()
    assert entries["silica-envd"][1] == (rig.programs / "silica-envd").read_bytes()
    numbers = entries["dev/console"][0]
    assert (stat.S_ISCHR(numbers[1]), numbers[9], numbers[10]) == (True, 5, 1), numbers
    modules = entries["modules/list"][1].decode().split()
    assert modules and sorted(f"modules/{m}" for m in modules) == sorted(
        n for n in entries if n.startswith("modules/") and n != "modules/list")
    for name in ("dev", "proc", "sys", "base", "layer", "root"):
        assert stat.S_ISDIR(entries[name][0][1]), name


def unchanged(rig):
    name = rig.prepare("--offline")
    before = (rig.vmm / name).stat(), (rig.vmm / "current").stat(), rig.image.stat()
    for leftover in (rig.vmm / ".new", rig.data / "machine/kernel/.new"):  # of one that was killed
        leftover.mkdir()
        (leftover / "x").write_text("x")
    assert rig.prepare("--offline") == name
    after = (rig.vmm / name).stat(), (rig.vmm / "current").stat(), rig.image.stat()
    for one, other in zip(before, after):
        assert (one.st_ino, one.st_ctime_ns) == (other.st_ino, other.st_ctime_ns)
    assert not (rig.vmm / ".new").exists()


def changed(rig):
    """Another program is another id; what was made before stays, and the same again is the old id."""
    before = rig.prepare("--offline")
    content = (rig.programs / "silica-guest").read_bytes()
    (rig.programs / "silica-guest").write_bytes(content + b"\0")
    try:
        other = rig.prepare("--offline")
    finally:
        (rig.programs / "silica-guest").write_bytes(content)
    assert other != before
    assert (rig.vmm / "current").read_text() == other + "\n"
    assert (rig.vmm / before / "guest/initrd").is_file()
    assert rig.prepare("--offline") == before
    assert (rig.vmm / "current").read_text() == before + "\n"


def without_kernel(rig):
    empty = rig.top / "empty"
    done = subprocess.run([str(rig.programs / "silica"), "template", "machine", "--data", str(empty), "--offline"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        raise Skip("the host has the kernel installed")
    assert "kernel" in done.stderr, done.stderr
    assert not list((empty / "machine/vmm").iterdir())


def image_holds(rig):
    assert stat.S_IMODE(rig.image.stat().st_mode) == 0o444
    run("e2fsck", "-fn", str(rig.image))
    def look(command):
        return subprocess.run(["debugfs", "-R", command, str(rig.image)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True, timeout=60).stdout
    assert "lost+found" not in look("ls -l /")
    words = look("stat /usr/bin/setuid")
    assert "Mode:  04755" in words and "Size: 5000" in words, words
    assert "User:  1000   Group:  1000" in look("stat /home/user")
    assert [p.name for p in rig.template.glob(".rootfs*")] == []


# --- a machine -------------------------------------------------------------------------------------


@contextlib.contextmanager
def network():
    """A namespace with the host's end of the link, this process inside it."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    run("ip", "netns", "add", NETNS)
    try:
        there = os.open(f"/run/netns/{NETNS}", os.O_RDONLY)
        assert libc.setns(there, CLONE_NEWNET) == 0
        os.close(there)
        tap = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP_NO_PI))
        for words in (f"link set tap0 address {HOST_MAC}", "addr add 169.254.0.22/30 dev tap0",
                      "link set tap0 up", f"neigh add 169.254.0.21 lladdr {GUEST_MAC} dev tap0 nud permanent"):
            run("ip", *words.split())
        yield tap
        os.close(tap)
    finally:
        assert libc.setns(own, CLONE_NEWNET) == 0
        os.close(own)
        run("ip", "netns", "del", NETNS)


def launch_object():
    text = json.dumps({"sandboxId": SANDBOX_ID, "templateId": TEMPLATE_ID, "controlSecret": SECRET,
                       "port": 49983, "memoryBytes": MEMORY_MIB << 20, "cpuMillis": 1000,
                       "diskBytes": 256 << 20, "pids": 321, "machine": True, "entropy": "5a" * 32},
                      separators=(",", ":"))
    return text + "\n" * (2048 - len(text))


class Machine:
    def __init__(self, rig, tap, image):
        self.top = rig.top / "vmm"  # a copy: the launch object lies in it
        shutil.rmtree(self.top, ignore_errors=True)
        shutil.copytree(rig.vmm / rig.prepare("--offline"), self.top)
        (self.top / "tmp/launch").write_text(launch_object(), encoding="ascii")
        layer = rig.top / "layer.img"
        layer.unlink(missing_ok=True)
        run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", str(layer), "256M")
        self.console = rig.top / "console"
        fds = [os.open(image, os.O_RDONLY), os.open(layer, os.O_RDWR), os.open(layer, os.O_RDONLY)]
        with open(self.console, "wb") as log:
            # pylint: disable-next=consider-using-with,subprocess-popen-preexec-fn  # one thread
            self.process = subprocess.Popen(self.command(fds, tap), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=[*fds, tap],
                                            preexec_fn=lambda: (os.chroot(self.top), os.chdir("/")))
        for fd in fds:
            os.close(fd)

    @staticmethod
    def command(fds, tap):
        words = f"""/usr/bin/qemu-system-x86_64 -L /usr/share/qemu -nodefaults -no-user-config -display none
            -machine pc,usb=off,vmport=off,hpet=off -cpu max -accel tcg,tb-size=32 -smp 1 -m {MEMORY_MIB}M
            -kernel /guest/kernel -initrd /guest/initrd -append APPEND
            -no-reboot -serial stdio -fw_cfg name=opt/silica/launch,file=/tmp/launch
            -add-fd fd={fds[0]},set=1 -add-fd fd={fds[1]},set=2 -add-fd fd={fds[2]},set=2
            -drive if=none,id=b,file=/dev/fdset/1,format=raw,readonly=on,file.locking=off
            -device virtio-blk-pci,drive=b,addr=4
            -drive if=none,id=l,file=/dev/fdset/2,format=raw,cache=unsafe,file.locking=off
            -device virtio-blk-pci,drive=l,addr=5 -netdev tap,id=n,fd={tap}
            -device virtio-net-pci,netdev=n,mac={GUEST_MAC},romfile=,addr=6"""
        return [APPEND if w == "APPEND" else w for w in words.split()]

    def wait(self):
        def answers():
            assert self.process.poll() is None, "the machine ended:\n" + self.words()
            try:
                return self.request("GET", "/health")[0] == 204
            except OSError:
                return False
        silica.wait_until(answers, BOOT_LIMIT_S, "silica-envd answers\n" + self.words())

    def words(self):
        return self.console.read_text(errors="replace")[-2000:]

    @staticmethod
    def request(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("169.254.0.21", 49983, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def shell(self, text, user="root"):
        """Standard output of a command; it must end with status 0."""
        message = json.dumps({"process": {"cmd": "/bin/sh", "args": ["-c", text]}}).encode()
        name = base64.b64encode(f"{user}:".encode()).decode()
        status, data = self.request("POST", "/process.Process/Start", b"\0" + struct.pack(">I", len(message)) + message,
                                    {"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1",
                                     "Authorization": f"Basic {name}"})
        assert status == 200, (status, data)
        out, end, at = b"", None, 0
        while at < len(data):
            size = struct.unpack(">I", data[at + 1:at + 5])[0]
            event = json.loads(data[at + 5:at + 5 + size] or b"{}").get("event", {})
            at += 5 + size
            out += base64.b64decode(event.get("data", {}).get("stdout", ""))
            end = event.get("end", end)
        assert end and end.get("status") == "exit status 0", (text, end, out, data)
        return out.decode()

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def booted(rig, image=None):
    with network() as tap:
        vm = Machine(rig, tap, image or rig.image)
        try:
            yield vm
        finally:
            vm.close()


def look_inside(vm):
    assert vm.shell("uname -r").strip().endswith("-cloud-amd64")
    assert vm.shell("uname -n").strip() == SANDBOX_ID
    assert vm.shell("id -u; id -g", "user").split() == ["1000", "1000"]
    assert vm.shell("cat /proc/self/cgroup").strip() == "0::/user"
    assert vm.shell("cat /proc/1/cgroup").strip() == "0::/envd"
    assert vm.shell("cat /etc/hostname /etc/resolv.conf") == SANDBOX_ID + "nameserver 169.254.0.22\n"
    assert "root:x:0:0" in vm.shell("cat /etc/passwd"), "the template's link was replaced, not followed"
    assert vm.shell("stat -c %a /dev/shm /dev/null /usr/bin/setuid").split() == ["1777", "666", "4755"]
    assert vm.shell("readlink /dev/fd /dev/ptmx").split() == ["/proc/self/fd", "pts/ptmx"]
    secret = "/sys/firmware/qemu_fw_cfg/by_name/opt/silica/launch/raw"  # envd reads it after a cloning
    assert vm.shell(f"stat -c '%a %u' {secret}").split() == ["400", "0"]
    assert vm.shell(f"cat {secret} 2>/dev/null || echo refused", "user").strip() == "refused"
    words = vm.shell("cat /proc/net/arp")
    assert "169.254.0.22" in words and HOST_MAC in words and "0x6" in words, words
    assert vm.shell("cat /proc/net/if_inet6").split()[-1:] == ["lo"]
    assert vm.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "0"


def groups_inside(vm):
    groups = "/sys/fs/cgroup"
    limit = int(vm.shell(f"cat {groups}/user/memory.max"))
    assert (MEMORY_MIB // 2 - 24) << 20 < limit < MEMORY_MIB << 20, limit
    assert vm.shell(f"cat {groups}/user/pids.max {groups}/user/cpu.weight {groups}/envd/cpu.weight "
                    f"{groups}/envd/memory.min").split() == ["321", "100", "800", str(32 << 20)]


def descriptors_inside(vm):
    """Of envd: nothing, the console twice, and from 4 on what its launch object names; none besides its own."""
    found = {}
    for line in vm.shell("cd /proc/1/fd && for n in *; do echo $n $(readlink $n); done").splitlines():
        number, _, target = line.partition(" ")
        found[int(number)] = target
    groups = "/sys/fs/cgroup"
    expected = {0: "/dev/null", 1: "/dev/console", 2: "/dev/console", 4: f"{groups}/user/cgroup.procs",
                5: f"{groups}/user/memory.current", 6: f"{groups}/user/cpu.stat",
                7: f"{groups}/user/memory.events", 8: f"{groups}/user/pids.events",
                9: f"{groups}/envd/memory.stat"}
    assert {n: found.get(n) for n in expected} == expected, found
    own = ("pipe:", "socket:", "anon_inode:", "/dev/ptmx", "/dev/pts/")
    others = {n: t for n, t in found.items() if n not in expected and t and not t.startswith(own)}
    assert not others, others


def boots(rig):
    with booted(rig) as vm:
        vm.wait()
        status, _ = vm.request("POST", "/init", b"{}", {"Content-Type": "application/json"})
        assert status in (401, 403, 404), status
        status, data = vm.request("POST", "/init", b"{}", {"X-Silica-Control": SECRET,
                                                          "Content-Type": "application/json"})
        assert status == 204, (status, data)
        look_inside(vm)
        groups_inside(vm)
        descriptors_inside(vm)


def link_is_refused(rig):
    image = rig.top / "linked.img"
    shutil.copy(rig.image, image)
    image.chmod(0o600)
    for command in ("rmdir /sys", "symlink /sys /tmp"):
        run("debugfs", "-w", "-R", command, str(image))
    with booted(rig, image) as vm:
        vm.process.wait(BOOT_LIMIT_S)
        assert "silica-guest: root folders: /sys of the template is no plain folder" in vm.words(), vm.words()


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return 0
    if not pathlib.Path("/usr/bin/qemu-system-x86_64").exists():
        print("1..0 # SKIP needs QEMU (tools/deps run)")
        return 0
    tap = Tap()
    started = time.monotonic()
    rig = Rig()
    try:
        if tap.case("a root for QEMU is prepared and named", prepared, rig):
            tap.case("in it are plain files of root, and QEMU runs", is_plain, rig)
            tap.case("the initramfs holds programs, modules and the console", initrd_is_complete, rig)
            tap.case("preparing again changes nothing, and removes what a killed one left", unchanged, rig)
            tap.case("another program is another id, the old folder stays", changed, rig)
            tap.case("without a kernel nothing is published", without_kernel, rig)
            tap.case("the disk is the template", image_holds, rig)
            tap.case("a machine boots to silica-envd and is what a sandbox is", boots, rig)
            tap.case("a template with a link for a folder is refused", link_is_refused, rig)
    finally:
        shutil.rmtree(rig.top)
    print(f"# {time.monotonic() - started:.0f} s")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
