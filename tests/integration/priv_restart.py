#!/usr/bin/env python3
"""The whole server when silica-priv is killed: requests wait for its return, sandboxes live, ends are noticed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "security", "lib"), os.path.join(HERE, "..", "lib")]
import harness  # noqa: E402
import silica  # noqa: E402

TEMPLATES = os.environ.get("SILICA_TEST_TEMPLATES", "/var/lib/silica/templates")
DEADLINE_S = silica.limit(60)


def until(condition):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if (result := condition()) is not None:
            return result
        time.sleep(0.05)
    return None


class Server:
    """silica serve in a data folder of the test's own."""

    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="silica-test-", dir="/var/tmp")
        os.chmod(self.data, 0o755)
        self.silica = harness.build_file("silica")
        if silica.MICROVM:
            silica.give_machines(self.data)
        self.log = open(os.path.join(self.data, "serve.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [self.silica, "serve", "--data", self.data, "--templates", TEMPLATES, "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until(lambda: True if "ready on" in self.text() or self.process.poll() is not None else None)
        address = re.search(r"ready on (http://\S+)", self.text())
        if address is None:
            raise RuntimeError("silica serve is not ready:\n" + self.text())
        out = subprocess.run([self.silica, "env", "--data", self.data], stdin=subprocess.DEVNULL, check=True,
                             capture_output=True, text=True).stdout
        self.env = {**os.environ, **dict(re.findall(r"export (\w+)='([^']*)'", out))}

    def text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def run(self, *words):
        done = subprocess.run([self.silica, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=self.env, timeout=DEADLINE_S, check=False)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def ids(self):
        return re.findall(r"\bi[a-z0-9]{20}\b", self.run("sandbox", "list")[1])

    def helper(self):
        """The pid of its silica-priv, waiting for one."""
        def find():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        words = f.read().split(b"\0")
                except OSError:
                    continue
                if words[0].endswith(b"silica-priv") and self.data.encode() in words:
                    return int(pid)
            return None
        return until(find)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = self.process.wait(DEADLINE_S)
        self.log.close()
        shutil.rmtree(self.data, ignore_errors=True)
        return status


def main():
    harness.need_root()
    if not os.path.exists(os.path.join(TEMPLATES, "aliases", "base")):
        harness.skip_all(f"no base template in {TEMPLATES}")
    tap, s = harness.Tap(), Server()
    try:
        code, first, why = s.run("sandbox", "create")
        tap.equal(code, 0, "a sandbox is created " + why)
        os.kill(s.helper(), signal.SIGKILL)
        code, second, why = s.run("sandbox", "create")
        tap.equal(code, 0, "the next create waits for the helper's return " + why)
        tap.equal(sorted(s.ids()), sorted([first, second]), "and the first sandbox lives")
        helper = s.helper()
        with open(os.path.join(s.data, "run/sandboxes", first), encoding="ascii") as f:
            init = int(f.read().split()[0])
        os.kill(helper, signal.SIGSTOP)
        os.kill(init, signal.SIGKILL)
        os.kill(helper, signal.SIGKILL)
        tap.ok(until(lambda: True if s.ids() == [second] else None),
               "an end that nobody saw is noticed after the helper's return")
        code, _, why = s.run("sandbox", "kill", second)
        tap.equal((code, s.ids()), (0, []), "an adopted sandbox is killed " + why)
    finally:
        if tap.failed:
            print("# " + s.text().replace("\n", "\n# "))
        tap.equal(s.close(), 0, "the server ends well")
    tap.end()


main()
