#!/usr/bin/env python3
"""silica-dns between sandboxes and nameservers of the test's own: what passes, what lies, what breaks.

  dns_forward.py [TEXT]   only the cases with TEXT in their name
"""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dns_rig as rig  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402

rig.enter()
FIRST, SECOND, SIXTH = rig.Nameserver("127.0.0.53"), rig.Nameserver("127.0.0.54"), rig.Nameserver("::1")
ONE = "nameserver 127.0.0.53\n"
BOTH = "nameserver 127.0.0.53\nnameserver 127.0.0.54\n"


def forwards(_, client):
    answer = client.ask("plain.test", number=0xBEEF)
    assert answer.id == 0xBEEF and answer.name == "plain.test" and answer.addresses() == ["192.0.2.53"]
    assert answer.flags == rig.QR | rig.RD | rig.RA, hex(answer.flags)


def written_anew(_, client):
    """The nameserver sees a question of ours: other ids and ports each time, nothing but what was understood."""
    for number in range(20):
        client.ask(f"anew{number}.test", number=7, flags=rig.RD | rig.AA | 0x40)
    mine = [(message, port) for name, message, port, _ in FIRST.seen if name.startswith("anew")]
    assert len(mine) == 20
    assert len({message[:2] for message, _ in mine}) > 15, "ids repeat"
    assert len({port for _, port in mine}) > 15, "ports repeat"
    assert {message[2:4] for message, _ in mine} == {struct.pack(">H", rig.RD)}
    client.ask("edns.test", edns=4096, extra=b"")
    sent = next(message for name, message, *_ in FIRST.seen if name == "edns.test")
    assert sent[-11:] == b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0), sent


def keeps_the_spelling(_, client):
    assert client.ask("SpeLLing.TEST").name == "SpeLLing.TEST"


def flags_are_clean(_, client):
    answer = client.ask("flags.test", flags=rig.RD | rig.CD)
    assert answer.flags == rig.QR | rig.AA | rig.RD | rig.RA | rig.AD | rig.CD, hex(answer.flags)
    assert client.ask("missing.test").rcode == rig.NXDOMAIN


def refuses(_, client):
    for message, rcode in ((rig.query("x.test", flags=0x2000), rig.NOTIMP),
                           (rig.query("x.test", kind=252), rig.REFUSED),
                           (rig.query("x.test") + b"tail", rig.FORMERR),
                           (rig.query("x.test")[:12] + b"\xc0\x0c\0\1\0\1", rig.FORMERR)):
        client.send(message)
        answer = client.receive()
        assert answer.rcode == rcode and answer.id == 0x1234, (answer.rcode, rcode)
    assert "x.test" not in FIRST.names()


def drops(program, client):
    """Answers sent to us, and what is shorter than a header, get nothing back."""
    for message in (rig.query("y.test", flags=rig.QR), b"", b"\0" * 11, os.urandom(1)):
        client.send(message)
    client.send(rig.query("after-drops.test"))
    assert client.receive().name == "after-drops.test"
    assert "y.test" not in FIRST.names()
    assert program.process.poll() is None


def foreign_sources(_, client):
    """Neither another instance's sandbox, nor the host's end of a link, nor anybody else."""
    for address in ("198.18.32.2", "198.18.0.1", "198.18.0.3", "127.0.0.1"):
        with rig.Client(address) as other:
            other.send(rig.query("foreign.test"))
            with other.connect() as stream:
                rig.send_tcp(stream, rig.query("foreign.test"))
                assert rig.receive_tcp(stream) is None, address
    assert client.ask("own.test").addresses()
    assert "foreign.test" not in FIRST.names()


def answers_from_the_address_asked(_, client):
    with rig.Client(rig.NEIGHBOUR, to="198.18.0.5") as neighbour:
        assert neighbour.ask("neighbour.test").addresses()  # receive() looks at the source
    assert client.ask("me.test").addresses()


def lies(_, client):
    for label in ("lie-id", "lie-question", "lie-kind", "lie-port"):
        answer = client.ask(f"{label}.test")
        assert answer.addresses() == ["192.0.2.53"] and answer.name == f"{label}.test", label


def garbage(program, client):
    """A server that sends nothing but lies counts as one that does not answer."""
    program.write(BOTH)
    rig.wait_until(lambda: "2 nameservers" in program.text(), "the list is read again")
    for label in ("only-lies", "garbage"):
        answer = client.ask(f"{label}.test")
        # the second is as mad about these names, so it is an answer of ours
        assert answer.rcode == rig.SERVFAIL and answer.answers == 0, label
    program.write(ONE)
    rig.wait_until(lambda: program.text().count("1 nameservers") == 2, "the list is read again")


