#!/usr/bin/env python3
"""The host's line of the network policy alone: the rules in the sandbox's namespace are taken away, and
packets are sent that nobody in a sandbox could make (raw, with foreign sources, in fragments).

Also who on the host may talk to sandboxes, and what becomes of connections when a sandbox ends.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import outside  # noqa: E402
from outside import BULK_PORT, DENIED, HOST, HOST_ALIAS, PORT, PUBLIC, UNASSIGNABLE, python_in, run  # noqa: E402

GATEWAY = "169.254.0.22"
DNS_PORT_BASE, DNS_UID_BASE = 5310, 0x6FFF0100

ALL_AT_ONCE = """
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    for line in pool.map(one, sys.argv[1:]): print(line)
"""

CONNECT = """
import socket, sys
def one(word):
    host, _, port = word.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        return f"{word} reached"
    except OSError as e: return f"{word} no {e}"
""" + ALL_AT_ONCE

ASK_UDP = """
import socket, sys
def one(word):
    host, _, port = word.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        try:
            s.sendto(b"ping", (host, int(port)))
            return f"{word} answered " + s.recv(100).decode()
        except OSError as e: return f"{word} no {e}"
""" + ALL_AT_ONCE

# Datagrams put on the link as they are, past all rules: SOURCE DESTINATION PORT HOW.
RAW = """
import socket, struct, sys
source, target, port, how = sys.argv[1:5]
data = b"quiet raw" + bytes(31)
udp = struct.pack(">HHHH", 4000, int(port), 8 + len(data), 0) + data
def total(head):
    n = sum(struct.unpack(">10H", head))
    return ~((n & 0xffff) + (n >> 16)) & 0xffff
def send(offset, part, more):
    fields = [0x45, 0, 20 + len(part), 7, (0x2000 if more else 0) | offset // 8, 64, 17, 0, socket.inet_aton(source),
              socket.inet_aton(target)]
    fields[7] = total(struct.pack(">BBHHHBBH4s4s", *fields))
    s.send(bytes.fromhex("02534c000001" "02534c000002" "0800") + struct.pack(">BBHHHBBH4s4s", *fields) + part)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0x0800))
if how == "whole": send(0, udp, False)
elif how == "tiny":  # the ports in the first eight bytes, the rest in pieces
    for at in range(0, len(udp), 8): send(at, udp[at:at + 8], at + 8 < len(udp))
elif how == "overlap":
    send(0, udp[:16], True); send(8, udp[8:24], True); send(16, udp[16:], False)
elif how == "later":  # without a first one
    send(8, udp[8:], False)
print("sent")
"""


# Asks the link who has an address; prints how many answers come.
ARP = """
import socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0x0806))
s.settimeout(0.5)
ours = bytes.fromhex("02534c000002")
for target in sys.argv[2:]:
    s.send(b"\\xff" * 6 + ours + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + ours +
           socket.inet_aton(sys.argv[1]) + bytes(6) + socket.inet_aton(target))
n, end = 0, time.monotonic() + 3
while time.monotonic() < end:
    try: n += s.recv(100)[20:22] == struct.pack(">H", 2)
    except TimeoutError: pass
print(n)
"""

DOCKER_PORTS = f"""table ip docker_like {{
 chain pre {{ type nat hook prerouting priority -100; fib daddr type local tcp dport 8088 dnat to {PUBLIC}:{PORT}
 }}
}}"""


def pairs(text):
    return {line.split(" ")[0]: line.split(" ", 1)[1] for line in text.splitlines()}


def open_inside(inst):
    """Takes away all rules of the sandbox's own namespace but its address translation."""
    outside.nft_in(inst, "flush chain inet silica output; flush chain inet silica input; "
                         "add rule inet silica output accept; add rule inet silica input accept; "
                         "delete table netdev silica")


def no_way(tap, inst, targets, what):
    for code, kind in ((CONNECT, "reached"), (ASK_UDP, "answered")):
        got = pairs(python_in(inst, code, *targets, timeout=120))
        tap.equal(sorted(got), sorted(targets), f"({what}: every one was tried)")
        bad = [t for t, way in got.items() if way.startswith(kind)]
        tap.equal(bad, [], f"{what}: nothing is {kind} without the sandbox's own rules")


def host_end(addr):
    head, last = addr.rsplit(".", 1)
    return f"{head}.{int(last) - 1}"


