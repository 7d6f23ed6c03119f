#!/usr/bin/env python3
"""What a sandbox can reach: the world when it may, and never the host, its networks or a neighbour.

Needs no internet: a namespace of its own, linked to the host, plays the outside with public addresses
of the documentation ranges, private ones, and the metadata address.
"""

import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402

PUBLIC, HOST_SIDE = "198.51.100.242", "198.51.100.241"
DENIED = ["10.77.0.2", "172.20.0.2", "192.168.77.2", "100.64.7.2", "169.254.169.254"]
NAMESERVER = DENIED[0]
PORT = 8080

SERVER = """
import socket, sys, threading
def tcp(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port)); s.listen(16)
    while True: s.accept()[0].close()
def udp(addr, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((addr, port))
    while True:
        data, peer = s.recvfrom(512); s.sendto(b"from " + peer[0].encode(), peer)
print("here", flush=True)
sys.stdin.readline()
for port in (8080, 53):
    threading.Thread(target=tcp, args=(port,)).start()
    for addr in sys.argv[1:]:  # one socket an address: the answer comes from where it was sent to
        threading.Thread(target=udp, args=(addr, port)).start()
print("up", flush=True)
"""


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Outside:
    """A namespace behind a link of the host, with servers on all its addresses. It has no name: with
    its one process everything goes."""

    def __init__(self):
        self.link, peer = f"so{os.getpid()}", f"sp{os.getpid()}"
        self.server = subprocess.Popen(["unshare", "--net", sys.executable, "-c", SERVER, PUBLIC, *DENIED],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()
        try:
            self.wire(peer)
        except BaseException:
            self.close()
            raise

    def wire(self, peer):
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", peer)
        run("ip", "link", "set", peer, "netns", str(self.server.pid))
        run("ip", "addr", "add", f"{HOST_SIDE}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", peer, "up")
        self.ip("addr", "add", f"{PUBLIC}/30", "dev", peer)
        self.ip("route", "add", "default", "via", HOST_SIDE)
        for addr in DENIED:
            self.ip("addr", "add", f"{addr}/32", "dev", "lo")
            run("ip", "route", "add", f"{addr}/32", "via", PUBLIC, "dev", self.link)
        self.server.stdin.write("go\n")
        self.server.stdin.flush()
        self.server.stdout.readline()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.server.pid), "-n", *command]

    def ip(self, *words):
        run(*self.inside("ip", *words))

    def exec(self, code):
        return subprocess.run(self.inside(sys.executable, "-c", code), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=60).stdout

    def close(self):
        self.server.kill()
        self.server.wait()
        subprocess.run(["ip", "link", "del", self.link], check=False, stdin=subprocess.DEVNULL, capture_output=True)


def reaches(addr, port=PORT):
    try:
        socket.create_connection((addr, port), 5).close()
        return True
    except OSError:
        return False


def reaches_udp(addr):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(b"ping", (addr, PORT))
        try:
            return s.recv(64).startswith(b"from")
        except OSError:
            return False


