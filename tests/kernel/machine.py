"""What the kernel tests boot: Debian's kernel, an initramfs with init.c, a disk of this host's programs.

Nothing is installed for it but packages: the kernel is downloaded by apt and unpacked below
build/cache/kernel. The disk holds the programs of PROGRAMS with the libraries that ldd names, Python,
the tree's tests and tools, what was built, the kernel's modules, and a template `base` of the same
files. It is made anew for every run, so it is always what the tree is now.
"""

import gzip
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SILICA_BUILD") or ROOT / "build").resolve()
CACHE = ROOT / "build" / "cache" / "kernel"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
DISK_MIB = 4096  # sparse; silica-priv makes no sandbox on a disk that is low
APT_LIMIT_S = 180
FIRST_MODULES = ("virtio_pci", "virtio_blk", "loop")  # the rest is loaded when somebody asks for it
MODULE_FOLDERS = ("drivers/block", "drivers/net", "drivers/virtio", "fs", "lib", "net", "crypto", "arch")
BUILT = ("silica", "silicad", "silica-priv", "silica-dns", "silica-envd", "security-probe", "security-abuser")
PROGRAMS = """bash grep id ip kill kmod mke2fs mkfs.btrfs mkfs.ext4 mkfs.xfs mount nft nsenter ps python3 setpriv sh
    umount unshare""".split()
TEMPLATE_PROGRAMS = """bash cat chmod cp date dd echo env false getent head id kill ls mkdir mv rm seq sh sleep sort stat
    tail test touch true uname wc python3""".split()
TEMPLATE_ID = "kerneltests000000000"
TEMPLATE = {"id": TEMPLATE_ID, "alias": "base", "buildId": "00000000-0000-4000-8000-000000000000",
            "cpuCount": 1, "memoryMB": 256, "diskMB": 1024, "createdAt": "2026-01-01T00:00:00Z",
            "envdVersion": "0.6.13"}
ETC = {"passwd": "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n"
                 "nobody:x:65534:65534::/nonexistent:/bin/false\n",
       "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
       "hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.53\n"}
SEARCH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Unavailable(Exception):
    """The machine cannot be made here; the text says what is missing."""


def run(*command, limit=120, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
                          timeout=limit, **options).stdout


def find_program(name):
    for folder in SEARCH:
        path = pathlib.Path(folder, name)
        if path.is_file():
            return path
    raise Unavailable(f"no program {name}: tools/deps kernel installs it")


# --- the kernel ------------------------------------------------------------------------------------


def kernel_name():
    """The package that the name without a version stands for now."""
    for line in run("apt-cache", "depends", KERNEL_PACKAGE).splitlines():
        found = re.match(r"\s*Depends: (linux-image-6\.1\.\S+)", line)
        if found:
            return found.group(1)
    raise Unavailable(f"apt knows no {KERNEL_PACKAGE} of version 6.1")


def download_kernel(name, folder):
    """Unpacks the package into folder; it is not installed, and no script of it runs."""
    fresh = CACHE / "part"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    run("apt-get", "-q", "download", name, cwd=fresh, limit=APT_LIMIT_S)
    package = next(fresh.glob("*.deb"))
    run("dpkg-deb", "-x", str(package), str(fresh))
    package.unlink()
    version = next((fresh / "lib" / "modules").iterdir()).name
    run("depmod", "-b", str(fresh), version)
    fresh.rename(folder)


def kernel():
    """Returns the folder that Debian's kernel is unpacked in: the newest that apt knows, else one of before."""
    try:
        try:
            name = kernel_name()
        except (Unavailable, subprocess.SubprocessError):
            run("apt-get", "-q", "update", limit=APT_LIMIT_S)
            name = kernel_name()
        folder = CACHE / name
        if not folder.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            download_kernel(name, folder)
    except (OSError, Unavailable, subprocess.SubprocessError) as e:
        before = sorted(CACHE.glob("linux-image-6.1.*"), key=lambda path: path.stat().st_mtime)
        if before:
            return before[-1]
        text = (getattr(e, "stderr", None) or str(e)).strip().splitlines()
        raise Unavailable(f"the kernel package cannot be had: {text[-1] if text else e}") from e
    return folder


