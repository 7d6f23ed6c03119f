#!/usr/bin/env python3
"""Beside other firewalls: ufw, Docker's rules, an administrator's own nftables.

All of them live in the test's own namespaces; ufw gets copies of its files in a mount namespace of its own.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import harness  # noqa: E402
import outside  # noqa: E402
from outside import HOST, PORT, PUBLIC, run, write  # noqa: E402

FORWARD = "/proc/sys/net/ipv4/ip_forward"
WAIT_S = 30

DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""

REJECTING = """table inet admin {
 chain in { type filter hook input priority 0; ct state established,related accept
  iifname "lo" accept
  counter reject with icmpx admin-prohibited
 }
 chain through { type filter hook forward priority 0; ct state established,related accept
  tcp dport 443 drop
  counter log prefix "no " drop
 }
 chain out { type filter hook output priority 0; policy drop; oifname { "lo", "up0" } accept
 }
}"""


def works(h, inst, port=PORT):
    return h.ask(inst, f"connect {PUBLIC} {port}")[0] == "connect ok"


def soon(condition):
    """Rules are looked at again a moment after they changed."""
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def rules():
    return run("nft", "-a", "list", "ruleset").stdout


def ours_in(text, number):
    return text.count(f'comment "silica_{number}"')


def reads(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def docker(tap, h, inst):
    if not shutil.which("iptables-restore"):
        tap.ok(True, "Docker's rules # SKIP iptables is not installed (tools/deps test)")
        return
    before = ours_in(rules(), h.number)
    subprocess.run(["iptables-restore"], input=DOCKER, text=True, check=True, capture_output=True)
    tap.ok(soon(lambda: works(h, inst)), "with Docker's rules (FORWARD drop) put up later, sandboxes get out", rules())
    tap.equal(ours_in(rules(), h.number) - before, 2, "two rules of ours stand in FORWARD")
    shown = run("iptables", "-S", "FORWARD", check=False)
    tap.ok(shown.returncode == 0 and f"sil{h.number}s+" in shown.stdout, "iptables can still show that chain",
           shown.stdout + shown.stderr)
    order = [line for line in shown.stdout.splitlines() if line.startswith("-A")]
    tap.ok(order and "DOCKER-USER" in order[0], "behind DOCKER-USER, whose word counts", order)
    run("iptables", "-I", "DOCKER-USER", "-p", "tcp", "--dport", "443", "-j", "DROP")
    tap.ok(not works(h, inst, 443), "what is forbidden there stays forbidden")
    run("iptables", "-F", "FORWARD")
    tap.ok(soon(lambda: works(h, inst)), "flushed, the rules come back")
    for table in ("filter", "nat"):
        run("nft", "delete", "table", "ip", table)
    tap.ok(soon(lambda: works(h, inst)), "and without those rules sandboxes get out as before")


def administrator(tap, h, inst):
    run("nft", REJECTING)
    tap.ok(soon(lambda: works(h, inst)), "beside an administrator's chains that end with a refusal", rules())
    tap.ok(not works(h, inst, 443), "whose rules count")
    with harness.as_uid(h.uid):
        tap.equal(h.ask(inst, "connect 127.0.0.1 49983"), ["connect ok"], "the daemon gets in, with a policy of drop "
                                                                           "for what the host sends")
    tap.ok(soon(lambda: ours_in(rules(), h.number) == 4), "one rule each for in and out, two for through", rules())
    listing = run("nft", "list", "chain", "inet", "admin", "through").stdout.splitlines()
    last = [line.strip() for line in listing if line.strip() not in ("", "}")][-1]
    tap.ok(last.startswith("counter") and last.endswith("drop"), "the refusal is still the last rule", listing)
    names(tap, h, inst)


def names(tap, h, inst):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.bind(("0.0.0.0", 5310 + h.number))

        def answer():
            with contextlib.suppress(OSError):
                data, peer = s.recvfrom(512)
                s.sendto(b"name " + data, peer)
        t = threading.Thread(target=answer)
        t.start()
        tap.equal(h.ask(inst, "udp 169.254.0.22 53"), ["udp ok", "reply name ping"], "DNS gets through their input")
        t.join()


def restart(tap, h, inst):
    """After kill -9 the next helper finds its rules and makes no second ones."""
    h.end(9)
    h.start()
    tap.equal(ours_in(rules(), h.number), 4, "after kill -9 and a new start there are as many rules as before")
    tap.ok(works(h, inst), "and the sandbox gets out")
    run("nft", "flush chain inet admin through; add rule inet admin through counter drop")
    tap.ok(soon(lambda: works(h, inst)), "the new helper looks after them")


class Ufw:
    """The real one, with copies of its files where it looks for them."""

    def __init__(self):
        self.files = tempfile.mkdtemp(prefix="silica-test-ufw-", dir="/var/tmp")
        self.places = [p for p in ("/etc/ufw", "/lib/ufw", "/etc/default", "/usr/share/ufw") if os.path.isdir(p)]
        for i, place in enumerate(self.places):
            shutil.copytree(place, os.path.join(self.files, str(i)), symlinks=True)

    def run(self, *words):
        binds = " && ".join(f"mount --bind {self.files}/{i} {p}" for i, p in enumerate(self.places))
        return run("unshare", "--mount", "sh", "-c", f'{binds} && exec ufw "$@"', "sh", *words, check=False)

    def close(self):
        self.run("disable")
        shutil.rmtree(self.files, ignore_errors=True)


def ufw(tap, h, inst):
    if not shutil.which("ufw"):
        tap.ok(True, "ufw # SKIP ufw is not installed (tools/deps test)")
        return
    u = Ufw()
    try:
        done = u.run("--force", "enable")
        tap.ok(done.returncode == 0 and "DROP" in run("iptables", "-S", "FORWARD").stdout, "(ufw is on)",
               done.stdout + done.stderr)
        tap.ok(soon(lambda: works(h, inst)), "with ufw enabled, sandboxes get out", rules())
        names(tap, h, inst)
        tap.equal(h.ask(inst, "connect 127.0.0.1 49983"), ["connect ok"], "and the daemon gets in")
        status = u.run("status", "verbose")
        tap.ok("Status: active" in status.stdout, "ufw can read its own rules", status.stdout + status.stderr)
        tap.ok(u.run("reload").returncode == 0 and soon(lambda: works(h, inst)), "after ufw reload too")
        tap.ok(h.ask(inst, f"connect {HOST} {PORT}")[0] != "connect ok", "the host's services stay closed")
        u.run("disable")
    finally:
        u.close()
        for family in ("ip", "ip6"):
            for table in ("filter", "nat", "mangle", "raw"):
                run("nft", "delete", "table", family, table, check=False)


def forwarding(tap, h, o, c):
    """Switched on for sandboxes, and for nobody else while nobody else needs it."""
    o.ip("route", "replace", "10.200.0.2/32", "via", HOST)
    with subprocess.Popen(["unshare", "--net", "sleep", "600"], stdin=subprocess.DEVNULL) as lan:
        try:
            soon(lambda: os.readlink(f"/proc/{lan.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
            run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", str(lan.pid))
            run("ip", "addr", "add", "10.200.0.1/24", "dev", "lan0")
            run("ip", "link", "set", "lan0", "up")
            inside = ["nsenter", "-t", str(lan.pid), "-n"]
            for words in (["addr", "add", "10.200.0.2/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                          ["route", "add", "default", "via", "10.200.0.1"]):
                run(*inside, "ip", *words)
            ask = ("import socket,sys\ntry: socket.create_connection((sys.argv[1], 8080), 3); print('reached')\n"
                   "except OSError as e: print('no', e)")

            def routed():
                return run(*inside, sys.executable, "-c", ask, outside.OTHER_PUBLIC).stdout.startswith("reached")
            tap.ok(not routed(), "forwarding that was off is on for sandboxes alone")
            run("nft", "table ip other { chain post { type nat hook postrouting priority 100; }; }")
            tap.ok(soon(routed), "until somebody else takes part in it")
            h.end(9)
            h.start()
            tap.ok(routed(), "for good")
            run("nft", "delete table ip other")
        finally:
            lan.kill()


def put_back(tap, h, c):
    tap.equal(reads(FORWARD), "1", "(forwarding is on)")
    h.end()
    tap.equal(reads(FORWARD), "1", "what others may rely on by now stays on")
    write(FORWARD, "0")
    h.start()
    tap.equal(reads(FORWARD), "1", "a new start switches it on")
    h.end(9)
    h.start()
    h.end()
    tap.equal(reads(FORWARD), "0", "and what is ours alone is switched off at the end, also after kill -9")
    h.start()


def main():
    harness.need_root()
    outside.enter_host()
    tap, h = harness.Tap(), harness.Helper()
    try:
        with outside.Outside() as o:
            c = h.client()
            before = h.snapshot()
            inst = c.start()
            tap.ok(works(h, inst), "(a sandbox gets out)")
            forwarding(tap, h, o, c)
            docker(tap, h, inst)
            administrator(tap, h, inst)
            restart(tap, h, inst)
            c = h.client()
            c.stop(inst.id)
            c.close()
            h.end()
            tap.equal(ours_in(rules(), h.number), 0, "ended, none of our rules is left among theirs")
            tap.ok("table inet admin" in rules(), "and theirs are there")
            h.start()
            run("nft", "delete table inet admin")
            c = h.client()
            inst = c.start()
            ufw(tap, h, inst)
            c.stop(inst.id)
            put_back(tap, h, c)
            tap.equal(h.snapshot(), before, "nothing is left")
    finally:
        if tap.failed:
            print("# " + h.log_text().replace("\n", "\n# "))
        h.close()
    tap.end()


main()
