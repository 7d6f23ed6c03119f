#!/usr/bin/env python3
"""GET /metrics of a sandbox tells of the sandbox and not of the host: its limits, and what its processes use."""

import http.client
import json
import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60
MIB = 1 << 20
USED_MIB = 200
HOG = f"import time; x = bytearray({USED_MIB} << 20); print('held', flush=True); time.sleep(300)"


class Guest:
    """A sandbox and its envd, reached through the edge by header."""

    def __init__(self, server):
        self.server = server
        status, self.info = server.request("POST", "/v2/sandboxes", {"templateID": "base"})
        assert status == 201, (status, self.info)

    def open(self, method, path, body=None, content_type=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT_S)
        headers = {"E2b-Sandbox-Id": self.info["sandboxID"], "E2b-Sandbox-Port": "49983",
                   "X-Access-Token": self.info["envdAccessToken"]}
        if content_type:
            headers["Content-Type"] = content_type
        conn.request(method, path, body, headers)
        return conn, conn.getresponse()

    def metrics(self):
        conn, answer = self.open("GET", "/metrics")
        text = answer.read()
        conn.close()
        assert answer.status == 200, (answer.status, text)
        return json.loads(text)

    def hold_memory(self):
        request = json.dumps({"process": {"cmd": "python3", "args": ["-c", HOG]}}).encode()
        conn, answer = self.open("POST", "/process.Process/Start",
                                 struct.pack(">BI", 0, len(request)) + request,
                                 "application/connect+json")
        seen = b""
        while b'"stdout"' not in seen:
            piece = answer.read1(65536)
            assert piece, seen
            seen += piece
        return conn


def limits_are_the_sandboxs(server, guest):
    host_bytes = next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo", encoding="ascii")
                      if line.startswith("MemTotal:"))
    status, detail = server.request("GET", f"/sandboxes/{guest.info['sandboxID']}")
    assert status == 200, detail
    told = guest.metrics()
    limit = min(detail["memoryMB"] * MIB, host_bytes)
    least = limit * 7 // 8 if silica.MICROVM else limit  # a machine's kernel keeps some for itself
    assert least <= told["mem_total"] <= limit, (told, detail)
    assert told["cpu_count"] <= detail["cpuCount"], (told, detail)


def memory_in_use_is_the_sandboxs(guest):
    before = guest.metrics()["mem_used"]
    assert before < USED_MIB * MIB, before
    conn = guest.hold_memory()
    after = guest.metrics()["mem_used"]
    conn.close()
    assert after - before > USED_MIB * MIB * 9 // 10, (before, after)


def processor_time_is_the_sandboxs(guest):
    """The host may be as busy as it likes: a sandbox whose processes sleep uses nearly nothing."""
    guest.metrics()
    end = time.monotonic() + 1
    while time.monotonic() < end:  # keeps a core of the host busy
        pass
    assert guest.metrics()["cpu_used_pct"] < 20


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        guest = Guest(server)
        t.case("limits", limits_are_the_sandboxs, server, guest)
        t.case("memory in use", memory_in_use_is_the_sandboxs, guest)
        t.case("processor time", processor_time_is_the_sandboxs, guest)
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