def big_answers(_, client):
    small, edns = client.ask("big.test"), client.ask("big.test", edns=1232)
    assert small.flags & rig.TC and small.answers == 0 and len(small.data) <= 512
    assert not edns.flags & rig.TC and edns.answers == 50 and len(edns.data) > 512
    more = client.ask("big.test", edns=600)
    assert more.flags & rig.TC and len(more.data) <= 600 and more.extra == 1
    assert client.ask("huge.test", edns=65535).flags & rig.TC


def tcp_to_tcp(_, client):
    assert client.ask_tcp("huge.test").answers == 4000
    assert client.ask("cut.test").flags & rig.TC and client.ask_tcp("cut.test").answers == 1
    assert [tcp for name, _, _, tcp in FIRST.seen if name == "cut.test"] == [False, True]


def tcp_pieces(_, client):
    """A message byte by byte; two in one piece; the next one begun in the same piece."""
    with client.connect() as stream:
        message = rig.query("bytes.test")
        for byte in struct.pack(">H", len(message)) + message:
            stream.sendall(bytes([byte]))
        assert rig.receive_tcp(stream).name == "bytes.test"
        rig.send_tcp(stream, *[rig.query(f"line{n}.test", number=n) for n in range(20)])
        for n in range(20):
            answer = rig.receive_tcp(stream)
            assert answer.name == f"line{n}.test" and answer.id == n
        message = rig.query("rest.test")
        stream.sendall(struct.pack(">H", len(message)) + message + b"\0")
        assert rig.receive_tcp(stream).name == "rest.test"
        stream.sendall(struct.pack(">H", len(message))[1:] + message)
        assert rig.receive_tcp(stream).name == "rest.test"


def tcp_errors(_, client):
    with client.connect() as stream:
        rig.send_tcp(stream, rig.query("x.test", flags=0x2000))
        assert rig.receive_tcp(stream).rcode == rig.NOTIMP
        rig.send_tcp(stream, rig.query("good.test"))
        assert rig.receive_tcp(stream).addresses(), "the stream goes on after a refusal"
    for bad in (b"\0\0", b"\0\5hello", struct.pack(">H", 1233) + b"x" * 1233, b"\xff\xff"):
        with client.connect() as stream:
            stream.sendall(bad)
            assert rig.receive_tcp(stream) is None, bad


def tcp_half_close(_, client):
    """Whoever has asked everything may say so before the answer."""
    with client.connect() as stream:
        rig.send_tcp(stream, rig.query("halfclose.test"))
        stream.shutdown(socket.SHUT_WR)
        assert rig.receive_tcp(stream).name == "halfclose.test"
        assert rig.receive_tcp(stream) is None


def tcp_idle_and_slow(_, client):
    """Silence and a half message end the connection."""
    with client.connect() as silent, client.connect() as half:
        half.sendall(b"\0\x20\1\2")
        assert rig.receive_tcp(half) is None
        assert rig.receive_tcp(silent) is None


def tcp_upstream_breaks(_, client):
    """The nameserver stops in the middle of its answer, or sends it byte by byte."""
    assert client.ask_tcp("half.test").rcode == rig.SERVFAIL
    assert client.ask_tcp("slow.test").addresses() == ["192.0.2.53"]


def client_leaves(program, client):
    """A connection closed while its query is under way takes it along."""
    before = program.descriptors()
    stream = client.connect()
    rig.send_tcp(stream, rig.query("silent.leaves.test"))
    rig.wait_until(lambda: "silent.leaves.test" in FIRST.names(), "it was asked")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()
    rig.wait_until(lambda: program.descriptors() <= before, "its sockets are closed")
    assert client.ask("stays.test").addresses()
    program.stop()
    assert "1 answered, 0 failed" in program.text(), "it was waited for"


def dead_server(_, client):
    """The first is dead: the second answers, and is asked first from then on."""
    with rig.Program("nameserver 127.0.0.99\nnameserver 127.0.0.54\n") as program:
        assert client.ask("dead.test").addresses() == ["192.0.2.54"]
        assert program.process.poll() is None


