#!/usr/bin/env python3
# timeout: 400
"""The supervisor and the commands: locks, restarts, the two ways to stop, silica run, keys, env."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60


def cli(server, *arguments, stdin=b"", env=None, limit=LIMIT_S):
    return subprocess.run([str(silica.BUILD / "silica"), *arguments], input=stdin,
                          capture_output=True, timeout=limit, check=False,
                          env=env or server.env)


def run(server, *arguments, stdin=b""):
    done = cli(server, "run", *arguments, stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def children(server):
    """name -> pid of the supervisor's own children."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)
            if int(fields[1].split()[1]) == server.process.pid:
                found[fields[0].split("(", 1)[1]] = int(entry.name)
        except (OSError, IndexError, ValueError):
            continue
    return found


def is_stopped(pid):
    """SIGSTOP has reached every thread."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def has_pending(pid, sig):
    """The signal was sent to the process and not delivered yet."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    pending = next(line for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending.split()[1], 16) >> (sig - 1) & 1)


def knows_it_is_ready(server):
    """The supervisor finds out by itself, perhaps after we did."""
    log = server.log_path.read_text()
    return log.rfind("silica: ready on") > log.rfind("silica info: instance")


def count(server):
    status, body = server.request("GET", "/v2/sandboxes")
    assert status == 200, (status, body)
    return len(body)


