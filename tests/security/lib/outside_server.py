"""What listens on the addresses of the outside; lib/outside.py runs it in a namespace of its own.

    outside_server.py ADDRESS...     says "here", waits for a line, says "up"

TCP_PORTS: tell the peer's address and end. BULK_PORT: a first byte "u" takes what comes to the end of
file, "d" gives zeros without end. SILENT_PORT accepts nothing once its queue is full. UDP_PORTS: answer "from <address>" and count.
Standard input takes commands, each answered by a line: "count" tells the datagrams so far, "bytes" what
BULK_PORT took.
"""

import socket
import sys
import threading

TCP_PORTS, UDP_PORTS, BULK_PORT, SILENT_PORT = (8080, 80, 443, 53, 853), (8080, 443, 53), 9000, 9001


class Counts:
    datagrams = taken = 0


def tcp(family, any_address, port):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any_address, port))
    s.listen(4096)
    while True:
        c, peer = s.accept()
        try:
            c.sendall(f"from {peer[0]}\n".encode())
        except OSError:
            pass
        c.close()


def bulk_one(c):
    try:
        if c.recv(1) == b"u":
            while data := c.recv(1 << 20):
                Counts.taken += len(data)
        else:
            while True:
                c.sendall(bytes(65536))
    except OSError:
        pass
    c.close()


def bulk():
    s = socket.create_server(("0.0.0.0", BULK_PORT), backlog=128)
    while True:
        threading.Thread(target=bulk_one, args=(s.accept()[0],), daemon=True).start()


def udp(family, addr, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((addr, port))
    while True:
        data, peer = s.recvfrom(65536)
        Counts.datagrams += 1
        if data.startswith(b"quiet"):
            continue
        try:
            s.sendto(b"from " + peer[0].encode() + b" %d" % len(data), peer)
        except OSError:
            pass


def main():
    print("here", flush=True)
    sys.stdin.readline()
    started = [threading.Thread(target=bulk, daemon=True)]
    for port in TCP_PORTS:
        started.append(threading.Thread(target=tcp, args=(socket.AF_INET, "0.0.0.0", port), daemon=True))
        started.append(threading.Thread(target=tcp, args=(socket.AF_INET6, "::", port), daemon=True))
    for addr in sys.argv[1:]:  # one socket an address: the answer comes from where it was sent to
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        for port in UDP_PORTS:
            started.append(threading.Thread(target=udp, args=(family, addr, port), daemon=True))
    for t in started:
        t.start()
    silent = socket.create_server(("0.0.0.0", SILENT_PORT), backlog=8)
    print("up", flush=True)
    for line in sys.stdin:
        print(Counts.datagrams if line.strip() == "count" else Counts.taken, flush=True)
    silent.close()


main()