def silent_server(_, client):
    FIRST.silent = True
    try:
        assert client.ask("quiet1.test").addresses() == ["192.0.2.54"]
        assert client.ask("quiet2.test").addresses() == ["192.0.2.54"]
        assert "quiet1.test" in FIRST.names() and "quiet2.test" not in FIRST.names(), "it should rest"
        assert client.ask_tcp("quiet3.test").addresses() == ["192.0.2.54"]
    finally:
        FIRST.silent = False


def server_cannot(_, client):
    """SERVFAIL and REFUSED of the first: the second is asked, and what both say is the answer."""
    for label, rcode in (("fail", rig.SERVFAIL), ("refuse", rig.REFUSED)):
        assert client.ask(f"{label}.both.test").rcode == rcode
        assert f"{label}.both.test" in FIRST.names() and f"{label}.both.test" in SECOND.names()


def late_server(_, client):
    """One that needs longer than the first turn still gets to answer."""
    assert client.ask("late.test").addresses() == ["192.0.2.53"]
    ports = [port for name, _, port, _ in FIRST.seen if name == "late.test"]
    assert len(ports) > 1 and len(set(ports)) == 1, f"{ports}: its answer to the first must stay valid"


def nobody_answers(_, client):
    begin = time.monotonic()
    answer = client.ask("silent.test", edns=1232)
    assert answer.rcode == rig.SERVFAIL and answer.name == "silent.test" and answer.extra == 1
    assert time.monotonic() - begin > 5, "it should have waited"


def six(_, client):
    assert client.ask("six.test").addresses() == ["192.0.2.1"]
    assert client.ask_tcp("six.test").addresses() == ["192.0.2.1"]


def list_rewritten(program, client):
    program.write("nameserver 127.0.0.54\n# and a word\n")
    rig.wait_until(lambda: "changed" in program.text(), "the list is read again")
    assert client.ask("rewritten.test").addresses() == ["192.0.2.54"]
    assert program.process.poll() is None


def list_replaced(program, client):
    """Another file under the name: it ends in order, and the next one has read it."""
    other = program.resolv_conf.with_name("new")
    other.write_text("nameserver 127.0.0.54\n")
    other.rename(program.resolv_conf)
    assert program.process.wait(rig.PATIENCE_S) == 0
    program.start()
    assert client.ask("replaced.test").addresses() == ["192.0.2.54"]


def no_list(program, client):
    """Without a list it is this host; a list that comes later is taken."""
    with rig.Nameserver("127.0.0.1"):
        assert client.ask("nolist.test").addresses() == ["192.0.2.1"]
    program.write(ONE)
    assert program.process.wait(rig.PATIENCE_S) == 0
    program.start()
    assert client.ask("list.test").addresses() == ["192.0.2.53"]


