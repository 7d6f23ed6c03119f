#!/usr/bin/env python3
# timeout: 300
"""Traffic through the edge of a real server into real sandboxes: routing, reserved paths, ports, tokens, host
masking, upgrades, and what open connections see when their sandbox is killed."""

import base64
import http.client
import json
import pathlib
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60
ENVD = 49983

# A server of the guest: answers with what it was asked, and echoes behind an upgrade.
GUEST_SERVER = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.end_headers()
            self.wfile.flush()
            while data := self.rfile.read1(65536):
                self.wfile.write(data)
                self.wfile.flush()
            self.close_connection = True
            return
        text = (self.requestline + "\n" + str(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_POST = do_GET
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""


def create(server, **more):
    status, body = server.request("POST", "/v2/sandboxes",
                                  {"templateID": "base", "timeout": 300, **more})
    assert status == 201, (status, body)
    return body


def kill(server, sandbox):
    assert server.request("DELETE", f"/sandboxes/{sandbox['sandboxID']}")[0] == 204


def ask(server, host, method="GET", path="/", headers=None):
    """Returns (status, headers, bytes)."""
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        conn.request(method, path, None, {"Host": host, **(headers or {})})
        answer = conn.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        conn.close()


def host(sandbox, port):
    return f"{port}-{sandbox['sandboxID']}.{sandbox['domain']}"


def start(server, sandbox, command, *arguments):
    """Process/Start through the edge; returns the open connection and answer after the first event."""
    request = json.dumps({"process": {"cmd": command, "args": list(arguments)}}).encode()
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    conn.request("POST", "/process.Process/Start", struct.pack(">BI", 0, len(request)) + request, {
        "Host": host(sandbox, ENVD), "X-Access-Token": sandbox["envdAccessToken"],
        "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1",
        "Authorization": "Basic " + base64.b64encode(b"user:").decode()})
    answer = conn.getresponse()
    assert answer.status == 200, (answer.status, answer.read())
    flags, event = frame(answer)
    assert flags == 0 and "start" in event["event"], event
    return conn, answer


def frame(answer):
    flags, length = struct.unpack(">BI", answer.read(5))
    return flags, json.loads(answer.read(length))


def serve(server, sandbox, port, headers=None):
    """A web server in the sandbox, reachable when this returns."""
    conn, _ = start(server, sandbox, "python3", "-c", GUEST_SERVER, str(port))
    conn.close()  # the process lives on
    silica.wait_until(lambda: ask(server, host(sandbox, port), headers=headers)[0] == 200, LIMIT_S,
                      "the guest's server answers")


def routing(server, sandbox):
    by_headers = {"E2b-Sandbox-Id": sandbox["sandboxID"], "E2b-Sandbox-Port": str(ENVD)}
    for name, headers in ((host(sandbox, ENVD), {}), ("localhost", by_headers),
                          ("gateway.example", by_headers),
                          (f"{ENVD}-{sandbox['sandboxID']}-6532622b.e2b.app", {})):
        status, _, body = ask(server, name, path="/health", headers=headers)
        assert status == 204, (name, status, body)
    status, _, body = ask(server, "localhost", headers={"E2b-Sandbox-Id": sandbox["sandboxID"]})
    assert (status, body) == (400, b"missing header\n"), (status, body)


def reserved(server, sandbox):
    for path in ("/init", "//init/", "/x/../init", "/%69nit", "/freeze", "/upgrade"):
        for token in ({}, {"X-Access-Token": "wrong"},
                      {"X-Access-Token": sandbox["envdAccessToken"]}):
            status, _, body = ask(server, host(sandbox, ENVD), "POST", path,
                                  {**token, "X-Silica-Control": "0" * 64, "Content-Length": "0"})
            assert status == 404 and b"reserved for the E2B control plane" in body, (path, body)


def gone(server, sandbox):
    unknown = "i00000000000000000000"
    status, headers, body = ask(server, f"{ENVD}-{unknown}.localhost", path="/health")
    assert status == 502 and headers["Access-Control-Allow-Origin"] == "*"
    assert body == (f'{{"sandboxId":"{unknown}","message":"The sandbox was not found",'
                    '"code":502}').encode(), body
    status, _, body = ask(server, host(sandbox, 9))
    assert status == 502 and json.loads(body) == {
        "sandboxId": sandbox["sandboxID"], "port": 9, "code": 502,
        "message": "The sandbox is running but port is not open"}, body
    status, _, body = ask(server, host(sandbox, 9), headers={"User-Agent": "Mozilla/5.0"})
    assert status == 502 and body.startswith(b"<!DOCTYPE html>"), body
    assert b"no service is listening on port 9" in body, body


def web_server(server, sandbox):
    serve(server, sandbox, 8000)
    status, _, body = ask(server, host(sandbox, 8000), path="/a%2Fb?c=%zz", headers={
        "X-Forwarded-For": "1.2.3.4", "X-Silica-Control": "x", "Cookie": "k=v"})
    text = body.decode()
    assert status == 200 and text.startswith("GET /a%2Fb?c=%zz HTTP/1.1\n"), text
    assert f"Host: {host(sandbox, 8000)}\n" in text and "Cookie: k=v\n" in text, text
    assert "Forwarded" not in text and "Silica" not in text, text


def tunnel(server, sandbox):
    with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as s:
        s.sendall((f"GET /ws HTTP/1.1\r\nHost: {host(sandbox, 8000)}\r\nConnection: Upgrade\r\n"
                   "Upgrade: echo\r\n\r\n").encode())
        stream = s.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline() != b"\r\n":
            pass
        for n in (1, 1000, 300000):
            s.sendall(b"x" * n)
            assert stream.read(n) == b"x" * n
        s.shutdown(socket.SHUT_WR)
        assert stream.read() == b""


def guarded(server):
    sandbox = create(server, network={"allowPublicTraffic": False,
                                      "maskRequestHost": "localhost:${PORT}"})
    token = {"E2b-Traffic-Access-Token": sandbox["trafficAccessToken"]}
    serve(server, sandbox, 8080, token)
    assert ask(server, host(sandbox, 8080))[0] == 403
    assert ask(server, host(sandbox, 8080), headers={"E2b-Traffic-Access-Token": "x"})[0] == 403
    assert ask(server, host(sandbox, ENVD), path="/health")[0] == 204
    status, headers, _ = ask(server, host(sandbox, 8080), "OPTIONS", headers={
        "Origin": "https://a.example", "Access-Control-Request-Method": "GET"})
    assert status == 204 and headers["Access-Control-Allow-Origin"] == "*"
    text = ask(server, host(sandbox, 8080), headers=token)[2].decode()
    assert "Host: localhost:8080\n" in text, text
    assert f"X-Forwarded-Host: {host(sandbox, 8080)}\n" in text, text
    kill(server, sandbox)


def killed_under_a_stream(server):
    sandbox = create(server)
    conn, answer = start(server, sandbox, "sleep", "1000")
    kill(server, sandbox)
    flags, end = frame(answer)
    while flags == 0:  # events that were on their way
        flags, end = frame(answer)
    assert flags == 2 and end["error"]["code"] == "unavailable", (flags, end)
    assert sandbox["sandboxID"] in end["error"]["message"], end
    conn.close()
    status, _, body = ask(server, host(sandbox, ENVD), path="/health")
    assert status == 502 and b"not found" in body, (status, body)


def main():
    t = tap.Tap()
    leaks = silica.Leaks()
    with silica.Server() as server:
        sandbox = create(server)
        for name, case in (("host names and headers route", routing),
                           ("control paths are never reachable", reserved),
                           ("unknown sandboxes and closed ports are 502", gone),
                           ("a web server in the sandbox", web_server),
                           ("upgrades are tunnels", tunnel)):
            t.case(name, case, server, sandbox)
        t.case("traffic token and masked host", guarded, server)
        t.case("a killed sandbox ends its streams with a frame", killed_under_a_stream, server)
    t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