def run_passes_everything(server):
    assert run(server, "--", "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    assert run(server, "--", "cat", stdin=b"a\0b" * 50000) == (0, b"a\0b" * 50000, b"")
    assert run(server, "-e", "A=x y", "--", "sh", "-c", 'echo "$A"')[1] == b"x y\n"
    assert run(server, "--", "sh", "-c", "kill -9 $$")[0] == 137
    assert run(server, "--timeout", "3", "--", "sh", "-c", "echo a; exec sleep 100")[:2] \
        == (124, b"a\n")
    assert run(server, "--template", "nosuch", "--", "true")[0] == 125
    assert run(server)[0] == 2
    assert count(server) == 0, "run left a sandbox"


def run_ends_by_signal(server):
    for number in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen(
            [str(silica.BUILD / "silica"), "run", "--", "sh", "-c", "echo up; sleep 1000"],
            env=server.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"up\n"
        child.send_signal(number)
        assert child.wait(LIMIT_S) == 128 + number
        child.stdout.close()
        assert count(server) == 0, "the sandbox lives on"


def keys_take_effect(server):
    data = ["--data", str(server.data)]
    made = json.loads(cli(server, "key", "create", "spare", "--json", *data).stdout)
    env = {**server.env, "E2B_API_KEY": made["key"]}
    assert cli(server, "sandbox", "list", env=env).returncode == 0
    assert cli(server, "key", "revoke", "spare", *data).returncode == 0
    assert cli(server, "sandbox", "list", env=env).returncode == 3
    assert cli(server, "key", "revoke", "spare", *data).returncode == 4
    text = (server.data / "credentials").stat()
    assert stat.S_IMODE(text.st_mode) == 0o600 and text.st_uid == 0
    for name, mode in (("instance", 0o600), ("sandboxes", 0o700), ("state", 0o700), ("run/sandboxes", 0o700)):
        assert stat.S_IMODE((server.data / name).stat().st_mode) == mode, f"{name} is open to others"
    everything = b"".join(p.read_bytes() for p in (server.data / "state").iterdir())
    assert made["key"].encode() not in everything, "the key itself is in the database"


def sandbox_commands(server):
    sandbox = cli(server, "sandbox", "create", "-m", "who=me", "--timeout", "60").stdout.decode()
    sandbox = sandbox.strip()
    listed = json.loads(cli(server, "sandbox", "list", "--json", "-m", "who=me").stdout)
    assert [s["sandboxID"] for s in listed] == [sandbox]
    assert json.loads(cli(server, "sandbox", "list", "--json", "-m", "who=you").stdout) == []
    info = json.loads(cli(server, "sandbox", "info", sandbox, "--json").stdout)
    assert info["state"] == "running" and info["metadata"] == {"who": "me"}
    assert cli(server, "sandbox", "kill", sandbox).returncode == 0
    assert cli(server, "sandbox", "info", sandbox).returncode == 4


def second_server_is_refused(server):
    port = str(silica.free_port())
    done = cli(server, "serve", "--data", str(server.data), "--templates", server.templates,
               "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1 and b"already runs" in done.stderr, done
    elsewhere = server.data / "elsewhere"
    done = cli(server, "serve", "--data", str(elsewhere), "--templates", server.templates,
               "--listen", f"127.0.0.1:{server.port}")
    assert done.returncode == 1 and b"in use" in done.stderr, done


def refusals(server):
    for arguments, word in (
            (["--listen", "0.0.0.0:1"], b"--insecure"), (["--tls"], b"--tls"),
            (["--driver", "x"], b"unknown driver"),
            (["--listen", "nonsense"], b"--listen"), (["--nosuch"], b"--nosuch"),
            (["--data"], b"--data")):
        done = cli(server, "serve", *arguments)
        assert done.returncode == 2 and word in done.stderr, (arguments, done)


def commands_say_what_to_do(server):
    nowhere = str(server.data / "nowhere")
    for command in (["env"], ["key", "list"]):
        done = cli(server, *command, "--data", nowhere)
        assert done.returncode == 4 and b"silica serve" in done.stderr, done
        done = subprocess.run([str(silica.BUILD / "silica"), *command, "--data", str(server.data)], user=65534,
                              group=65534, extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=LIMIT_S, check=False)
        assert done.returncode == 3 and b"sudo" in done.stderr, done
    env = {**server.env, "E2B_API_URL": f"http://127.0.0.1:{silica.free_port()}"}
    done = cli(server, "sandbox", "list", env=env)
    assert done.returncode == 5 and b"silica serve" in done.stderr and done.stdout == b"", done


def crash_of(name):
    def case(server):
        sandbox = cli(server, "sandbox", "create").stdout.decode().strip()
        pid = children(server)[name]
        os.kill(pid, signal.SIGKILL)
        silica.wait_until(lambda: children(server).get(name) not in (None, pid), LIMIT_S,
                          f"{name} is started again")
        silica.wait_until(lambda: silica.is_healthy(server.url), LIMIT_S, "it answers again")
        info = json.loads(cli(server, "sandbox", "info", sandbox, "--json").stdout)
        assert info["state"] == "running"
        silica.wait_until(lambda: run(server, "--", "true")[0] == 0, LIMIT_S, "run works again")
        assert cli(server, "sandbox", "kill", sandbox).returncode == 0
    return case


def term_leaves_sandboxes(server):
    sandbox = cli(server, "sandbox", "create").stdout.decode().strip()
    exports = dict(server.exports)
    server.stop(signal.SIGTERM)
    server.start()
    assert server.exports == exports, "the credentials changed"
    info = json.loads(cli(server, "sandbox", "info", sandbox, "--json").stdout)
    assert info["state"] == "running"


def death_takes_the_children(server):
    pids = children(server)
    assert set(pids) == {"silicad", "silica-priv", "silica-dns"}, pids
    server.process.kill()
    server.process.wait()
    for name, pid in pids.items():
        silica.wait_until(lambda p=pid: not pathlib.Path(f"/proc/{p}").exists(), LIMIT_S,
                          f"{name} ends with its supervisor")
    server.start()
    assert count(server) == 1, "the sandbox was lost"


def interrupt_while_silicad_is_down(server):
    cli(server, "sandbox", "create")
    os.kill(children(server)["silicad"], signal.SIGKILL)
    server.stop(signal.SIGINT)
    assert list((server.data / "sandboxes").iterdir()) == []
    server.start()
    assert count(server) == 0
    cli(server, "sandbox", "create")


def interrupt_and_silicad_dies(server):
    """It dies of something else after it was told to end everything, before it could."""
    silica.wait_until(lambda: knows_it_is_ready(server), LIMIT_S, "the supervisor is done with starting")
    cli(server, "sandbox", "create")
    silicad = children(server)["silicad"]
    os.kill(silicad, signal.SIGSTOP)
    try:
        silica.wait_until(lambda: is_stopped(silicad), LIMIT_S, "silicad does not run")
        server.process.send_signal(signal.SIGINT)
        silica.wait_until(lambda: has_pending(silicad, signal.SIGINT), LIMIT_S, "silicad is told to end")
    finally:
        os.kill(silicad, signal.SIGKILL)
    server.stop(signal.SIGINT)
    assert list((server.data / "sandboxes").iterdir()) == []
    server.start()
    cli(server, "sandbox", "create")


def interrupt_ends_all(server):
    assert count(server) == 1
    pids = children(server)
    server.stop(signal.SIGINT)
    assert not any(pathlib.Path(f"/proc/{p}").exists() for p in pids.values())
    assert list((server.data / "sandboxes").iterdir()) == []


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    server = silica.Server()
    t.case("serve starts", server.start)
    if server.exports:
        for name, body in (
                ("run passes arguments, stdin, output, status", run_passes_everything),
                ("run ends by a signal and takes its sandbox along", run_ends_by_signal),
                ("sandbox create, list, info, kill", sandbox_commands),
                ("key create and revoke take effect", keys_take_effect),
                ("a second server on the folder or port is refused", second_server_is_refused),
                ("serve names what it refuses", refusals),
                ("commands without a server say what to do", commands_say_what_to_do),
                ("silicad killed: started again, sandboxes live", crash_of("silicad")),
                ("silica-priv killed: started again, sandboxes live", crash_of("silica-priv")),
                ("silica-dns killed: started again, sandboxes live", crash_of("silica-dns")),
                ("SIGTERM leaves sandboxes to the next start", term_leaves_sandboxes),
                ("SIGKILL takes the children along, not the sandboxes", death_takes_the_children),
                ("SIGINT while silicad is down", interrupt_while_silicad_is_down),
                ("SIGINT, and silicad dies of it", interrupt_and_silicad_dies),
                ("SIGINT ends everything", interrupt_ends_all)):
            t.case(name, body, server)
    if server.process and server.process.poll() is None:
        t.case("the server stops", server.stop)
    t.case("nothing is left", leaks.check, server)
    if t.failed:
        print("\n".join("# " + line for line in server.log_tail().splitlines()))
    server.remove()
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
