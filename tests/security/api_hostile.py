#!/usr/bin/env python3
# timeout: 300
"""The list of hostile things to say to the API, the edge and envd, by name, against a real server with two real
sandboxes. Signed URLs and the binary codec are not in this version, and so not here."""

import http.client
import json
import os
import pathlib
import secrets
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 120
ENVD = 49983
SLOW_CONNECTIONS = 100

# What a request may not be: all after "POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n", with another request behind.
SMUGGLING = {
    "length and encoding": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: 4\r\n\r\n",
    "two lengths in one": "Content-Length: 0, 4\r\n\r\n",
    "a length with a sign": "Content-Length: +4\r\n\r\nabcd",
    "a length below nothing": "Content-Length: -1\r\n\r\n",
    "a hexadecimal length": "Content-Length: 0x4\r\n\r\nabcd",
    "a length that overflows": "Content-Length: 18446744073709551617\r\n\r\na",
    "an empty length": "Content-Length:\r\n\r\n",
    "an unknown encoding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked before another": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": "X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a zero byte": "X-A: b\0c\r\n\r\n",
    "a zero byte in a name": "X\0A: b\r\n\r\n",
    "no name": ": b\r\n\r\n",
    "two hosts": "Host: other\r\n\r\n",
    "a chunk size with a sign": "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "a chunk size that overflows": "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
    "a chunk without its end": "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk size that ends in a line feed": "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
}
BEHIND = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

