#!/usr/bin/env python3
# timeout: 300
"""A QEMU that was taken over, against the network (items 9 to 11 for virtual machines): frames that it puts on its tap
device as they are, with whatever addresses, kinds and headers.

The probe has QEMU's place. "Answered" is what comes back out of the tap device; "arrived" is what the outside counted.
"""

import contextlib
import os
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import machines  # noqa: E402
import outside  # noqa: E402
from outside import DENIED, HOST, HOST_ALIAS, OTHER_PUBLIC, PORT, PUBLIC, PUBLIC6, UNASSIGNABLE, run  # noqa: E402

INNER, GATEWAY = "169.254.0.21", "169.254.0.22"
HOST_MAC, GUEST_MAC, OTHER_MAC = "02534c000001", "02534c000002", "025566778899"
BROADCAST = "ff" * 6
DNS_PORT_BASE, DNS_UID_BASE = 5310, 0x6FFF0100
ENVD_PORT, HOST_PORT = 49983, 7777
SYN, SYN_ACK = 2, 0x12
IPV4, IPV6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
FLOOD_FRAMES, FRAMES_A_QUESTION = 400, 40
RATE_MIN, RATE_BURST_BYTES, RATE_FRAMES, RATE_DATA, FRAMES_BIG_A_QUESTION = 1024, 262144, 600, 1300, 5
random.seed(20260731)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data + b"\0" * (len(data) % 2))) if len(data) % 2 == 0 else \
        sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(payload, kind=IPV4, to=HOST_MAC, source=GUEST_MAC):
    return bytes.fromhex(to + source) + struct.pack(">H", kind) + payload


