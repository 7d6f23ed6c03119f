"""What tests of abuse and bench/neighbour share: a lean client, and an abuser in a sandbox.

The client is one kept connection with requests made ahead, since its own time counts in the
measurements. The abuser is the static program security-abuser, uploaded into the sandbox.
"""

import base64
import json
import os
import pathlib
import socket
import struct
import time

import silica

ENVD_PORT = 49983
ABUSER_PATH = "/tmp/abuser"
END_FLAG = 2


def build_file(name):
    """A program of the build: beside silica after make, below it after ninja alone."""
    for folder in ("", "tests/security/abuser", "meson/tests/security/abuser"):
        path = silica.BUILD / folder / name
        if path.is_file():
            return path
    for folder, _, files in os.walk(silica.BUILD):
        if name in files:
            return pathlib.Path(folder, name)
    raise FileNotFoundError(f"{name} below {silica.BUILD}")


class Client:
    """One kept connection to a server. Not for several threads."""

    def __init__(self, server, limit_s=120):
        self.address = (server.address, server.port)
        self.key = server.exports["E2B_API_KEY"]
        self.limit_s = limit_s
        self.socket, self.rest = None, b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket, self.rest = None, b""

    def send(self, data):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, self.limit_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(data)

    def _more(self):
        piece = self.socket.recv(262144)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.rest += piece

    def _line(self):
        while b"\r\n" not in self.rest:
            self._more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def _take(self, n):
        while len(self.rest) < n:
            self._more()
        piece, self.rest = self.rest[:n], self.rest[n:]
        return piece

    def head(self):
        status = int(self._line().split()[1])
        fields = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        return status, fields

    def pieces(self, fields):
        """The body in the pieces in which it comes."""
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int(self._line(), 16):
                yield self._take(size)
                self._line()
            self._line()
        else:
            yield self._take(int(fields.get(b"content-length", b"0")))

    def answer(self):
        status, fields = self.head()
        return status, b"".join(self.pieces(fields))

    def request(self, method, path, body=b"", headers=()):
        self.send(compose(method, path, [("X-API-Key", self.key), *headers], body))
        return self.answer()

    def api(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        status, text = self.request(method, path, data, [("Content-Type", "application/json")])
        assert status < 300, (method, path, status, text)
        return json.loads(text) if text else None


def compose(method, path, headers, body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode() + body


class Sandbox:
    """One sandbox. `client` is for short requests; each abuse gets a connection of its own."""

    def __init__(self, server, **fields):
        client = Client(server)
        self.take(server, client, client.api("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 600, **fields}))

    def take(self, server, client, info):
        """For one that is there already: info is what the API says of it."""
        self.server, self.client, self.info = server, client, info
        self.id = self.info["sandboxID"]
        self.guest = [("E2b-Sandbox-Id", self.id), ("E2b-Sandbox-Port", str(ENVD_PORT)),
                      ("X-Access-Token", self.info["envdAccessToken"])]
        self.streams = []
        self.true = self._start_bytes("/bin/true", [], "user")
        self.list_request = compose("POST", "/process.Process/List",
                                    [*self.guest, ("Content-Type", "application/json"),
                                     ("Connect-Protocol-Version", "1")], b"{}")

    def _start_bytes(self, command, arguments, user):
        message = json.dumps({"process": {"cmd": command, "args": list(arguments)}, "stdin": False}).encode()
        login = base64.b64encode(f"{user}:".encode()).decode()
        return compose("POST", "/process.Process/Start",
                       [*self.guest, ("Content-Type", "application/connect+json"),
                        ("Connect-Protocol-Version", "1"), ("Authorization", f"Basic {login}")],
                       struct.pack(">BI", 0, len(message)) + message)

    def run_true(self, client=None):
        """One command to its end; raises unless it ended well."""
        client = client or self.client
        client.send(self.true)
        status, body = client.answer()
        if status != 200 or b'"exited":true' not in body.replace(b" ", b"") or b'"error"' in body:
            raise RuntimeError(f"exec: {status} {body!r}")

    def run(self, command, *arguments, user="user", client=None):
        """Returns (stdout, end event) of one command, or raises what Connect says of its start."""
        client = client or self.client
        client.send(self._start_bytes(command, arguments, user))
        status, body = client.answer()
        assert status == 200, (status, body)
        output, end = b"", None
        for event in frames(body):
            output += base64.b64decode(event.get("data", {}).get("stdout", ""))
            end = event.get("end", end)
        return output, end

    def upload(self, path, data, user="user"):
        status, text = self.client.request("POST", f"/files?path={path}&username={user}", data,
                                           [*self.guest, ("Content-Type", "application/octet-stream")])
        assert status == 200, (status, text)

    def read(self, path, client=None):
        client = client or self.client
        status, body = client.request("GET", f"/files?path={path}&username=user", headers=self.guest)
        assert status == 200, (status, body)
        return body

    def health(self, client=None):
        status, _ = (client or self.client).request("GET", "/health", headers=self.guest)
        assert status == 204, status

    def list(self, client=None):
        client = client or self.client
        client.send(self.list_request)
        status, body = client.answer()
        assert status == 200, (status, body)
        return json.loads(body)

    def abuse(self, kind, *words, user="user", until="up"):
        """Starts an abuser and returns when it says `until`. It goes on; its output stays unread."""
        if not self.streams:
            self.upload(ABUSER_PATH, build_file("security-abuser").read_bytes())
            _, end = self.run("/bin/chmod", "755", ABUSER_PATH)
            assert end["exited"], end
        stream = Abuse(self, self._start_bytes(ABUSER_PATH, [kind, *map(str, words)], user))
        self.streams.append(stream)
        stream.wait(until)
        return stream

    def kill(self):
        """Seconds until the answer, which means that nothing is left."""
        started = time.monotonic()
        status, body = Client(self.server).request("DELETE", f"/sandboxes/{self.id}")
        took = time.monotonic() - started
        assert status == 204, (status, body)
        for stream in self.streams:
            stream.client.close()
        self.client.close()
        return took


class Abuse:
    """The output of an abuser, as far as somebody wants to know it."""

    def __init__(self, sandbox, start):
        self.client = Client(sandbox.server)
        self.client.send(start)
        status, fields = self.client.head()
        assert status == 200, status
        self.pieces = self.client.pieces(fields)
        self.bytes, self.text = b"", ""

    def wait(self, word):
        """Until it has printed `word` on a line of its own."""
        while word not in self.text.split("\n"):
            self._read()

    def met_any(self, names):
        """True once it has met one of these errors; waits for its next output otherwise."""
        if not any(f"met {name}" in self.text for name in names):
            self._read()
        return any(f"met {name}" in self.text for name in names)

    def _read(self):
        try:
            self.bytes += next(self.pieces)
        except StopIteration:
            raise RuntimeError(f"the abuser ended: {self.text[-200:]!r}") from None
        while len(self.bytes) >= 5 and len(self.bytes) >= 5 + struct.unpack(">I", self.bytes[1:5])[0]:
            size = struct.unpack(">I", self.bytes[1:5])[0]
            flags, message = self.bytes[0], json.loads(self.bytes[5:5 + size])
            self.bytes = self.bytes[5 + size:]
            event = message.get("event", {})
            if flags & END_FLAG or "end" in event:
                raise RuntimeError(f"the abuser ended: {self.text[-200:]!r} {message}")
            data = event.get("data", {})
            self.text += base64.b64decode(data.get("stdout", "") or data.get("stderr", "")).decode(
                errors="replace")


def frames(body):
    """The events of a whole Connect stream; raises what its trailer says."""
    while len(body) >= 5:
        flags, size = struct.unpack(">BI", body[:5])
        message, body = json.loads(body[5:5 + size]), body[5 + size:]
        if flags & END_FLAG:
            if "error" in message:
                raise RuntimeError(f"exec: {message['error']}")
            return
        yield message["event"]
