"""What the measuring programs share: a raw HTTP client of one server, tables of rows, the machine."""

import base64
import http.client
import json
import os
import pathlib
import platform
import struct
import time

CHUNK_BYTES = 1 << 20
ENVD_PORT = 49983
USER = "Basic " + base64.b64encode(b"user:").decode()


class Client:
    """One connection, kept alive, to the server's only port."""

    def __init__(self, server):
        self.key = server.exports["E2B_API_KEY"]
        self.connection = http.client.HTTPConnection(server.address, server.port, timeout=300)

    def api(self, method, path, body=None):
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def create(self):
        return self.api("POST", "/sandboxes", {"templateID": "base", "timeout": 600, "secure": True})

    def kill(self, sandbox):
        self.api("DELETE", f"/sandboxes/{sandbox['sandboxID']}")

    @staticmethod
    def guest_headers(sandbox):
        return {"E2b-Sandbox-Id": sandbox["sandboxID"], "E2b-Sandbox-Port": str(ENVD_PORT),
                "X-Access-Token": sandbox["envdAccessToken"], "Authorization": USER}

    def events(self, sandbox, command, args=()):
        """Start a process; yields each event's JSON as it arrives."""
        start = json.dumps({"process": {"cmd": command, "args": list(args)}, "stdin": False}).encode()
        headers = {"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1",
                   **self.guest_headers(sandbox)}
        self.connection.request("POST", "/process.Process/Start",
                                struct.pack("!BI", 0, len(start)) + start, headers)
        answer = self.connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"Start: {answer.status} {answer.read()!r}")
        while len(head := answer.read(5)) == 5:
            flags, size = struct.unpack("!BI", head)
            message = json.loads(answer.read(size))
            if flags & 2:
                if "error" in message:
                    raise RuntimeError(f"Start: {message['error']}")
                answer.read()
                return
            yield message["event"]

    def upload(self, sandbox, path, size):
        part = os.urandom(CHUNK_BYTES)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size),
                   **self.guest_headers(sandbox)}
        body = (part for _ in range(size // CHUNK_BYTES))
        self.connection.request("POST", f"/files?path={path}&username=user", body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"upload: {answer.status} {text!r}")

    def download(self, sandbox, path):
        self.connection.request("GET", f"/files?path={path}&username=user",
                                headers=self.guest_headers(sandbox))
        answer = self.connection.getresponse()
        size = 0
        while part := answer.read(CHUNK_BYTES):
            size += len(part)
        if answer.status != 200:
            raise RuntimeError(f"download: {answer.status}")
        return size


def timed(function, *args):
    started = time.perf_counter()
    result = function(*args)
    return (time.perf_counter() - started) * 1000, result


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, unit, values):
        values = sorted(values)
        n = len(values)
        row = {"name": name, "unit": unit, "n": n, "min": values[0],
               "median": (values[(n - 1) // 2] + values[n // 2]) / 2,
               "p99": values[min(n - 1, -(-99 * n // 100) - 1)], "max": values[-1]}
        self.rows.append(row)
        print(f"{name:34} {row['median']:10.1f} {row['p99']:10.1f} {row['min']:10.1f} "
              f"{row['max']:10.1f}  {unit:5} n={n}", flush=True)


def head():
    print(f"{'':34} {'median':>10} {'p99':>10} {'min':>10} {'max':>10}")


def first_output(client, sandbox):
    events = client.events(sandbox, "/bin/echo", ["hello"])
    for event in events:
        if "data" in event:
            break
    else:
        raise RuntimeError("the command printed nothing")
    now = time.perf_counter()
    for event in events:
        pass
    return now


def run_command(client, sandbox, *command):
    end = [e for e in client.events(sandbox, command[0], command[1:]) if "end" in e]
    if len(end) != 1 or end[0]["end"].get("exitCode", 0) != 0:
        raise RuntimeError(f"{command} ended with {end}")


def pss_kib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii",
                  errors="replace") if line.startswith("model name")), "unknown processor")
    memory = int(open("/proc/meminfo", encoding="ascii").readline().split()[1]) >> 20
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": memory,
            "kernel": platform.release(), "load": [round(x, 2) for x in os.getloadavg()]}


def print_machine(when, facts):
    print(f"{when}: {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Linux "
          f"{facts['kernel']}, load {' '.join(map(str, facts['load']))}")