def ip(source, target, protocol, payload, options=b"", fragment=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, fragment, 64,
                       protocol, 0, socket.inet_aton(source), socket.inet_aton(target)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def udp(port, data=b"quiet frame", source=4000):
    return struct.pack(">HHHH", source, port, 8 + len(data), 0) + data


def syn(source, target, port, from_port):
    part = struct.pack(">HHIIBBHHH", from_port, port, 1, 0, 0x50, SYN, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">BBH", 0, 6, len(part))
    return part[:16] + struct.pack(">H", checksum(pseudo + part)) + part[18:]


def echo():
    part = struct.pack(">BBHHH", 8, 0, 0, 9, 1) + b"x" * 16
    return part[:2] + struct.pack(">H", checksum(part)) + part[4:]


def arp(operation, sender_mac, sender, target):
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + bytes.fromhex(sender_mac) + socket.inet_aton(sender) + \
        bytes(6) + socket.inet_aton(target)


def ipv6(target, protocol, payload):
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + socket.inet_pton(socket.AF_INET6, "fe80::1") + \
        socket.inet_pton(socket.AF_INET6, target) + payload


class Wire:
    """The guest's end of a machine's link."""

    def __init__(self, h, inst, o):
        self.h, self.inst, self.o, self.port = h, inst, o, 20000

    def send(self, *frames):
        for at in range(0, len(frames), FRAMES_A_QUESTION):
            self.h.ask(self.inst, "frames " + ",".join(f.hex() for f in frames[at:at + FRAMES_A_QUESTION]))

    def sniff(self, ms):
        return [bytes.fromhex(line.split()[1]) for line in self.h.ask(self.inst, f"sniff {ms}") if " " in line]

    def arrived(self, *frames):
        """How many of these the outside took; a datagram of the host's own behind them tells that they had their time."""
        before = self.o.tell("count")
        self.send(*frames)
        time.sleep(0.3)
        behind = outside.reaches_udp(PUBLIC)
        return self.o.tell("count") - before - int(behind)

    def connects(self, target, port, source=INNER):
        """Whether a connection's first packet is answered with the second."""
        self.port += 1
        self.send(ether(ip(source, target, 6, syn(source, target, port, self.port))))
        for frame in self.sniff(400):
            if len(frame) >= 54 and frame[12:14] == b"\x08\0" and frame[23] == 6 and frame[47] == SYN_ACK and \
                    struct.unpack(">H", frame[36:38])[0] == self.port:
                return True
        return False


class Listener:
    """A server of the host; counts what comes."""

    def __init__(self, addr, port, uid=0):
        self.seen = 0
        with harness.as_uid(uid) if uid else contextlib.nullcontext():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((addr, port))
            self.tcp = socket.create_server((addr, port), backlog=64)
        for loop in (self.take, self.accept):
            threading.Thread(target=loop, daemon=True).start()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                _, peer = self.udp.recvfrom(2048)
                if peer is None:
                    return
                self.seen += 1

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.tcp.accept()[0].close()
                self.seen += 1


def host_end(addr):
    head, last = addr.rsplit(".", 1)
    return f"{head}.{int(last) - 1}"


def works(tap, w):
    tap.equal(w.arrived(ether(ip(INNER, PUBLIC, 17, udp(PORT)))), 1, "(a plain datagram arrives)")
    tap.ok(w.connects(PUBLIC, PORT), "(a connection outwards is answered)")


def denied(tap, w, other, listener):
    frames = [ether(ip(INNER, a, 17, udp(PORT))) for a in DENIED]
    tap.equal(w.arrived(*frames), 0, "nothing arrives in denied ranges")
    for addr in DENIED:
        if addr not in UNASSIGNABLE:
            tap.ok(not w.connects(addr, PORT), f"{addr} is not reached")
    before = listener.seen
    for addr in (HOST, HOST_ALIAS, GATEWAY, "127.0.0.1", host_end(w.inst.addr), host_end(other.inst.addr), w.inst.addr):
        w.send(ether(ip(INNER, addr, 17, udp(HOST_PORT))), ether(ip(INNER, addr, 17, udp(22))))
        tap.ok(not w.connects(addr, HOST_PORT), f"the host's service at {addr} is not reached")
    tap.equal(listener.seen, before, "and none of the host's services saw anything")
    w.send(*(ether(ip(INNER, a, 1, echo())) for a in (GATEWAY, HOST, host_end(w.inst.addr), other.inst.addr)))
    tap.equal([f for f in w.sniff(500) if f[23:24] == b"\x01" and f[34:35] == b"\0"], [], "pings are answered by nobody there")


def neighbour(tap, w, other):
    other.sniff(50)
    w.send(*(ether(ip(INNER, a, 17, udp(ENVD_PORT, b"to a neighbour"))) for a in (other.inst.addr, INNER)),
           *(ether(ip(s, other.inst.addr, 6, syn(s, other.inst.addr, ENVD_PORT, 5000)))
             for s in (INNER, host_end(other.inst.addr), host_end(w.inst.addr), other.inst.addr)),
           ether(ip(INNER, other.inst.addr, 6, syn(INNER, other.inst.addr, ENVD_PORT, 5001)), to=BROADCAST),
           ether(arp(1, GUEST_MAC, INNER, other.inst.addr), ARP, BROADCAST))
    got = [f for f in other.sniff(800) if f[12:14] != b"\x08\x06"]
    tap.equal(got, [], "a neighbour sees nothing of it")


def spoofed(tap, w, other):
    sources = [w.inst.addr, other.inst.addr, host_end(w.inst.addr), GATEWAY, HOST, HOST_ALIAS, PUBLIC, OTHER_PUBLIC,
               "127.0.0.1", "0.0.0.0", "255.255.255.255", "10.0.0.1", "169.254.0.20", "169.254.0.23", "224.0.0.1"]
    tap.equal(w.arrived(*(ether(ip(s, PUBLIC, 17, udp(PORT))) for s in sources)), 0, "nothing arrives with foreign sources")
    for source in sources[:6]:
        tap.ok(not w.connects(PUBLIC, PORT, source), f"no connection from {source}")
    options = (b"\x83\x07\x04" + socket.inet_aton(PUBLIC) + b"\0", b"\x89\x07\x04" + socket.inet_aton(PUBLIC) + b"\0")
    tap.equal(w.arrived(*(ether(ip(INNER, HOST, 17, udp(PORT), options=o)) for o in options)), 0, "no source routes")


def kinds(tap, w):
    good = ip(INNER, PUBLIC, 17, udp(PORT))
    tap.equal(w.arrived(ether(ip(INNER, PUBLIC, 17, udp(PORT)), to=BROADCAST), ether(good, to=OTHER_MAC),
                        ether(good, to="01005e000001")), 0, "frames for others are not forwarded")
    tap.equal(w.arrived(ether(struct.pack(">HH", 5, IPV4) + good, VLAN), ether(struct.pack(">HH", 6, IPV4) + good, 0x88A8),
                        ether(b"\x11\0\0\1\0\x21" + good, 0x8864), ether(b"\0\0\x08\0" + good, 0x8847),
                        ether(good, 0x0842), ether(good, 40)), 0, "nor tagged, tunnelled and labelled ones")
    inner6 = struct.pack(">HHHH", 4000, PORT, 8 + 5, 0) + b"quiet"
    tap.equal(w.arrived(ether(ipv6(PUBLIC6, 17, inner6), IPV6), ether(ipv6("ff02::1", 58, b"\x86" + bytes(15)), IPV6),
                        ether(ipv6("ff02::2", 58, b"\x85" + bytes(7)), IPV6)), 0, "there is no IPv6")
    for protocol, name in ((4, "IP in IP"), (41, "6in4"), (47, "GRE"), (50, "ESP"), (132, "SCTP"), (136, "UDP-Lite")):
        w.send(ether(ip(INNER, GATEWAY, protocol, good)))
        tap.equal(w.arrived(ether(ip(INNER, HOST, protocol, good))), 0, f"{name} to the host carries nothing")


def in_namespace(w, *command):
    return run("nsenter", "-t", str(w.inst.pid), "-n", *command).stdout


def resolution(tap, w):
    """The other side of ARP: whoever is claimed to be where, the two ends stay what they are."""
    before = in_namespace(w, "ip", "neigh"), run("ip", "neigh").stdout
    names = [f"10.{i}.{i}.9" for i in range(1, 60)] + [GATEWAY, INNER, w.inst.addr, host_end(w.inst.addr), HOST]
    w.send(*(ether(arp(operation, OTHER_MAC, a, target), ARP, BROADCAST, OTHER_MAC)
             for a in names for operation in (1, 2) for target in (GATEWAY, a)))
    time.sleep(0.3)
    tap.equal((in_namespace(w, "ip", "neigh"), run("ip", "neigh").stdout), before, "ARP teaches nobody anything")
    tap.ok(w.connects(PUBLIC, PORT), "and the machine is still found")


def dns(tap, w, alone, h):
    server = Listener("0.0.0.0", DNS_PORT_BASE + h.number, DNS_UID_BASE + h.number)
    w.send(ether(ip(INNER, GATEWAY, 17, udp(53))))
    time.sleep(0.3)
    tap.equal(server.seen, 1, "(DNS goes to the forwarder)")
    for target, port in ((GATEWAY, DNS_PORT_BASE + h.number), (host_end(w.inst.addr), DNS_PORT_BASE + h.number),
                         (host_end(w.inst.addr), 53), (HOST, 53)):
        w.send(ether(ip(INNER, target, 17, udp(port))))
    alone.send(ether(ip(INNER, GATEWAY, 17, udp(53))))
    time.sleep(0.3)
    tap.equal(server.seen, 1, "and by no other address, and not without internet")
    tap.equal(alone.arrived(ether(ip(INNER, PUBLIC, 17, udp(PORT)))), 0, "without internet nothing arrives")
    tap.ok(not alone.connects(PUBLIC, PORT), "without internet nothing is reached")


def garbage(tap, w, o, h):
    """Frames and headers without sense: the host lives, and nothing of it arrives."""
    before = o.tell("count")
    for _ in range(8):
        w.send(*(random.randbytes(random.randint(1, 120)) for _ in range(FLOOD_FRAMES // 8)))
        w.send(*(ether(random.randbytes(random.randint(1, 100)), random.choice((IPV4, IPV6, ARP, VLAN, 0, 0x8035)))
                 for _ in range(FLOOD_FRAMES // 8)))
    for flags in (0, 1, 2, 0xFF):  # virtio headers: offloads that do not fit the frame
        for gso in (0, 1, 3, 4, 5, 0x80, 0xFF):
            head = struct.pack("<BBHHHH", flags, gso, random.randint(0, 65535), random.choice((0, 1, 65535)),
                               random.randint(0, 65535), random.randint(0, 65535))[:10]
            frame = head + ether(ip("10.1.1.1", PUBLIC, 6, bytes(60)))
            h.ask(w.inst, f"do write {machines.TAP} h:{frame.hex()} {len(frame)}")
    tap.ok(w.connects(PUBLIC, PORT), "after garbage the machine's link works")
    tap.equal(o.tell("count"), before, "and nothing of it arrived")


def rates(tap, h, c, o):
    """Bytes a second of a machine are those of its request: a bucket full at first, then drops. As many frames of
    another, without a limit, all arrive."""
    def came(rate):
        w = Wire(h, c.start(kind=harness.CLONE, rate=rate), o)
        frame = ether(ip(INNER, PUBLIC, 17, udp(PORT, b"x" * RATE_DATA)))
        before = o.tell("count")
        for _ in range(RATE_FRAMES // FRAMES_BIG_A_QUESTION):
            w.send(*[frame] * FRAMES_BIG_A_QUESTION)
        time.sleep(0.5)
        n = o.tell("count") - before
        c.stop(w.inst.id)
        return n
    limited, free = came(RATE_MIN), came(0)
    most = RATE_BURST_BYTES // RATE_DATA + 1
    tap.ok(limited <= most, f"at a low rate no more than {most} large datagrams come out", f"{limited} of {RATE_FRAMES}")
    tap.ok(free >= RATE_FRAMES * 9 // 10, "without a limit they do", f"{free} of {RATE_FRAMES}")


def main():
    harness.need_root()
    outside.enter_host()
    tap = harness.Tap()
    h = machines.Machines()
    try:
        before = h.snapshot()
        with outside.Outside() as o:
            listener = Listener("0.0.0.0", HOST_PORT)
            c = h.client()
            h.snapshot_of(c)
            w, other = (Wire(h, c.start(kind=harness.CLONE), o) for _ in range(2))
            alone = Wire(h, c.start(kind=harness.CLONE, internet=False), o)
            works(tap, w)
            denied(tap, w, other, listener)
            neighbour(tap, w, other)
            spoofed(tap, w, other)
            kinds(tap, w)
            resolution(tap, w)
            dns(tap, w, alone, h)
            garbage(tap, w, o, h)
            rates(tap, h, c, o)
            for wire in (w, other, alone):
                c.stop(wire.inst.id)
            left = [line for line in h.snapshot() if line not in before and "machine/snapshots" not in line and "kept" not in line]
            tap.equal(left, [], "nothing is left but the snapshot")
    finally:
        if tap.failed:
            print("# " + h.log_text()[-2000:].replace("\n", "\n# "))
        h.close()
    tap.end()


main()
