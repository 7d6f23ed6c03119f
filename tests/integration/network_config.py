#!/usr/bin/env python3
"""The network's limits from the configuration file to the firewall of a sandbox, and the API's switch."""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402


def rules_inside(server, sandbox):
    """Of the namespace that the sandbox's first process is in; its control group bears the id."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"/silica-{server.instance}/{sandbox}/" not in (folder / "cgroup").read_text():
                continue
        except OSError:
            continue
        return subprocess.run(["nsenter", "-t", folder.name, "-n", "nft", "list", "ruleset"], check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    raise AssertionError("no process of the sandbox was found")


def create(server, **fields):
    status, body = server.request("POST", "/sandboxes", {"templateID": "base", "timeout": 600, **fields})
    assert status == 201, (status, body)
    return body["sandboxID"]


def limited(server):
    rules = rules_inside(server, create(server))
    assert rules.count("limit rate over 1 mbytes/second") + rules.count("limit rate over 1000000 bytes/second") == 2, rules


def unlimited(server):
    rules = rules_inside(server, create(server))
    assert "bytes/second" not in rules and "packets drop" in rules, rules


def closed(server):
    rules = rules_inside(server, create(server, allow_internet_access=False))
    assert "dport 53" not in rules and "goto fresh" not in rules, rules


def with_rate(mbit, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(f"[sandbox]\nnetwork_mbit = {mbit}\n")
        f.flush()
        with silica.Server(arguments=["--config", f.name]) as server:
            for name, case in cases:
                t.case(name, case, server)


if os.geteuid() != 0:
    print("1..0 # SKIP needs root")
    sys.exit(0)
t = tap.Tap()
with_rate(8, [("8 megabits are a million bytes a second each way", limited), ("no internet, no way out", closed)])
with_rate(0, [("0 is no limit of bytes", unlimited)])
sys.exit(t.done())
