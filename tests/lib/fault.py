"""What tests of crashes share: a server of the build with crash points (src/base/crash.h), and what is there
of it, in a form in which two moments can be compared.
"""

import collections
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import threading

import abuse
import silica

PROGRAMS = pathlib.Path(os.environ.get("SILICA_CRASH_BUILD") or silica.BUILD / "crash" / "bin")
DRIVER = "microvm" if silica.MICROVM else "container"
POOL = silica.POOL if silica.MICROVM else 0  # machines that wait
LIMIT_S = 240 if DRIVER == "microvm" else 60  # for a template to boot where a processor is emulated
ID = re.compile(r"i[a-z0-9]{20}")


def points():
    """{name: (program, place)} of all crash points."""
    done = subprocess.run([str(silica.ROOT / "tools" / "crash-points")], stdin=subprocess.DEVNULL, check=True,
                          capture_output=True, text=True, timeout=60)
    return {name: (program, place) for name, program, place in map(str.split, done.stdout.splitlines())}


class Rig:
    """One server. `order` tells a point what to do; `shape` and `settled` tell whether all is as before."""

    def __init__(self, programs=PROGRAMS, driver=DRIVER):
        if driver == "microvm":
            silica.machines()  # by the ordinary build's programs, which guests of this one run too
        silica.BUILD = programs
        self.driver = driver
        self.server = silica.Server(driver=driver)
        self.server.arguments += ["--config", str(self._config())]
        self.file = self.server.data / "state" / "crash"
        self.told = self.server.data / "state" / "crash.reached"
        self.base = None

    def _config(self):
        path = self.server.data / "silica.conf"
        path.write_text(f"[microvm]\npool = {silica.POOL}\nidle_s = 0\n")
        path.chmod(0o644)
        return path

    def __enter__(self):
        os.environ["SILICA_CRASH"] = str(self.file)
        self.server.__enter__()
        self.create().kill()  # what is made once is there now: an empty disk of the size, a snapshot
        self.rebase()
        return self

    def __exit__(self, *how):
        self.forget_order()
        self.server.__exit__(*how)

    def restart(self):
        self.server.stop()
        self.server.start()
        self.create().kill()
        self.rebase()

    # --- what a test does ----------------------------------------------------------------------

    def create(self, **fields):
        box = abuse.Sandbox(self.server, **fields)
        try:
            box.run_true()
        except BaseException:
            box.client.close()
            raise
        return box

    def order(self, action, name):
        self.told.unlink(missing_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(f"{action} {name}\n")
        new.chmod(0o644)
        new.rename(self.file)

    def forget_order(self):
        self.file.unlink(missing_ok=True)
        self.told.unlink(missing_ok=True)

    def reached(self):
        """The process that a point was reached by, or 0."""
        try:
            words = self.told.read_text().split()
            return int(words[1]) if len(words) == 2 else 0
        except OSError:
            return 0

    def ask(self, method, path, body=None):
        """A request in the background, whose answer may never come."""
        return Asked(self.server, method, path, body)

    def pid(self, name):
        """Of a daemon; 0 while there is none."""
        try:
            supervisor = self.server.process.pid
            children = pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
            return next((int(pid) for pid in children
                         if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name), 0)
        except OSError:
            return 0

    def is_up(self):
        return self.pid("silicad") and self.pid("silica-priv") and silica.is_healthy(self.server.url)

    def first_processes(self):
        """What was cloned for sandboxes and machines: in their groups, or still a child of silica-priv."""
        priv = self.pid("silica-priv")
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                group = (folder / "cgroup").read_text()
            except OSError:
                continue
            inside = re.search(rf"/silica-{self.server.instance}/{ID.pattern}", group) is not None
            if inside or (int(stat[1]) == priv and stat[0] != "Z"):
                yield int(folder.name)

    def kill_all_first(self):
        """SIGKILL for all of them; returns how many there were."""
        pids = list(self.first_processes())
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return len(pids)

    def spoil_snapshot(self):
        """As if it had been made by another version: the next clone finds that it does not fit."""
        for manifest in (self.server.data / "machine" / "snapshots").glob("*/manifest"):
            if not manifest.parent.name.startswith("."):
                manifest.write_text(manifest.read_text().replace("format 1\n", "format 0\n"))

    # --- what is there -------------------------------------------------------------------------

    def facts(self):
        data, number = str(self.server.data), str(self.server.instance)
        done = subprocess.run([str(silica.ROOT / "tools" / "leaks"), "snapshot", "--instance", number, "--data", data],
                              stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True, timeout=60)
        lines = done.stdout.splitlines()
        if (self.server.data / "machine" / "snapshots").is_dir():
            lines += [f"kept {path}" for path in (self.server.data / "machine" / "snapshots").rglob("*")]
        return lines + [f"disk {name}" for name in self.disks()]

    def disks(self):
        """The images, also where they lie in a pool that is mounted nowhere: silica-priv has its folder open."""
        try:
            for link in pathlib.Path(f"/proc/{self.pid('silica-priv')}/fd").iterdir():
                names = os.listdir(link) if link.is_dir() else []
                if any(name.endswith(".img") and name.startswith(("empty-", "kept-")) for name in names):
                    return names
        except OSError:
            pass  # it is just ending
        return []

    def shape(self):
        """The facts without names and numbers, counted."""
        counts = collections.Counter()
        for line in self.facts():
            line = ID.sub("ID", line)
            counts[re.sub(r"\d+", "N", line) if line.startswith(("link", "nft", "loop", "mount")) else line] += 1
        return counts

    def rebase(self):
        """Takes what is there as what should be, once it has been the same for a while."""
        seen = []

        def is_quiet():
            seen.append(self.shape())
            return self.waiting() == POOL and len(seen) > 3 and \
                seen[-1] == seen[-2] == seen[-3]
        silica.wait_until(is_quiet, LIMIT_S, "it is quiet", 0.4)
        self.base = seen[-1]

    def grouped(self):
        """The ids of all that live, sandboxes and machines that wait, by their control groups."""
        lines = [line for line in self.facts() if line.startswith("cgroup ")]
        return {m.group() for line in lines for m in [ID.search(line)] if m}

    def waiting(self):
        return len(self.grouped() - self.listed())

    def listed(self):
        status, body = self.server.request("GET", "/v2/sandboxes")
        assert status == 200, (status, body)
        return {s["sandboxID"] for s in body}

    def rows(self):
        db = sqlite3.connect(f"file:{self.server.data}/state/silica.db?mode=ro", uri=True)
        try:
            return {row[0] for row in db.execute("SELECT id FROM sandboxes")}
        finally:
            db.close()

    def check_rows(self):
        """What is listed is what has a row and lives; of others, machines that wait alone are there."""
        def agree():
            listed, rows, living = self.listed(), self.rows(), self.grouped()
            others = len(living - listed)
            return listed == rows and listed <= living and others <= POOL
        try:
            silica.wait_until(agree, LIMIT_S, "rows are what lives", 0.2)
        except TimeoutError:
            raise AssertionError(f"listed {self.listed()}, rows {self.rows()}, living {self.grouped()}") from None

    def check_listed_answer(self):
        for id_ in self.listed():
            status, info = self.server.request("GET", f"/sandboxes/{id_}")
            if status == 404:
                continue  # its end came meanwhile
            assert status == 200, (id_, status, info)
            box = abuse.Sandbox.__new__(abuse.Sandbox)
            box.take(self.server, abuse.Client(self.server), info)
            try:
                box.run_true()
            except (OSError, RuntimeError):
                # Its first process may just have been killed: then it is to be gone.
                silica.wait_until(lambda path=f"/sandboxes/{id_}": self.server.request("GET", path)[0] == 404, 10,
                                  f"{id_}, which does not answer, is gone")
            finally:
                box.client.close()

    def kill_listed(self):
        for id_ in self.listed():
            status, body = self.server.request("DELETE", f"/sandboxes/{id_}")
            assert status in (204, 404), (id_, status, body)

    def check_shape(self):
        """As it was before anything happened, and it stays so: machines that nobody knows could stand where those
        that wait belong, until these are there as well."""
        looks = collections.deque(maxlen=4 if self.driver == "microvm" else 2)

        def is_as_before():
            looks.append(self.shape() == self.base)
            return all(looks) and len(looks) == looks.maxlen
        try:
            silica.wait_until(is_as_before, LIMIT_S, "all is as before", 0.5 if self.driver == "microvm" else 0.2)
        except TimeoutError:
            now = self.shape()
            lines = [f"+ {n} {line}" for line, n in (now - self.base).items()]
            lines += [f"- {n} {line}" for line, n in (self.base - now).items()]
            raise AssertionError("left, or missing:\n" + "\n".join(sorted(lines))) from None


class Asked:
    """A request that another thread has sent. status is 0 when the connection broke."""

    def __init__(self, server, method, path, body):
        self.status, self.body, self.trouble = 0, None, ""
        self.arguments = (server, method, path, body)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        server, method, path, body = self.arguments
        try:
            self.status, self.body = server.request(method, path, body, timeout=LIMIT_S)
        except OSError as e:
            self.trouble = type(e).__name__
        except ValueError as e:  # an answer that was cut
            self.trouble = str(e)
        except Exception as e:  # pylint: disable=broad-except  # http.client's are no OSErrors
            self.trouble = type(e).__name__

    def join(self):
        self.thread.join(LIMIT_S + 10)
        assert not self.thread.is_alive(), "the request was never answered"
        return self

    def __str__(self):
        if self.status == 0:
            return f"no answer ({self.trouble})"
        message = (self.body or {}).get("message", "") if isinstance(self.body, dict) else ""
        return f"{self.status} {message}".strip()
