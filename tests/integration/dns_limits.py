#!/usr/bin/env python3
"""silica-dns under those who ask too much: what one sandbox may have, that others do not notice, what it costs.

  dns_limits.py [TEXT]   only the cases with TEXT in their name
"""

import contextlib
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dns_rig as rig  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402

rig.enter()
SERVER = rig.Nameserver("127.0.0.53")
ONE = "nameserver 127.0.0.53\n"
BURST, PER_SECOND, INFLIGHT, CONNECTIONS, CONNECTIONS_ALL = 300, 100, 64, 8, 256
SOME_MIB = 24


def address(slot):
    return socket.inet_ntoa((0xC6120002 + 4 * slot).to_bytes(4, "big"))


def asked(prefix):
    return sum(name.startswith(prefix) for name in SERVER.names())


def settle(count):
    """Until nothing more arrives: the number then."""
    seen = -1
    while seen != count():
        seen = count()
        time.sleep(0.5)
    return seen


def rate(program, client):
    """Far more at once than one may: the burst and what comes meanwhile; the rest is dropped, and said so."""
    begin = time.monotonic()
    for number in range(2000):
        client.send(rig.query("refused-rate.test", number=number, flags=0x2000 | rig.RD))  # answered by itself
        if number % 100 == 0:
            time.sleep(0.01)  # the sockets' buffers are not what is looked at
    took = time.monotonic() - begin
    got = 0
    while client.receive(1):
        got += 1
    # (what the kernel dropped is counted nowhere, so the lower bound is a guess at the burst's half)
    assert BURST / 2 <= got <= BURST + PER_SECOND * (took + 1) + 1, (got, took)
    assert "asks too often" in program.text() and "slot 0" in program.text()
    assert program.text().count("asks too often") < 20, "the log is flooded"
    with rig.Client(rig.NEIGHBOUR) as neighbour:
        assert neighbour.ask("rate.neighbour.test").addresses()
    time.sleep(1.2)
    assert client.ask("rate.after.test").addresses(), "it fills again"


def in_flight(program, client):
    for number in range(200):
        client.send(rig.query(f"silent{number}.flight.test".replace("silent", "silent.n"), number=number))
    mine = settle(lambda: asked("silent.n"))
    assert mine == INFLIGHT, mine
    assert program.descriptors() < INFLIGHT + 30
    with rig.Client(rig.NEIGHBOUR) as neighbour:
        assert neighbour.ask("flight.neighbour.test").addresses()
    assert "too many queries under way" in program.text()
    answers = [client.receive() for _ in range(INFLIGHT)]
    assert all(a and a.rcode == rig.SERVFAIL for a in answers)
    assert client.ask("flight.after.test").addresses(), "what is over is given back"


def many_floods(program, _):
    """Thirty sandboxes at once with names that nobody answers: one more gets through."""
    clients = [rig.Client(address(slot)) for slot in range(10, 40)]
    for client in clients:
        for number in range(80):
            client.send(rig.query(f"silent.m{number}.test", number=number))
    settle(lambda: asked("silent.m"))
    with rig.Client(address(100)) as calm:
        assert calm.ask("many.calm.test").addresses()
    assert program.descriptors() < 1100
    for client in clients:
        client.udp.close()


def connections(program, client):
    streams = [client.connect() for _ in range(CONNECTIONS)]
    for stream in streams:
        rig.send_tcp(stream, rig.query("connections.test"))
        assert rig.receive_tcp(stream).addresses()
    with client.connect() as ninth:
        assert rig.receive_tcp(ninth) is None
    with rig.Client(rig.NEIGHBOUR) as neighbour:
        assert neighbour.ask_tcp("connections.neighbour.test").addresses()
    assert "too many connections" in program.text()
    streams.pop().close()

    def again():
        with client.connect() as stream:
            rig.send_tcp(stream, rig.query("connections.again.test"))
            return rig.receive_tcp(stream)
    assert rig.wait_until(again, "one that is closed is given back").addresses()
    for stream in streams:
        stream.close()


def connections_of_all(program, _):
    """However many sandboxes hold what they may: the number has an end, and they go when they are idle."""
    streams = [rig.Client(address(slot)).connect() for slot in range(10, 80) for _ in range(CONNECTIONS)]
    time.sleep(1)
    assert program.descriptors() <= CONNECTIONS_ALL + 30, program.descriptors()
    rig.wait_until(lambda: program.descriptors() < 30, "idle ones are closed")
    for stream in streams:
        stream.close()