def without_own_rules(tap, inst, other, port):
    tap.equal(pairs(python_in(inst, CONNECT, f"{PUBLIC}:{PORT}")), {f"{PUBLIC}:{PORT}": "reached"},
              "(without its own rules a public address is reached)")
    no_way(tap, inst, [f"{a}:{PORT}" for a in DENIED if a not in UNASSIGNABLE], "denied ranges")
    no_way(tap, inst, [f"{a}:{port}" for a in (HOST, HOST_ALIAS, GATEWAY, host_end(inst.addr), host_end(other.addr))],
           "the host's services")
    no_way(tap, inst, [f"{other.addr}:49983"], "a neighbour")


class Listener:
    """A server on the host; counts and answers datagrams and connections."""

    def __init__(self, addr, port, uid=0):
        self.seen = 0
        with harness.as_uid(uid) if uid else contextlib.nullcontext():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((addr, port))
            self.tcp = socket.create_server((addr, port), backlog=64)
        for loop in (self.answer, self.accept):
            threading.Thread(target=loop, daemon=True).start()

    def answer(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.udp.recvfrom(512)
                if peer is None:  # shut down
                    return
                self.seen += 1
                with contextlib.suppress(OSError):  # an answer that is not let out: the next one counts too
                    self.udp.sendto(b"host has " + data[:5], peer)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.tcp.accept()[0].close()
                self.seen += 1

    def close(self):
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


def raw(inst, source, target, port, how="whole"):
    return python_in(inst, RAW, source, target, str(port), how)


def datagrams(o, h, send):
    """How many reach the outside; a datagram of ours behind them tells that they had their time."""
    before = o.tell("count")
    send()
    h_before = outside.reaches_udp(PUBLIC)
    return o.tell("count") - before - int(h_before)


def crafted(tap, h, o, inst, other):
    """What a sandbox could send if it had raw sockets and no rules: `inst` has none any more."""
    for how in ("whole", "tiny", "overlap"):
        n = datagrams(o, h, lambda how=how: raw(inst, inst.addr, PUBLIC, PORT, how))
        if how != "overlap":
            tap.equal(n, 1, f"(a raw datagram, {how}, reaches a public address)")
        for target in ("10.9.0.1", "169.254.169.254"):
            n = datagrams(o, h, lambda how=how, target=target: raw(inst, inst.addr, target, PORT, how))
            tap.equal(n, 0, f"a raw datagram, {how}, does not reach {target}")
    n = datagrams(o, h, lambda: raw(inst, inst.addr, "10.9.0.1", PORT, "later"))
    tap.equal(n, 0, "nor a fragment without its first one")
    for source in (other.addr, HOST, "8.8.8.8", "198.18.255.250", host_end(inst.addr), "127.0.0.1"):
        n = datagrams(o, h, lambda source=source: raw(inst, source, PUBLIC, PORT))
        tap.equal(n, 0, f"a datagram that says it comes from {source} goes nowhere")


def resolution(tap, inst, other):
    targets = [host_end(inst.addr), GATEWAY, HOST, other.addr]
    tap.equal(python_in(inst, ARP, inst.addr, *targets).strip(), "0", "nobody answers when asked for a hardware address")


def host_ports(tap, inst, server):
    """The host's loopback and what it forwards to others, with the settings that container engines make."""
    run("nft", DOCKER_PORTS)
    for name in ("all", "default"):
        outside.write(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "1")
    outside.write(f"/proc/sys/net/ipv4/conf/sil{inst.number}s{inst.slot}/route_localnet", "1")
    before = server.seen
    raw(inst, inst.addr, "127.0.0.1", server.port)
    time.sleep(1)  # the server has a thread of its own
    tap.equal(server.seen, before, "with route_localnet on, the host's loopback is not reached from a sandbox")
    no_way(tap, inst, [f"{HOST}:8088", f"{HOST_ALIAS}:8088"], "a port that the host forwards")
    run("nft", "delete table ip docker_like")


def only_the_daemon(tap, inst, o):
    for uid, who in ((65534, "another user of the host"), (0, "root")):
        with harness.as_uid(uid):
            s = socket.socket()
        s.settimeout(2)
        try:
            s.connect((inst.addr, 49983))
            reached = True
        except OSError:
            reached = False
        s.close()
        tap.ok(not reached, f"{who} cannot connect to a sandbox")
    o.ip("route", "replace", f"{inst.addr}/32", "via", HOST)
    got = pairs(o.python(CONNECT, f"{inst.addr}:49983"))
    tap.ok(got and "reached" not in got.values(), "nobody outside the host can connect to a sandbox", got)
    got = pairs(o.python(ASK_UDP, f"{inst.addr}:49983"))
    tap.ok(got and not any(v.startswith("answered") for v in got.values()), "nor send it datagrams", got)


def names(tap, h, o, inst, alone):
    """The forwarder's place is the host's end of each link: reached by way of the gateway's port 53, by
    sandboxes alone, and only its own user may answer there."""
    port = DNS_PORT_BASE + h.number
    server = Listener("0.0.0.0", port, DNS_UID_BASE + h.number)
    tap.equal(h.ask(inst, f"udp {GATEWAY} 53")[1], "reply host has ping", "DNS goes to the host's end of the link")
    tap.equal(h.ask(inst, f"connect {GATEWAY} 53")[0], "connect ok", "over TCP too")
    tap.equal(h.ask(inst, "cat /etc/resolv.conf"), [f"cat nameserver {GATEWAY}"], "and resolv.conf names the gateway")
    tap.ok(h.ask(inst, f"connect {host_end(inst.addr)} {port}")[0] != "connect ok", "the host's end itself is denied")
    tap.ok(h.ask(inst, f"connect {GATEWAY} {port}")[0] != "connect ok", "and so is its port at the gateway")
    tap.ok(h.ask(alone, f"udp {GATEWAY} 53")[0] != "udp ok", "without internet there is no DNS")
    before = server.seen
    for addr in ("127.0.0.1", HOST):
        tap.ok(not outside.reaches(addr, port), f"the host's own users do not reach it at {addr}")
    targets = [f"{HOST}:{port}", f"{HOST_ALIAS}:{port}"]
    tap.ok("reached" not in pairs(o.python(CONNECT, *targets)).values(), "nor do others on the network")
    o.python(ASK_UDP, *targets)
    tap.equal(server.seen, before, "nor over UDP")
    server.close()
    other = Listener("0.0.0.0", port, 65534)
    answer = h.ask(inst, f"udp {GATEWAY} 53")
    tap.equal((answer[0], other.seen), ("udp ETIMEDOUT", 1), "what another user of the host answers there is lost")
    other.close()


def abstract(tap, inst):
    """CVE-2020-15257: abstract sockets belong to a network namespace, and a sandbox has its own."""
    name = f"silica-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("\0" + name)
        s.listen(1)
        code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ntry: s.connect('\\0'+sys.argv[1]); print('reached')\n"
                "except OSError as e: print('no', e)")
        got = python_in(inst, code, name)
    tap.ok(got.startswith("no "), "an abstract socket of the host is not there", got)