STARTS = {  # with the status that says what was wrong
    "version 0.9": (400, "GET /health\r\n\r\n"),
    "version 2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "version 1.2": (505, "GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n"),
    "no host": (400, "GET /health HTTP/1.1\r\n\r\n"),
    "a space in the target": (400, "GET /hea lth HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a control character in the target": (400, "GET /hea\x01lth HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a method of odd characters": (400, "G(T /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a target of another host": (403, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n"),
    "TRACE": (405, "TRACE /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
}

BOMBS = {
    "a line of 1 MiB": (431, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * (1 << 20)),
    "a target of 1 MiB": (414, b"GET /" + b"a" * (1 << 20)),
    "a method of 1 MiB": (400, b"A" * (1 << 20)),
    "100000 lines": (431, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100000 + b"\r\n"),
    "129 lines": (431, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 129 + b"\r\n"),
    "empty lines without end": (400, b"\r\n" * 500000),
}

JSON = {
    "100000 arrays in each other": "[" * 100000,
    "100000 objects in each other": '{"a":' * 100000,
    "a number of 100000 digits": '{"timeout":' + "9" * 100000 + "}",
    "an exponent": '{"templateID":"base","timeout":1e999}',
    "a fraction": '{"templateID":"base","timeout":1.5}',
    "text that is not UTF-8": b'{"templateID":"\xff\xfe"}',
    "an overlong form": b'{"templateID":"\xc0\xaf"}',
    "half of a pair": '{"templateID":"\\ud800"}',
    "a zero in a text": '{"templateID":"base\\u0000x"}',
    "a name twice": '{"templateID":"base","templateID":"nope"}',
    "a comma at the end": '{"templateID":"base",}',
    "a byte order mark": b'\xef\xbb\xbf{"templateID":"base"}',
    "two values": '{"templateID":"base"}{"templateID":"base"}',
    "comments": '{/**/"templateID":"base"}',
    "NaN": '{"templateID":"base","timeout":NaN}',
    "a text without end": '{"templateID":"bas',
    "200000 values": '{"templateID":"base","x":[' + "0," * 199999 + "0]}",
}


def envelope(text, flags=0, length=None):
    return struct.pack(">BI", flags, len(text) if length is None else length) + text


PWD = b'{"process":{"cmd":"/bin/pwd"}}'
FRAMES = {
    "a length of 4 GiB": envelope(PWD, length=0xFFFFFFFF),
    "a length beyond the body": envelope(PWD, length=len(PWD) + 1),
    "half of a head": b"\0\0\0",
    "a message without a head": PWD,
    "an end instead of a message": envelope(b"{}", flags=2),
    "a compressed message": envelope(PWD, flags=1),
    "unknown flags": envelope(PWD, flags=0xFC),
    "an empty message": envelope(b""),
    "no message": b"",
    "arrays in each other": envelope(b"[" * 60000),
    "text that is not UTF-8": envelope(b'{"process":{"cmd":"\xff"}}'),
    "a zero in a word": envelope(b'{"process":{"cmd":"/bin/sh\\u0000x"}}'),
    "100000 arguments": envelope(b'{"process":{"cmd":"/bin/true","args":[' + b'"a",' * 99999 + b'"a"]}}'),
    "an odd variable": envelope(b'{"process":{"cmd":"/bin/true","envs":{"A=B":"c","":"d"}}}'),
    "a folder that is none": envelope(b'{"process":{"cmd":"/bin/true","cwd":"/etc/passwd"}}'),
}


def talk(server, data, limit_s=LIMIT_S):
    """All that comes back until the server ends the connection; b"" for a reset."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=limit_s) as s:
        got = b""
        try:
            s.sendall(data)
            while chunk := s.recv(65536):
                got += chunk
        except (ConnectionError, BrokenPipeError):
            pass
        return got


def ask(server, host, method, path, body=None, headers=None):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        conn.request(method, path, body, {"Host": host, **(headers or {})})
        answer = conn.getresponse()
        return answer.status, answer.read()
    finally:
        conn.close()


def envd(server, sandbox, method, path, body=None, token=None, **headers):
    if token is None:
        token = sandbox["envdAccessToken"]
    more = {"X-Access-Token": token} if token else {}
    more.update({k.replace("_", "-"): v for k, v in headers.items()})
    return ask(server, f"{ENVD}-{sandbox['sandboxID']}.localhost", method, path, body, more)


def lives(server, *sandboxes):
    assert ask(server, "localhost", "GET", "/health")[0] == 200
    for sandbox in sandboxes:
        assert envd(server, sandbox, "GET", "/health")[0] == 204


def foreign_token(server, a, b):
    """The token of A, none, and one that is nearly B's open nothing of B."""
    right = b["envdAccessToken"]
    near = right[:-1] + ("0" if right[-1] != "0" else "1")
    for token in (a["envdAccessToken"], "", near, right + "x", right.upper() + " "):
        for method, path, body in (("GET", "/files?path=/etc/hostname", None), ("POST", "/files?path=/tmp/x", b"x"),
                                   ("GET", "/metrics", None), ("GET", "/envs", None),
                                   ("POST", "/process.Process/List", b"{}"),
                                   ("POST", "/filesystem.Filesystem/ListDir", b'{"path":"/"}'),
                                   ("POST", "/process.Process/Start", envelope(PWD))):
            status, answer = envd(server, b, method, path, body, token=token, Content_Type="application/json")
            assert status == 401, (path, token, status, answer)
    assert envd(server, b, "GET", "/files?path=/etc/hostname")[0] == 200


def foreign_key(server, a, b):
    """Neither a sandbox's token nor half a key is an API key."""
    key = server.exports["E2B_API_KEY"]
    for wrong in (a["envdAccessToken"], key[:-1], key + "0", key.upper(), "", "e2b_", "'; drop table keys; --"):
        for method, path in (("GET", "/sandboxes"), ("DELETE", f"/sandboxes/{b['sandboxID']}")):
            assert ask(server, "localhost", method, path, None, {"X-API-Key": wrong})[0] == 401, wrong
    lives(server, b)


def paths(server, a, flag):
    """However a path is written, it is one of the sandbox: the host's file is never read nor written."""
    secret, name = flag.read_text(), str(flag)
    up = "../" * 20
    for path in (name, up + name[1:], "/" + up + name[1:], "/proc/1/root" + name, "/proc/1/cwd" + name,
                 "/proc/self/root/" + up + name[1:], "//" + name, "/./" + name, name + "%00", name + "%2500",
                 (up + name[1:]).replace("../", "%2e%2e%2f"), "\\..\\.." + name, "~root/" + up + name[1:], ""):
        for user in ("user", "root", "../root", "0", "user%00root", "nobody-here"):
            for method, body in (("GET", None), ("POST", b"overwritten")):
                _, answer = envd(server, a, method, f"/files?path={path}&username={user}", body,
                                 Content_Type="application/octet-stream")
                assert secret.encode() not in answer, (path, user)
    assert flag.read_text() == secret
    lives(server, a)


def smuggled(server, rest, host="localhost"):
    """One answer, a refusal, and the end of the connection: what stands behind is no request."""
    got = talk(server, f"POST /sandboxes HTTP/1.1\r\nHost: {host}\r\n{rest}{BEHIND}".encode("latin-1"))
    answers = got.count(b"HTTP/1.1 ")
    assert answers <= 1 and (answers == 0 or got.startswith(b"HTTP/1.1 4") or got.startswith(b"HTTP/1.1 5")), got


def refused(server, status, data):
    got = talk(server, data)
    assert got == b"" or got.startswith(b"HTTP/1.1 %d " % status), got[:200]
    lives(server)


def malformed(server, text):
    body = text.encode() if isinstance(text, str) else text
    status, answer = ask(server, "localhost", "POST", "/sandboxes", body,
                         {"X-API-Key": server.exports["E2B_API_KEY"], "Content-Type": "application/json"})
    assert status in (400, 413) and json.loads(answer)["message"], (status, answer[:200])


def frames(server, a, body):
    """An error of the protocol, or the end of a process that was started; envd goes on."""
    status, answer = envd(server, a, "POST", "/process.Process/Start", body,
                          Content_Type="application/connect+json", Connect_Protocol_Version="1")
    if status == 200:
        assert b'"error"' in answer, answer[:300]
    else:
        assert 400 <= status < 500, (status, answer[:300])
    lives(server, a)


def slow_loris(server):
    """Heads that come a byte at a time are given up, and meanwhile others are served."""
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SLOW_CONNECTIONS)]
    text, left, end = b"GET /health HTTP/1.1\r\nX-Slow: " + b"s" * 100000, set(held), time.monotonic() + LIMIT_S
    for n in range(len(text)):
        for s in list(left):
            try:
                s.settimeout(0)
                s.send(text[n:n + 1])
                if s.recv(4096) == b"":
                    left.remove(s)
            except BlockingIOError:
                pass
            except OSError:
                left.remove(s)
        lives(server)
        if not left or time.monotonic() > end:
            break
        time.sleep(0.1)
    for s in held:
        s.close()
    assert not left, f"{len(left)} slow connections live on"


def slow_body(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as s:
        s.sendall(b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "
                  + server.exports["E2B_API_KEY"].encode() + b"\r\nContent-Length: 100\r\n\r\n{")
        got = s.recv(65536)
        assert got == b"" or got.startswith(b"HTTP/1.1 4"), got
    lives(server)


def run(t, server, flag):
    def create():
        status, sandbox = server.request("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 280, "secure": True})
        assert status == 201, sandbox
        return sandbox

    a, b = create(), create()
    t.case("the token of one sandbox opens nothing of another", foreign_token, server, a, b)
    t.case("what is nearly an API key is none", foreign_key, server, a, b)
    t.case("paths of the files API stay in the sandbox", paths, server, a, flag)
    for name, rest in SMUGGLING.items():
        t.case(f"smuggling: {name}, to the API", smuggled, server, rest)
        if name != "two hosts":
            t.case(f"smuggling: {name}, to the edge", smuggled, server, rest, f"{ENVD}-{a['sandboxID']}.localhost")
    for name, (status, text) in STARTS.items():
        t.case(f"a first line: {name}", refused, server, status, text.encode("latin-1"))
    for name, (status, data) in BOMBS.items():
        t.case(f"a header bomb: {name}", refused, server, status, data)
    for name, text in JSON.items():
        t.case(f"malformed JSON: {name}", malformed, server, text)
    for name, body in FRAMES.items():
        t.case(f"a Connect frame: {name}", frames, server, a, body)
    t.case("slow loris: heads", slow_loris, server)
    t.case("slow loris: a body", slow_body, server)
    t.case("after all of it both sandboxes answer", lives, server, a, b)


def main():
    t = tap.Tap()
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    with tempfile.TemporaryDirectory(prefix="silica-test-") as folder:
        config = pathlib.Path(folder) / "silica.conf"
        config.write_text("[server]\nhead_timeout_ms = 3000\nbody_timeout_ms = 3000\n")
        flag = pathlib.Path(folder) / "flag"
        flag.write_text(secrets.token_hex(16))
        os.chmod(folder, 0o755)  # whoever sees the host's files may read it
        leaks = silica.Leaks()
        with silica.Server(arguments=["--config", str(config)]) as server:
            run(t, server, flag)
        t.case("nothing is left", leaks.check, server)
    sys.exit(t.done())


main()
