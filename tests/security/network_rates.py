#!/usr/bin/env python3
"""What a sandbox may do to the network and to the host's tables: bytes and packets a second, connections.

Bounds are far from the limits, so that a slow machine passes; speed is measured in bench/ only.
"""

import concurrent.futures
import os
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import outside  # noqa: E402
from outside import BULK_PORT, PORT, PUBLIC, SILENT_PORT, python_in, run  # noqa: E402

RATE = 1 << 20  # bytes a second of the limited sandbox
SECONDS = 6
LIVE_MAX, CLOSING_MAX, HOST_MAX = 2048, 524 + 100 * 5, 1024  # src/net/policy.h
PACKETS_PER_S, PACKETS_BURST = 40000, 10000
ENTRIES_MAX = LIVE_MAX + CLOSING_MAX + HOST_MAX

# Sends or takes as much as it can for so many seconds; prints how much.
TRANSFER = """
import socket, sys, time
way, host, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
s = socket.create_connection((host, port), 20)
s.settimeout(2)
s.sendall(way.encode())
n, end, data = 0, time.monotonic() + seconds, bytes(65536)
while time.monotonic() < end:
    try: n += s.send(data) if way == "u" else len(s.recv(1 << 20))
    except TimeoutError: pass
print(n)
"""

FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
n, end = 0, time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    for _ in range(1000):
        try: s.send(b"quiet"); n += 1
        except OSError: pass