def tcp_rate(_, client):
    """Over the rate a connection is closed: an answer that never comes would only be waited for."""
    got = 0
    with client.connect() as stream:
        try:
            for number in range(1000):
                rig.send_tcp(stream, rig.query("x.test", number=number, flags=0x2000))
                if rig.receive_tcp(stream) is None:
                    break
                got += 1
        except OSError:
            pass
    assert BURST <= got < 1000, got


def slow_reader(program, _):
    """Whoever asks for much and reads nothing is closed, and holds one answer meanwhile."""
    before = program.descriptors()
    small = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    small.bind((rig.SANDBOX, 0))
    small.connect((rig.GATEWAY, rig.PORT))
    small.settimeout(rig.PATIENCE_S)
    rig.send_tcp(small, *[rig.query("huge.test", number=n) for n in range(100)])
    rig.wait_until(lambda: asked("huge") > 1, "it asks")
    rig.wait_until(lambda: program.descriptors() <= before, "it is closed", 60)
    assert asked("huge") < 100
    small.close()


def memory(program, client):
    """Every limit filled, and many queries one after the other: it stays small."""
    def used():
        return int(program.status("VmRSS").split()[0]) // 1024
    peak = 0
    for turn in range(4):
        with rig.Client(address(200 + turn)) as other:
            streams = [rig.Client(address(slot)).connect() for slot in range(300, 330) for _ in range(CONNECTIONS)]
            for stream in streams:
                try:
                    rig.send_tcp(stream, rig.query("huge.memory.test"))
                except OSError:
                    pass
            for number in range(250):
                other.send(rig.query(f"memory{number}.test", number=number))
                assert other.receive() is not None
            peak = max(peak, used())
            for stream in streams:
                with contextlib.suppress(AssertionError):  # cut: not read for longer than it waits
                    rig.receive_tcp(stream)
                stream.close()
    assert peak < SOME_MIB + CONNECTIONS_ALL * 65 // 1024, peak
    assert client.ask("memory.after.test").addresses()


def busy_seconds(program):
    """Running, or waiting for a processor: who spins is always one of them, however busy the machine is."""
    with open(f"/proc/{program.process.pid}/schedstat", encoding="ascii") as f:
        return sum(map(int, f.read().split()[:2])) / 1e9


def few_descriptors(program, client):
    """Out of descriptors it goes on with what it has, and is whole again afterwards."""
    streams = []
    try:
        for slot in range(10, 20):
            for _ in range(CONNECTIONS):
                streams.append(rig.Client(address(slot)).connect())
        for number in range(60):
            client.send(rig.query(f"silent.few{number}.test", number=number))
        begin, busy = time.monotonic(), busy_seconds(program)
        time.sleep(3)
        assert program.process.poll() is None, program.text()
        assert busy_seconds(program) - busy < (time.monotonic() - begin) * 0.9, "it spins"
    finally:
        for stream in streams:
            stream.close()

    def answers():
        client.send(rig.query("few.after.test"))
        answer = client.receive(2)
        while answer is not None and answer.name != "few.after.test":
            answer = client.receive(2)
        return answer is not None and answer.addresses()
    rig.wait_until(answers, "it answers again", 60)


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


CASES = (
    ("queries a second", rate, None),
    ("queries under way", in_flight, None),
    ("queries under way of many sandboxes", many_floods, None),
    ("connections", connections, None),
    ("connections of many sandboxes", connections_of_all, None),
    ("queries a second by TCP", tcp_rate, None),
    ("an answer that is not read", slow_reader, None),
    ("memory has an end", memory, None),
    ("no descriptors left", few_descriptors, limit_descriptors),
)


def run(body, setup):
    SERVER.seen.clear()
    with rig.Client() as client, rig.Program(ONE, setup=setup) as program:
        try:
            body(program, client)
        except BaseException:
            print("".join("# " + line + "\n" for line in program.text().splitlines()), end="")
            raise


def main():
    t = tap.Tap()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for name, body, setup in CASES:
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        t.case(name, run, body, setup)
    return t.done()


if __name__ == "__main__":
    rig.leave(main())