def restart(program, client):
    """What is asked while it is away waits in the sockets; a killed one leaves nothing in the way."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        status = program.stop(number)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0), status
        client.send(rig.query("waits.test"))
        with client.connect() as stream:
            rig.send_tcp(stream, rig.query("waits-too.test"))
            program.start()
            assert client.receive().name == "waits.test"
            assert rig.receive_tcp(stream).name == "waits-too.test"


def ends_with_work(program, client):
    """SIGTERM with queries under way and connections open: an end in order."""
    with client.connect() as idle, client.connect() as busy:
        rig.send_tcp(busy, rig.query("silent.busy.test"))
        for number in range(10):
            client.send(rig.query(f"silent.end{number}.test"))
        rig.wait_until(lambda: "silent.end9.test" in FIRST.names(), "all are asked")
        rig.wait_until(lambda: "silent.busy.test" in FIRST.names(), "this too")
        assert program.stop() == 0
        assert rig.receive_tcp(idle) is None and rig.receive_tcp(busy) is None
    assert "error" not in program.text() and " 0 failed" in program.text(), program.text()


def port_in_use(_, __):
    """`silica serve` says who is in its way. Any instance number will do: all ports are taken here."""
    holders = []
    for instance in range(16):
        holders.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        holders[-1].bind(("127.0.0.1", rig.PORT + instance))
    with tempfile.TemporaryDirectory(prefix="silica-dns-test-") as data:
        done = subprocess.run([str(rig.BUILD / "silica"), "serve", "--data", data, "--listen", "127.0.0.1:0"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    for holder in holders:
        holder.close()
    assert done.returncode != 0 and "where sandboxes ask for names, is in use" in done.stderr, done.stderr


def port_is_given_up(_, __):
    """As by the silica-dns of a server that was killed a moment ago: the next server waits for it."""
    with tempfile.TemporaryDirectory(prefix="silica-dns-test-") as data, open(data + "/log", "w+b") as log:
        os.chmod(data, 0o755)
        holders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for instance, holder in enumerate(holders):
            holder.bind(("127.0.0.1", rig.PORT + instance))  # whichever its number will be
        server = subprocess.Popen([str(rig.BUILD / "silica"), "serve", "--data", data, "--listen", "127.0.0.1:0"],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            rig.wait_until(lambda: os.path.exists(data + "/run"), "it has its number and makes folders")
            time.sleep(1)
            for holder in holders:
                holder.close()
            path = pathlib.Path(log.name)
            rig.wait_until(lambda: server.poll() is not None or "driver container" in path.read_text(), "it goes on")
            assert "driver container" in path.read_text(), path.read_text()
        finally:
            server.send_signal(signal.SIGINT)  # leaves nothing behind
            server.wait(2 * rig.PATIENCE_S)


def no_names_in_the_log(program, client):
    client.ask("secret-name.test")
    client.ask_tcp("secret-name.test")
    client.send(rig.query("secret-name.test") + b"x")
    client.receive()
    program.stop()
    assert "secret" not in program.text() and "answered" in program.text()


def doctor(program, _):
    """`silica doctor` asks the nameservers of /etc/resolv.conf: here another file is there for it."""
    for text, good in ((ONE, True), ("nameserver 127.0.0.99\n", False)):
        program.write(text)
        script = f"mount --bind {program.resolv_conf} /etc/resolv.conf && exec {rig.BUILD / 'silica'} doctor"
        out = subprocess.run(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False).stdout
        row = next(line for line in out.splitlines() if " nameservers " in line)
        assert row.startswith("ok") == good, row


CASES = (
    ("a query is answered", forwards, ONE),
    ("the nameserver sees a query of ours", written_anew, ONE),
    ("the client's spelling stays", keeps_the_spelling, ONE),
    ("flags are clean, rcodes stay", flags_are_clean, ONE),
    ("what is not forwarded is refused", refuses, ONE),
    ("what must not be answered is dropped", drops, ONE),
    ("sources that are no sandbox of this instance get nothing", foreign_sources, ONE),
    ("answers leave from the address that was asked", answers_from_the_address_asked, ONE),
    ("lies are passed over for the truth", lies, ONE),
    ("garbage is no answer, and a changed list is read", garbage, ONE),
    ("answers longer than the client takes are truncated", big_answers, ONE),
    ("TCP is asked for by TCP", tcp_to_tcp, ONE),
    ("TCP in pieces and in a row", tcp_pieces, ONE),
    ("TCP with what is no query", tcp_errors, ONE),
    ("TCP closed on one side", tcp_half_close, ONE),
    ("TCP that is silent or stops half way is closed", tcp_idle_and_slow, ONE),
    ("TCP to a nameserver that breaks off", tcp_upstream_breaks, ONE),
    ("a client that leaves takes its query along", client_leaves, ONE),
    ("a dead nameserver is passed over", dead_server, None),
    ("a silent nameserver is passed over, and rests", silent_server, BOTH),
    ("a nameserver that cannot is passed over", server_cannot, BOTH),
    ("a late nameserver is waited for", late_server, ONE),
    ("nobody answers: SERVFAIL", nobody_answers, ONE),
    ("a nameserver with an IPv6 address", six, "nameserver ::1\n"),
    ("a list that is written again", list_rewritten, ONE),
    ("a list that is replaced", list_replaced, ONE),
    ("no list, and one that comes", no_list, ""),
    ("a restart loses nothing that waits", restart, ONE),
    ("SIGTERM in the middle of work", ends_with_work, ONE),
    ("silica doctor sees whether a nameserver answers", doctor, ONE),
    ("a port that is in use", port_in_use, None),
    ("a port that is given up", port_is_given_up, None),
    ("no names in the log", no_names_in_the_log, ONE),
)


def run(body, resolv_conf):
    with rig.Client() as client:
        if resolv_conf is None:
            body(None, client)
            return
        with rig.Program(resolv_conf or None) as program:
            try:
                body(program, client)
            except BaseException:
                print("".join("# " + line + "\n" for line in program.text().splitlines()), end="")
                raise


def main():
    t = tap.Tap()
    for name, body, resolv_conf in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        t.case(name, run, body, resolv_conf)
    return t.done()


if __name__ == "__main__":
    rig.leave(main())
