"""Runs inside a sandbox: a WebSocket server (RFC 6455) that sends every message back.

Usage: ws_echo.py PORT. Text and binary messages of one frame, ping, close; one thread a connection.
"""

import base64
import hashlib
import socketserver
import struct
import sys

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
PING, PONG, CLOSE = 9, 10, 8


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        fields = {}
        self.rfile.readline()
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        key = fields.get("sec-websocket-key")
        asked = (fields.get("upgrade", "").lower(), fields.get("connection", "").lower())
        if key is None or asked[0] != "websocket" or "upgrade" not in asked[1]:
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        self.wfile.write((
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
        while (message := self.receive()) is not None:
            opcode, payload = message
            self.send(PONG if opcode == PING else opcode, payload)
            if opcode == CLOSE:
                return

    def receive(self):
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        opcode, size = head[0] & 0x0F, head[1] & 0x7F
        if size == 126:
            size, = struct.unpack("!H", self.rfile.read(2))
        elif size == 127:
            size, = struct.unpack("!Q", self.rfile.read(8))
        mask = self.rfile.read(4)
        data = self.rfile.read(size)
        plain = int.from_bytes(data, "big") ^ int.from_bytes(
            (mask * (size // 4 + 1))[:size], "big") if size else 0
        return opcode, plain.to_bytes(size, "big")

    def send(self, opcode, payload):
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([size])
        elif size < 65536:
            head += struct.pack("!BH", 126, size)
        else:
            head += struct.pack("!BQ", 127, size)
        self.wfile.write(head + payload)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("0.0.0.0", int(sys.argv[1])), Echo) as server:
    print("listening", flush=True)
    server.serve_forever()