def ends(tap, h, c, o):
    """An open connection of a sandbox that ends is cut on the host: nothing passes for its address."""
    inst = c.start()
    code = (f"import socket,sys,time\ns=socket.create_connection(('{PUBLIC}',{BULK_PORT}))\ns.sendall(b'u'+bytes(1000))\n"
            "print('up', flush=True)\nsys.stdin.readline()")
    with subprocess.Popen(["nsenter", "-t", str(inst.pid), "-n", sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        p.stdout.readline()
        tap.ok(entries(inst.addr) > 0, "(the host tracks a connection of a sandbox)")
        c.stop(inst.id)
        tap.equal(entries(inst.addr), 0, "when it ends the host forgets its connections")
        p.kill()
    for _ in range(3):
        c.stop(c.start().id)
    tap.ok(o.tell("bytes") >= 1000, "(the connection carried data)")


def entries(addr):
    """Connections that it made; the first source of a line is the one who did."""
    with open("/proc/net/nf_conntrack", encoding="ascii") as f:
        return sum(line.partition(" src=")[2].startswith(addr + " ") for line in f)


def main():
    harness.need_root()
    outside.enter_host()
    tap, h = harness.Tap(), harness.Helper()
    try:
        with outside.Outside() as o:
            c = h.client()
            before = h.snapshot()
            inst, other, alone = c.start(), c.start(), c.start(internet=False)
            inst.number = h.number
            server = Listener("0.0.0.0", 7777)
            server.port = 7777
            names(tap, h, o, inst, alone)
            only_the_daemon(tap, inst, o)
            abstract(tap, inst)
            for i in (inst, other, alone):
                open_inside(i)
            only_the_daemon(tap, inst, o)
            without_own_rules(tap, inst, other, 7777)
            crafted(tap, h, o, inst, other)
            resolution(tap, inst, other)
            host_ports(tap, inst, server)
            no_way(tap, alone, [f"{PUBLIC}:{PORT}", f"{HOST}:7777", f"{GATEWAY}:53"], "without internet")
            run("nsenter", "-t", str(alone.pid), "-n", "ip", "route", "add", "default", "via", GATEWAY)
            no_way(tap, alone, [f"{PUBLIC}:{PORT}"], "without internet, with a route")
            for i in (inst, other, alone):
                c.stop(i.id)
            ends(tap, h, c, o)
            tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
