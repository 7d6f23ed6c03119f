"""A host and an outside of the test's own, so that tests need no internet and touch no firewall but theirs.

    outside.enter_host()         once, before threads: this process, and what it starts, moves into a new
                                 network namespace, which is "the host" from then on
    with outside.Outside() as o  another namespace behind the host's uplink, with servers on all ADDRESSES

      sandbox 198.18.x.y --- sil<N>s<slot> [ the host ] up0 203.0.113.10 --- 203.0.113.1 [ outside ]

Namespaces have no names: with their last process they are gone, and all that was in them.
"""

import ctypes
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CLONE_NEWNET = 0x40000000

PUBLIC, OTHER_PUBLIC = "93.184.216.34", "203.0.113.1"
HOST, HOST_ALIAS = "203.0.113.10", "192.168.77.10"  # what the outside sees; another address of the host
PUBLIC6, HOST6 = "2001:db8:1::34", "2001:db8:2::10"
DENIED = ["10.9.0.1", "172.20.0.2", "192.168.77.1", "100.64.0.9", "169.254.169.254", "198.18.77.77", "0.9.9.9",
          "240.1.2.3"]
UNASSIGNABLE = {"0.9.9.9", "240.1.2.3", "198.18.77.77"}  # nobody can answer: only that they are refused is seen
SERVED = [PUBLIC, OTHER_PUBLIC, *[a for a in DENIED if a not in UNASSIGNABLE], PUBLIC6]
PORT, BULK_PORT, SILENT_PORT = 8080, 9000, 9001


def run(*command, check=True, timeout=60):
    return subprocess.run(command, check=check, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout)


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def enter_host():
    """Must run while the process has one thread."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare the network")
    run("ip", "link", "set", "lo", "up")
    write("/proc/sys/net/ipv4/ip_forward", "0")


class Outside:
    def __init__(self):
        self.server = subprocess.Popen(
            ["unshare", "--net", sys.executable, os.path.join(HERE, "outside_server.py"), *SERVED],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()
        try:
            self.wire()
        except BaseException:
            self.close()
            raise

    def wire(self):
        run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", str(self.server.pid))
        for addr in (f"{HOST}/24", f"{HOST_ALIAS}/24"):
            run("ip", "addr", "add", addr, "dev", "up0")
        run("ip", "link", "set", "up0", "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "down0", "up")
        self.ip("addr", "add", f"{OTHER_PUBLIC}/24", "dev", "down0")
        for addr in SERVED:
            if ":" not in addr and addr != OTHER_PUBLIC:
                self.ip("addr", "add", f"{addr}/32", "dev", "lo")
        self.ip("route", "add", f"{HOST_ALIAS}/32", "via", HOST)
        run("ip", "route", "add", "default", "via", OTHER_PUBLIC)
        for addr in SERVED:
            if ":" not in addr and addr not in (OTHER_PUBLIC, PUBLIC):
                run("ip", "route", "add", f"{addr}/32", "via", OTHER_PUBLIC)
        self.wire6()
        self.server.stdin.write("go\n")
        self.server.stdin.flush()
        self.server.stdout.readline()

    def wire6(self):
        run("ip", "-6", "addr", "add", f"{HOST6}/64", "dev", "up0", "nodad")
        self.ip("-6", "addr", "add", "2001:db8:2::1/64", "dev", "down0", "nodad")
        self.ip("-6", "addr", "add", f"{PUBLIC6}/128", "dev", "lo", "nodad")
        run("ip", "-6", "route", "add", "default", "via", "2001:db8:2::1")

    def inside(self, *command):
        return ["nsenter", "-t", str(self.server.pid), "-n", *command]

    def ip(self, *words):
        run(*self.inside("ip", *words))

    def python(self, code, *args, timeout=60):
        return run(*self.inside(sys.executable, "-c", code, *args), check=False, timeout=timeout).stdout

    def tell(self, what):
        self.server.stdin.write(what + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self):
        self.server.kill()
        self.server.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def python_in(inst, code, *args, timeout=60):
    """Runs Python in the network namespace of a sandbox, with root's rights there: more than anybody in the
    sandbox has. Its output, or an empty text when it failed. A machine (guest.py) runs it as its root."""
    if hasattr(inst, "python"):
        return inst.python(code, *args)
    done = run("nsenter", "-t", str(inst.pid), "-n", sys.executable, "-c", code, *args, check=False,
               timeout=timeout)
    return done.stdout


def nft_in(inst, text):
    run("nsenter", "-t", str(inst.pid), "-n", "nft", text)


def reaches(addr, port=PORT):
    """From the host."""
    try:
        socket.create_connection((addr, port), 5).close()
        return True
    except OSError:
        return False


def reaches_udp(addr, port=PORT):
    with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        try:
            s.sendto(b"ping", (addr, port))
            return s.recv(64).startswith(b"from")
        except OSError:
            return False
