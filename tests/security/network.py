#!/usr/bin/env python3
"""What a sandbox can reach: the world when it may, and never the host, its networks or a neighbour.

Both lines of the policy stand here; network_host.py looks at the host's alone. Host and outside are
namespaces of the test (lib/outside.py), so it needs no internet and touches no firewall but theirs.
"""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import outside  # noqa: E402
from outside import DENIED, HOST, HOST6, HOST_ALIAS, OTHER_PUBLIC, PORT, PUBLIC, PUBLIC6, UNASSIGNABLE  # noqa: E402

GATEWAY = "169.254.0.22"
SPELLINGS = ["168361985", "0x0a090001", "012.011.0.1", "10.589825", "0xa.9.0.1", "::ffff:10.9.0.1",
             "::ffff:a09:1", "3232255233", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"]

# The spelling goes to the resolver, as a program inside would hand it over.
CONNECT = """
import socket, sys
def way(host, port):
    for family, kind, proto, _, addr in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind, proto) as s:
                s.settimeout(3)
                if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                s.connect(addr)
                return "reached"
        except OSError as e:
            last = str(e)
    return last
for host in sys.argv[2:]:
    try: print(host, way(host, int(sys.argv[1])))
    except OSError as e: print(host, "no address:", e)
"""

# One datagram of N bytes to each: fragments on the way when it is more than the link takes.
DATAGRAMS = """
import socket, sys
for host in sys.argv[2:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        try:
            s.sendto(bytes(int(sys.argv[1])), (host, 8080))
            print(host, s.recv(100).decode())
        except OSError as e: print(host, "no", e)
"""

PING = """
import os, socket, sys
os.setgid(int(sys.argv[1]))  # ping sockets are for the groups of the sandbox
for host in sys.argv[2:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
        s.settimeout(3)
        try:
            s.sendto(bytes([8, 0, 0, 0, 0, 0, 0, 1]) + b"echo", (host, 0))
            print(host, "answered" if s.recv(100) else "")
        except OSError as e: print(host, "no", e)
"""


def answers(text):
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def ping(h, inst, *hosts):
    group = 0 if hasattr(inst, "python") else harness.SANDBOX_UID_BASE + (h.number * 2048 + inst.slot) * 65536
    return answers(outside.python_in(inst, PING, str(group), *hosts))


def ask_connect(h, inst, addr, port=PORT, who=""):
    return h.ask(inst, f"{who}connect {addr} {port}")[0]


def permitted(tap, h, inst):
    tap.equal(ask_connect(h, inst, PUBLIC), "connect ok", "with internet, a public address is reached over TCP")
    tap.equal(ask_connect(h, inst, PUBLIC, who="as 1000 "), "connect ok", "by a user too")
    answer = h.ask(inst, f"udp {PUBLIC} {PORT}")
    tap.equal(answer[1].rsplit(" ", 1)[0], f"reply from {HOST}", "over UDP too, and the outside sees the host's address")
    for port, what in ((443, "HTTPS"), (53, "DNS over TCP to a server outside"), (853, "DNS over TLS")):
        tap.equal(ask_connect(h, inst, PUBLIC, port), "connect ok", f"{what} is like any other connection")
    for port, what in ((443, "QUIC"), (53, "DNS to a server outside")):
        tap.equal(h.ask(inst, f"udp {PUBLIC} {port}")[0], "udp ok", f"{what} is like any other datagram")
    tap.equal(ping(h, inst, PUBLIC).get(PUBLIC), "answered", "an echo request is answered")
    large = answers(outside.python_in(inst, DATAGRAMS, "9000", PUBLIC))
    tap.ok(large.get(PUBLIC, "").endswith(" 9000"), "a datagram in fragments arrives", large)


def denied(tap, h, inst):
    for addr in DENIED:
        if addr not in UNASSIGNABLE:
            tap.ok(outside.reaches(addr) and outside.reaches_udp(addr), f"(the host itself reaches {addr})")
        tap.ok(ask_connect(h, inst, addr) != "connect ok", f"{addr} is not reached", addr)
        tap.ok(h.ask(inst, f"udp {addr} {PORT}")[0] != "udp ok", f"{addr} is not reached over UDP")
    pings = ping(h, inst, *DENIED, HOST, "224.0.0.1", "255.255.255.255")
    tap.ok(pings and "answered" not in pings.values(), "no echo request of it is answered there", pings)
    large = answers(outside.python_in(inst, DATAGRAMS, "9000", *DENIED, HOST))
    tap.ok(large and not any(v.startswith("from") for v in large.values()), "nor a datagram in fragments", large)


def spellings(tap, inst):
    got = answers(outside.python_in(inst, CONNECT, str(PORT), *SPELLINGS, timeout=120))
    tap.equal(sorted(got), sorted(SPELLINGS), "(every spelling was tried)")
    for name, way in got.items():
        tap.ok(way != "reached", f"{name} is no way to a denied address", way)
    got = answers(outside.python_in(inst, CONNECT, str(PORT), "::ffff:" + PUBLIC, "0x5db8d822"))
    tap.equal(set(got.values()), {"reached"}, "(as they are ways to a public one)")


def version6(tap, inst):
    tap.ok(outside.reaches(PUBLIC6) and outside.reaches_udp(PUBLIC6), "(the host reaches the outside over IPv6)")
    got = answers(outside.python_in(inst, CONNECT, str(PORT), PUBLIC6, HOST6, "64:ff9b::5db8:d822", "ff02::1%eth0"))
    tap.ok(got and "reached" not in got.values(), "nothing is reached over IPv6", got)
    addresses = outside.python_in(inst, "print(open('/proc/net/if_inet6', encoding='ascii').read())")
    tap.equal([line.split()[0] for line in addresses.split("\n") if line], ["0" * 31 + "1"], "it has no IPv6 address but ::1")


def host_services(tap, h, inst, port):
    """A server on all addresses of the host, and none of them is reached from inside."""
    addresses = [HOST, HOST_ALIAS]
    for addr in addresses:
        tap.ok(outside.reaches(addr, port), f"(the host's server answers at {addr})")
    host_end = inst.addr.rsplit(".", 1)
    for addr in [*addresses, GATEWAY, f"{host_end[0]}.{int(host_end[1]) - 1}"]:
        tap.ok(ask_connect(h, inst, addr, port) != "connect ok", f"the host's server at {addr} is not reached")
        tap.ok(h.ask(inst, f"udp {addr} {port}")[0] != "udp ok", f"nor over UDP at {addr}")
    tap.ok(ask_connect(h, inst, "127.0.0.1", port) != "connect ok", "the host's loopback is not the sandbox's")
    for number in (22, 80, 3000, 49983):
        tap.ok(ask_connect(h, inst, GATEWAY, number) != "connect ok", f"port {number} of the gateway is closed")
        tap.ok(ask_connect(h, inst, HOST, number) != "connect ok", f"port {number} of the host is closed")


def neighbours(tap, h, inst, other):
    tap.equal(ask_connect(h, other, "127.0.0.1", 49983), "connect ok", "(a sandbox reaches its own port)")
    tap.ok(ask_connect(h, inst, other.addr, 49983) != "connect ok", "a neighbour's outer address is not reached")
    host_end = other.addr.rsplit(".", 1)
    tap.ok(ask_connect(h, inst, f"{host_end[0]}.{int(host_end[1]) - 1}", 49983) != "connect ok",
           "nor the host's end of its link")
    pings = ping(h, inst, other.addr)
    tap.ok(pings and "answered" not in pings.values(), "a neighbour answers no echo request", pings)
    entries = outside.run("nsenter", "-t", str(inst.pid), "-n", "ip", "neigh").stdout.split("\n")
    tap.ok(all("PERMANENT" in e or "NOARP" in e for e in entries if e), "it learns no neighbour", entries)


def first_line(tap, h, inst, other, alone, port):
    """With the host's rules gone, those in the sandbox's own namespace still hold."""
    table = f"inet silica_{h.number}"
    outside.run("nft", "; ".join(f"flush chain {table} {c}" for c in ("raw", "sandbox", "input", "outwards", "forward")))
    for addr, number in [*((a, PORT) for a in DENIED), (HOST_ALIAS, port), (GATEWAY, port), (other.addr, 49983)]:
        tap.ok(ask_connect(h, inst, addr, number) != "connect ok", f"without the host's rules {addr} is not reached")
        if number == PORT:
            tap.ok(h.ask(inst, f"udp {addr} {number}")[0] != "udp ok", f"nor over UDP: {addr}")
    outside.write(f"/proc/sys/net/ipv4/conf/sil{h.number}s{alone.slot}/forwarding", "1")
    outside.run("nsenter", "-t", str(alone.pid), "-n", "ip", "route", "add", "default", "via", GATEWAY)
    for addr in (PUBLIC, HOST, GATEWAY):
        tap.ok(ask_connect(h, alone, addr) != "connect ok", f"without internet {addr} is not reached by the rules alone")


def closed(tap, h, inst):
    for addr in [PUBLIC, OTHER_PUBLIC, HOST, *DENIED]:
        tap.ok(ask_connect(h, inst, addr) != "connect ok", f"without internet {addr} is not reached")
        tap.ok(h.ask(inst, f"udp {addr} {PORT}")[0] != "udp ok", f"without internet {addr} is not reached over UDP")
    tap.ok(h.ask(inst, f"udp {GATEWAY} 53")[0] != "udp ok", "without internet there is no DNS either")
    tap.ok(ask_connect(h, inst, GATEWAY, 53) != "connect ok", "nor over TCP")
    tap.equal(h.ask(inst, "connect 127.0.0.1 49983"), ["connect ok"], "its own ports are its own")


def untracked(tap, h, inst):
    """Its connections with itself take no place in the kernel's table."""
    def count():
        out = outside.run("nsenter", "-t", str(inst.pid), "-n", "cat", "/proc/sys/net/netfilter/nf_conntrack_count")
        return int(out.stdout)
    before = count()
    for _ in range(20):  # each question is one tracked connection
        h.ask(inst, "connect 127.0.0.1 49983")
    tap.ok(count() - before <= 25, "connections inside are not tracked", count() - before)


def serve_on_host():
    """TCP and UDP on every address of the host; the port."""
    server = socket.create_server(("0.0.0.0", 0), backlog=64)
    port = server.getsockname()[1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", port))

    def answer():
        while True:
            _, peer = udp.recvfrom(512)
            udp.sendto(b"from the host", peer)
    threading.Thread(target=lambda: [s.close() for s, _ in iter(server.accept, None)], daemon=True).start()
    threading.Thread(target=answer, daemon=True).start()
    return port


def main():
    harness.need_root()
    outside.enter_host()
    tap, h = harness.Tap(), harness.Helper()
    try:
        with outside.Outside():
            port = serve_on_host()
            c = h.client()
            before = h.snapshot()
            inst, other, alone = c.start(), c.start(), c.start(internet=False)
            permitted(tap, h, inst)
            denied(tap, h, inst)
            spellings(tap, inst)
            version6(tap, inst)
            host_services(tap, h, inst, port)
            neighbours(tap, h, inst, other)
            closed(tap, h, alone)
            untracked(tap, h, other)
            first_line(tap, h, inst, other, alone, port)
            for i in (inst, other, alone):
                c.stop(i.id)
            h.end(9)  # the table is made anew
            h.start()
            tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


if __name__ == "__main__":
    main()