def host_addresses():
    out = subprocess.run(["ip", "-4", "-o", "addr"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         check=True).stdout
    return sorted({line.split()[3].split("/")[0] for line in out.splitlines()} - {"127.0.0.1"})


def ask_connect(h, inst, addr, port=PORT, who=""):
    return h.ask(inst, f"{who}connect {addr} {port}")[0]


def permitted(tap, h, inst):
    tap.equal(ask_connect(h, inst, PUBLIC), "connect ok", "with internet, a public address is reached over TCP")
    tap.equal(ask_connect(h, inst, PUBLIC, who="as 1000 "), "connect ok", "by a user too")
    answer = h.ask(inst, f"udp {PUBLIC} {PORT}")
    tap.equal(answer[1], f"reply from {HOST_SIDE}", "over UDP too, and the outside sees the host's address")


def names(tap, h, inst):
    """The nameserver lies in a denied range: reached by way of the gateway's port 53, and only so."""
    answer = h.ask(inst, "udp 169.254.0.22 53")
    tap.equal(answer[1], f"reply from {HOST_SIDE}", "DNS goes to the host's nameserver by way of the gateway")
    tap.equal(ask_connect(h, inst, "169.254.0.22", 53), "connect ok", "over TCP too")
    tap.equal(h.ask(inst, "cat /etc/resolv.conf"), ["cat nameserver 169.254.0.22"], "and resolv.conf names it")
    tap.ok(h.ask(inst, f"udp {NAMESERVER} 53")[0] != "udp ok", "the nameserver itself is denied")
    tap.ok(ask_connect(h, inst, NAMESERVER, 53) != "connect ok", "over TCP too")
    tap.ok(ask_connect(h, inst, "169.254.0.22") != "connect ok", "and the gateway's other ports are not translated")


def denied(tap, h, inst):
    for addr in DENIED:
        tap.ok(reaches(addr) and reaches_udp(addr), f"(the host itself reaches {addr})")
        tap.ok(ask_connect(h, inst, addr) != "connect ok", f"{addr} is not reached", addr)
        tap.ok(h.ask(inst, f"udp {addr} {PORT}")[0] != "udp ok", f"{addr} is not reached over UDP")


def host_services(tap, h, inst, port):
    """A server on all addresses of the host, and none of them is reached from inside."""
    for addr in [*host_addresses(), "169.254.0.22"]:
        if addr != "169.254.0.22":
            tap.ok(reaches(addr, port) or addr.startswith("198.18") or addr.startswith("198.19"),
                   f"(the host's server answers at {addr})")
        tap.ok(ask_connect(h, inst, addr, port) != "connect ok", f"the host's server at {addr} is not reached")
    tap.ok(ask_connect(h, inst, "127.0.0.1", port) != "connect ok", "the host's loopback is not the sandbox's")
    for number in (22, 80, 3000, 49983):
        tap.ok(ask_connect(h, inst, "169.254.0.22", number) != "connect ok", f"port {number} of the gateway is closed")


def neighbours(tap, h, inst, other):
    tap.equal(ask_connect(h, other, "127.0.0.1", 49983), "connect ok", "(a sandbox reaches its own port)")
    tap.ok(ask_connect(h, inst, other.addr, 49983) != "connect ok", "a neighbour's outer address is not reached")
    host_end = other.addr.rsplit(".", 1)
    tap.ok(ask_connect(h, inst, f"{host_end[0]}.{int(host_end[1]) - 1}", 49983) != "connect ok",
           "nor the host's end of its link")


def only_the_daemon(tap, h, inst, outside):
    with harness.as_uid(65534):
        s = socket.socket()
    s.settimeout(2)
    try:
        s.connect((inst.addr, 49983))
        tap.ok(False, "another user of the host cannot connect to a sandbox")
    except OSError:
        tap.ok(True, "another user of the host cannot connect to a sandbox")
    s.close()
    tap.ok(not reaches(inst.addr, 49983), "not even root")
    code = f"""
import socket
try:
    socket.create_connection(("{inst.addr}", 49983), 3); print("reached")
except OSError as e: print("no", e)
"""
    outside.ip("route", "replace", f"{inst.addr}/32", "via", HOST_SIDE)
    tap.ok("reached" not in outside.exec(code), "nobody outside the host can connect to a sandbox")


def second_line(tap, h, inst):
    """With the rules in its own namespace gone, those of the host still hold."""
    nft = ["nsenter", "-t", str(inst.pid), "-n", "nft"]
    run(*nft, "flush chain inet silica output; add rule inet silica output accept")
    tap.equal(ask_connect(h, inst, PUBLIC), "connect ok", "(without its own rules a public address is reached)")
    for addr in DENIED:
        tap.ok(ask_connect(h, inst, addr) != "connect ok", f"{addr} is not reached without them")
    tap.equal(ask_connect(h, inst, "169.254.0.22", 53), "connect ok", "but the nameserver is")


def untracked(tap, h, inst):
    """Its connections with itself take no place in the kernel's table."""
    def count():
        out = subprocess.run(["nsenter", "-t", str(inst.pid), "-n", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return int(out.stdout)
    before = count()
    for _ in range(20):  # each question is one tracked connection
        h.ask(inst, "connect 127.0.0.1 49983")
    tap.ok(count() - before <= 25, "connections inside are not tracked", count() - before)


def closed(tap, h, inst):
    for addr in [PUBLIC, *DENIED]:
        tap.ok(ask_connect(h, inst, addr) != "connect ok", f"without internet {addr} is not reached")
        tap.ok(h.ask(inst, f"udp {addr} {PORT}")[0] != "udp ok", f"without internet {addr} is not reached over UDP")
    tap.ok(h.ask(inst, "udp 169.254.0.22 53")[0] != "udp ok", "without internet there is no DNS either")


def main():
    harness.need_root()
    tap, h = harness.Tap(), harness.Helper(resolv_conf=f"nameserver 127.0.0.53\nnameserver {NAMESERVER}\n")
    outside = server = None
    try:
        outside = Outside()
        server = socket.create_server(("0.0.0.0", 0), backlog=64)
        threading.Thread(target=lambda: [s.close() for s, _ in iter(server.accept, None)], daemon=True).start()
        port = server.getsockname()[1]
        c = h.client()
        before = h.snapshot()
        inst, other, alone = c.start(), c.start(), c.start(internet=False)
        permitted(tap, h, inst)
        names(tap, h, inst)
        denied(tap, h, inst)
        host_services(tap, h, inst, port)
        neighbours(tap, h, inst, other)
        only_the_daemon(tap, h, inst, outside)
        closed(tap, h, alone)
        untracked(tap, h, other)
        second_line(tap, h, inst)
        for i in (inst, other, alone):
            c.stop(i.id)
        tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        if outside is not None:
            outside.close()
        h.close()
    tap.end()


main()