def module_order(modules, names):
    """Paths below modules of names and of all that they need, each after what it needs."""
    needs = {}
    for line in (modules / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    order = []

    def add(path):
        for other in needs[path]:
            add(other)
        if path not in order:
            order.append(path)

    for name in names:
        add(next(p for p in needs if pathlib.Path(p).name == f"{name}.ko"))
    return order


# --- the initramfs ---------------------------------------------------------------------------------


def cpio_entry(number, name, mode, data=b""):
    head = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    entry = b"070701" + b"".join(b"%08X" % field for field in head) + name.encode() + b"\0"
    entry += b"\0" * (-len(entry) % 4)
    return entry + data + b"\0" * (-len(data) % 4)


def make_initramfs(path, kernel_folder, init):
    modules = next((kernel_folder / "lib" / "modules").iterdir())
    order = module_order(modules, FIRST_MODULES)
    names = [f"{n:02}-{pathlib.Path(p).name}" for n, p in enumerate(order)]
    files = [("init", stat.S_IFREG | 0o755, init.read_bytes()),
             ("modules", stat.S_IFREG | 0o644, "".join(f"/{n}\n" for n in names).encode())]
    files += [(n, stat.S_IFREG | 0o644, (modules / p).read_bytes()) for n, p in zip(names, order)]
    archive = b"".join(cpio_entry(n, *entry) for n, entry in enumerate(files, 1))
    archive += cpio_entry(0, "TRAILER!!!", 0)
    path.write_bytes(gzip.compress(archive, 1))


# --- the disk --------------------------------------------------------------------------------------


class Tree:
    """A root file system under construction. Files are copied by their resolved content."""

    def __init__(self, top):
        self.top = top
        for folder in ("dev", "etc", "home/user", "proc", "root", "run", "silica", "sys", "tmp", "usr/bin",
                       "usr/lib", "usr/lib64", "usr/sbin", "var/lib/silica/templates/aliases", "var/tmp"):
            (top / folder).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (top / name).symlink_to(f"usr/{name}")
        for name in ("tmp", "var/tmp"):
            (top / name).chmod(0o1777)
        os.chown(top / "home/user", 1000, 1000)
        for name, text in ETC.items():
            (top / "etc" / name).write_text(text, encoding="ascii")

    def copy(self, source, target):
        path = self.top / str(target).lstrip("/")
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)

    def libraries(self, program):
        """What the dynamic linker will look for; nothing for a static program."""
        listing = subprocess.run(["ldd", str(program)], stdin=subprocess.DEVNULL, capture_output=True,
                                 text=True, check=False, timeout=60).stdout
        for path in re.findall(r"(/\S+) \(0x", listing):
            where = "usr/lib64" if "/ld-linux" in path else "usr/lib/x86_64-linux-gnu"
            self.copy(path, f"{where}/{pathlib.Path(path).name}")

    def program(self, name):
        path = find_program(name)
        self.copy(path, f"usr/{'sbin' if path.parent.name == 'sbin' else 'bin'}/{name}")
        self.libraries(path)

    def python(self):
        """The standard library without what is large and not for tests."""
        top = pathlib.Path(run("/usr/bin/python3", "-c", "import os; print(os.path.dirname(os.__file__))").strip())
        skip = shutil.ignore_patterns("test", "tests", "idlelib", "lib2to3", "tkinter", "dist-packages",
                                      "config-*", "ensurepip", "pydoc_data", "__pycache__")
        shutil.copytree(top, self.top / str(top).lstrip("/"), ignore=skip)
        for path in (top / "lib-dynload").glob("*.so"):
            self.libraries(path)
        # Compiled here: the machine is some twenty times slower.
        target = self.top / str(top).lstrip("/")
        run("/usr/bin/python3", "-m", "compileall", "-q", "-j", "2", "-s", str(self.top), "-p", "/", str(target),
            limit=300)


def copy_modules(tree, kernel_folder):
    modules = next((kernel_folder / "lib" / "modules").iterdir())
    target = tree.top / "usr/lib/modules" / modules.name
    for folder in MODULE_FOLDERS:
        if (modules / "kernel" / folder).is_dir():
            shutil.copytree(modules / "kernel" / folder, target / "kernel" / folder)
    for path in modules.glob("modules.*"):
        shutil.copy(path, target)
    run("depmod", "-b", str(tree.top / "usr"), modules.name)
    (tree.top / "usr/bin/modprobe").symlink_to("kmod")
    (tree.top / "usr/sbin/modprobe").symlink_to("../bin/kmod")  # where the kernel looks for it


def copy_silica(tree, find_built):
    for name in BUILT:
        path = find_built(name)
        tree.copy(path, f"silica/build/{name}")
        tree.libraries(path)
    for folder in ("docs", "tests/kernel", "tests/lib", "tests/integration", "tests/security", "tools"):
        shutil.copytree(ROOT / folder, tree.top / "silica" / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))


def coreutils():
    """All of them: tests call whatever they like."""
    for path in map(pathlib.Path, run("dpkg-query", "-L", "coreutils").splitlines()):
        if path.parent.name == "bin" and path.is_file():
            yield path.name


def make_template(top, work):
    template = Tree(work)
    for name in TEMPLATE_PROGRAMS:
        template.program(name)
    template.python()
    shutil.rmtree(work / "var/lib/silica")
    target = top / "var/lib/silica/templates"
    (target / TEMPLATE_ID).mkdir()
    work.rename(target / TEMPLATE_ID / "rootfs")
    (target / TEMPLATE_ID / "template.json").write_text(json.dumps(TEMPLATE) + "\n", encoding="ascii")
    (target / "aliases" / "base").write_text(TEMPLATE_ID + "\n", encoding="ascii")


def make_disk(path, work, kernel_folder, find_built):
    """An ext4 image at path; work is an empty folder on the same disk."""
    tree = Tree(work / "root")
    for name in (*PROGRAMS, *coreutils()):
        tree.program(name)
    tree.python()
    copy_modules(tree, kernel_folder)
    copy_silica(tree, find_built)
    make_template(tree.top, work / "template")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree.top), str(path), f"{DISK_MIB}M", limit=300)