print(n)
"""

# Many flows: N datagrams from N ports, or N connections that nobody answers; holds them until told.
FLOWS = """
import errno, resource, socket, sys, time
kind, host, port, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))
held, end = [], time.monotonic() + float(sys.argv[5])
for i in range(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.setblocking(False)
    try:
        s.sendto(b"quiet", (host, port)) if kind == "udp" else s.connect((host, port))
    except OSError: pass
    held.append(s)
while time.monotonic() < end:  # the refused ones again
    for s in held:
        try: s.sendto(b"quiet", (host, port)) if kind == "udp" else s.connect((host, port))
        except OSError: pass
    time.sleep(0.05)
"""

# Connects and closes as often as it can.
CHURN = """
import socket, sys, time
end = time.monotonic() + float(sys.argv[3])
n = 0
while time.monotonic() < end:
    s = socket.socket(); s.settimeout(0.2)
    try: s.connect((sys.argv[1], int(sys.argv[2]))); n += 1; s.close()
    except OSError: s.close()
print(n)
"""


def number(text):
    return int(text.split()[0]) if text.split() else -1


def answers_soon(h, inst):
    """The edge's way in: a new connection from the host's end, by the daemon's user."""
    try:
        return h.ask(inst, "connect 127.0.0.1 49983", timeout=30) == ["connect ok"]
    except OSError:
        return False


def transfers(tap, h, limited, free):
    for way, what in (("u", "out"), ("d", "in")):
        n = number(python_in(limited, TRANSFER, way, PUBLIC, str(BULK_PORT), str(SECONDS)))
        # a bucket of one second, and what lay in the sender's own buffers
        tap.ok(RATE * SECONDS * 0.2 < n < RATE * (SECONDS + 1) + (6 << 20), f"{what}: about 1 MiB a second passes",
               f"{n / SECONDS / RATE:.2f} MiB/s")
        n = number(python_in(free, TRANSFER, way, PUBLIC, str(BULK_PORT), str(SECONDS)))
        tap.ok(n > RATE * SECONDS * 5, f"{what}: without a limit more does", f"{n / SECONDS / RATE:.2f} MiB/s")
    tap.ok(answers_soon(h, limited), "the host still gets in")


def host_is_not_counted(tap, h, limited):
    """12 MiB through the link of a sandbox that has 1 MiB a second, between it and the host's end."""
    serve = ("import socket\ns=socket.create_server(('0.0.0.0',7000))\nprint('up',flush=True)\nc,_=s.accept()\nn=0\n"
             "while d:=c.recv(1<<20): n+=len(d)\nc.sendall(str(n).encode())")
    with subprocess.Popen(["nsenter", "-t", str(limited.pid), "-n", sys.executable, "-c", serve], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as p:
        p.stdout.readline()
        with harness.as_uid(h.uid):
            s = socket.socket()
        s.settimeout(60)
        s.connect((limited.addr, 7000))
        began = time.monotonic()
        sender = threading.Thread(target=lambda: (s.sendall(bytes(32 << 20)), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = s.recv(100)
        sender.join()
        took = time.monotonic() - began
        tap.ok(got == str(32 << 20).encode() and took < 20, "what the host sends does not count", f"{got} in {took:.1f} s")
        s.close()


def floods(tap, h, o, inst, other):
    most = PACKETS_PER_S * (SECONDS + 1) + PACKETS_BURST
    before = o.tell("count")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # a process each
        floods_of = [pool.submit(python_in, inst, FLOOD, PUBLIC, str(PORT), str(SECONDS)) for _ in range(2)]
        sent = sum(number(f.result()) for f in floods_of)
    passed = o.tell("count") - before
    skip = f" # SKIP this machine sends only {sent}" if sent <= most else ""
    tap.ok(sent > 0 and passed <= most, f"a flood of small packets is cut{skip}", f"{sent} sent, {passed} passed")
    tap.ok(answers_soon(h, inst), "the host gets in after it")
    tap.ok(h.ask(other, f"connect {PUBLIC} {PORT}")[0] == "connect ok", "a neighbour gets out")


def inside_entries(inst):
    return int(run("nsenter", "-t", str(inst.pid), "-n", "cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)


def host_entries(addr):
    """Connections that it made; the first source of a line is the one who did."""
    with open("/proc/net/nf_conntrack", encoding="ascii") as f:
        return sum(line.partition(" src=")[2].startswith(addr + " ") for line in f)


def tracking(tap, h, c, kind, port):
    """Fills a sandbox's share: what is tracked stays below the sum, and the host's end has its own."""
    inst = c.start()
    with subprocess.Popen(["nsenter", "-t", str(inst.pid), "-n", sys.executable, "-c", FLOWS, kind, PUBLIC, str(port),
                           "6000", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as p:
        most_inside = most_host = 0
        end = time.monotonic() + 30
        reached = 0
        while time.monotonic() < end:
            most_inside, most_host = max(most_inside, inside_entries(inst)), max(most_host, host_entries(inst.addr))
            reached += answers_soon(h, inst)
            time.sleep(0.5)
        p.kill()
    tap.ok(1000 < most_inside <= LIVE_MAX + CLOSING_MAX + 200, f"{kind}: the sandbox's own share is bounded",
           most_inside)
    tap.ok(1000 < most_host <= LIVE_MAX + CLOSING_MAX, f"{kind}: on the host too", most_host)
    tap.ok(reached > 0 and answers_soon(h, inst), f"{kind}: meanwhile and after it the host gets in", reached)
    c.stop(inst.id)
    tap.equal(host_entries(inst.addr), 0, f"{kind}: nothing is tracked for what ended")


def churn(tap, h, inst):
    """Short connections: the ended ones are forgotten soon."""
    made = number(python_in(inst, CHURN, PUBLIC, str(PORT), "15"))
    tap.ok(0 < made <= 524 + 100 * 17, "new connections are limited", made)
    n, on_host = inside_entries(inst), host_entries(inst.addr)
    tap.ok(n <= ENTRIES_MAX and on_host <= CLOSING_MAX, "and are not remembered for long", (n, on_host))
    end = time.monotonic() + 60
    while host_entries(inst.addr) > 50 and time.monotonic() < end:
        time.sleep(0.5)
    with open("/proc/net/nf_conntrack", encoding="ascii") as f:
        left = [line for line in f if f" src={inst.addr} " in line and "TIME_WAIT" in line]
    tap.ok(all(int(line.split()[4]) <= 5 for line in left), "five seconds on the host", left[:3])


def one_way(tap, o, inst):
    """A flow that nobody answers is one connection, however many packets it has."""
    before = o.tell("count")
    code = ("import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.connect((sys.argv[1],8080))\n"
            "for i in range(3000):\n  s.send(b'quiet')\n  if i%100==0: time.sleep(0.01)\nprint('done')")
    python_in(inst, code, PUBLIC)
    passed = o.tell("count") - before
    tap.ok(passed > 2000, "one-way datagrams are no new connections each", passed)


def main():
    harness.need_root()
    outside.enter_host()
    tap, h = harness.Tap(), harness.Helper()
    try:
        with outside.Outside() as o:
            c = h.client()
            before = h.snapshot()
            limited, free = c.start(rate=RATE), c.start()
            transfers(tap, h, limited, free)
            host_is_not_counted(tap, h, limited)
            one_way(tap, o, free)
            floods(tap, h, o, free, limited)
            churn(tap, h, free)
            tracking(tap, h, c, "udp", PORT)
            tracking(tap, h, c, "tcp", SILENT_PORT)
            for i in (limited, free):
                c.stop(i.id)
            tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
