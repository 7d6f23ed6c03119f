#!/usr/bin/env python3
# timeout: 600
"""Files of silica-envd: the calls of filesystem.Filesystem, and GET and POST /files."""

import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import stat
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from envd_process import refused  # noqa: E402
from envd_rig import LIMIT_S, basic, envd, wait_for  # noqa: E402

USER = 54321
OCTETS = {"Content-Type": "application/octet-stream"}


def fs(e, method, headers=None, **message):
    return e.unary(f"filesystem.Filesystem/{method}", message, headers)


def files(**query):
    return "/files?" + urllib.parse.urlencode(query)


def fails(e, status, says, method, path, body=None, headers=None):
    got, reply, text = e.request(method, path, body, headers)
    value = json.loads(text)
    assert got == status and value["code"] == status and says in value["message"], (got, text)
    assert reply["X-Content-Type-Options"] == "nosniff"


def form(*parts, boundary="b0undary"):
    out = b""
    for disposition, content in parts:
        out += (f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
                "Content-Type: application/octet-stream\r\n\r\n").encode() + content + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"}


def stat_entries(e):
    root = e.root / "stat"
    root.mkdir()
    (root / "f.txt").write_text("twelve bytes")
    os.utime(root / "f.txt", ns=(0, 1600000000123000000))
    os.chown(root / "f.txt", USER, 77777)
    (root / "f.txt").chmod(0o640)
    (root / "link").symlink_to("f.txt")
    (root / "broken").symlink_to("nowhere")
    os.mkfifo(root / "fifo", 0o600)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    entry = fs(e, "Stat", path=f"{root}/f.txt")["entry"]
    assert entry == {"name": "f.txt", "type": "FILE_TYPE_FILE", "path": f"{root}/f.txt", "size": "12",
                     "mode": 0o640, "permissions": "-rw-r-----", "owner": "user", "group": "77777",
                     "modifiedTime": "2020-09-13T12:26:40.123Z"}, entry
    entry = fs(e, "Stat", path=f"{root}/link")["entry"]
    assert entry["type"] == "FILE_TYPE_FILE" and entry["symlinkTarget"] == f"{root}/f.txt", entry
    assert entry["permissions"] == "Lrwxrwxrwx" and entry["mode"] == 0o640 and entry["isSymlink"]
    entry = fs(e, "Stat", path=f"{root}/broken")["entry"]
    assert "type" not in entry and "mode" not in entry, entry
    assert entry["symlinkTarget"] == f"{root}/broken", entry
    entry = fs(e, "Stat", path=f"{root}/fifo")["entry"]
    assert "type" not in entry and entry["permissions"] == "prw-------", entry
    assert fs(e, "Stat", path=f"{root}/sticky")["entry"]["permissions"] == "dtrwxrwxrwx"
    assert "file not found" in refused("not_found", fs, e, "Stat", path=f"{root}/none")
    refused("internal", fs, e, "Stat", path=f"{root}/f.txt/x")
    refused("unauthenticated", fs, e, "Stat", path="/", headers=basic("nobody"))
    refused("invalid_argument", fs, e, "Stat", path="~other/x")
    refused("invalid_argument", fs, e, "Stat", path=5)


def relative_paths(e):
    home = str(e.root / "home")
    for given in ("", "~", "~/", "."):
        assert fs(e, "Stat", path=given, headers=basic("user"))["entry"]["path"] == home, given
    assert fs(e, "MakeDir", path="rel/a", headers=basic("user"))["entry"]["path"] == f"{home}/rel/a"


def make_dir(e):
    base = e.root / "make"
    entry = fs(e, "MakeDir", path=f"{base}/a/b", headers=basic("user"))["entry"]
    assert entry["permissions"] == "drwxr-xr-x" and entry["owner"] == "user", entry
    for made in (base, base / "a", base / "a/b"):
        assert made.stat().st_uid == USER and stat.S_IMODE(made.stat().st_mode) == 0o755
    refused("already_exists", fs, e, "MakeDir", path=f"{base}/a/b")
    (base / "f").write_text("")
    refused("invalid_argument", fs, e, "MakeDir", path=f"{base}/f")
    refused("internal", fs, e, "MakeDir", path=f"{base}/f/x")


def move(e):
    base = e.root / "move"
    base.mkdir()
    (base / "a").write_text("A")
    (base / "b").write_text("B")
    (base / "d").mkdir()
    assert fs(e, "Move", source=f"{base}/a", destination=f"{base}/b")["entry"]["path"] == f"{base}/b"
    assert (base / "b").read_text() == "A" and not (base / "a").exists()
    fs(e, "Move", source=f"{base}/b", destination=f"{base}/new/deep/b", headers=basic("user"))
    assert (base / "new/deep").stat().st_uid == USER
    assert "source file not found" in refused("not_found", fs, e, "Move", source=f"{base}/no",
                                              destination=f"{base}/x")
    refused("internal", fs, e, "Move", source=f"{base}/new", destination=f"{base}/d")
    fs(e, "Move", source=f"{base}/new", destination=f"{base}/new2")
    assert (base / "new2/deep/b").read_text() == "A"


def remove(e):
    base = e.root / "remove"
    (base / "a/b").mkdir(parents=True)
    (base / "a/f").write_text("x")
    (base / "keep").write_text("keep")
    (base / "a/link").symlink_to(base / "keep")
    (base / "dirlink").symlink_to(base / "a")
    fs(e, "Remove", path=f"{base}/dirlink")
    assert (base / "a/f").exists() and not (base / "dirlink").is_symlink()
    fs(e, "Remove", path=f"{base}/a/")
    assert sorted(os.listdir(base)) == ["keep"]
    fs(e, "Remove", path=f"{base}/a")  # missing: success
    fs(e, "Remove", path=f"{base}/no/such/parent")
    for path in ("/", f"{base}/.", f"{base}/.."):
        refused("internal", fs, e, "Remove", path=path)
    assert (base / "keep").exists()


def list_dir(e):
    base = e.root / "list"
    for name in ("b/x", "b/y", "a/x", "a/y"):
        (base / name).mkdir(parents=True)
    (base / "a/x/deep").mkdir()
    (base / "Z").write_text("")
    (base / "link").symlink_to(base / "a")

    def names(**more):
        entries = fs(e, "ListDir", **more).get("entries", [])
        return [entry["path"].removeprefix(str(base)) for entry in entries]
    assert names(path=str(base)) == ["/Z", "/a", "/b", "/link"]
    assert names(path=str(base), depth=2) == ["/Z", "/a", "/a/x", "/a/y", "/b", "/b/x", "/b/y",
                                              "/link"]
    assert names(path=str(base), depth="3")[3] == "/a/x/deep"
    assert names(path=f"{base}/link") == ["/link/x", "/link/y"]
    assert names(path=f"{base}/b/") == ["/b/x", "/b/y"]
    assert names(path=f"{base}/b/x") == []
    refused("not_found", fs, e, "ListDir", path=f"{base}/none")
    refused("invalid_argument", fs, e, "ListDir", path=f"{base}/Z")
    (base / "loop").symlink_to(base / "loop")
    refused("failed_precondition", fs, e, "ListDir", path=f"{base}/loop")
    refused("invalid_argument", fs, e, "ListDir", path=str(base), depth=-1)


def upload_raw(e):
    path = e.root / "home/up/raw.bin"
    status, headers, body = e.request("POST", files(path="up/raw.bin", username="user"), b"abc",
                                      OCTETS)
    assert status == 200 and json.loads(body) == [
        {"path": str(path), "name": "raw.bin", "type": "file"}], body
    assert path.read_bytes() == b"abc" and path.stat().st_uid == USER
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and path.parent.stat().st_uid == USER
    path.chmod(0o600)
    e.request("POST", files(path=str(path), username="user"), b"", OCTETS)
    assert path.read_bytes() == b"" and stat.S_IMODE(path.stat().st_mode) == 0o600
    fails(e, 400, "path query parameter is required", "POST", "/files", b"x", OCTETS)
    fails(e, 400, "path is a directory", "POST", files(path="", username="user"), b"x", OCTETS)
    fails(e, 400, "path is a directory", "POST", files(path=str(path.parent)), b"x", OCTETS)
    fails(e, 500, "path is a file", "POST", files(path=f"{path}/x"), b"x", OCTETS)
    fails(e, 400, "unsupported content type", "POST", files(path="x"), b"x",
          {"Content-Type": "text/plain"})
    fails(e, 400, "Content-Encoding", "POST", files(path="x"), b"x",
          {**OCTETS, "Content-Encoding": "gzip"})
    fails(e, 400, "invalid metadata", "POST", files(path="x"), b"x", {**OCTETS, "X-Metadata-A": "b"})
    fails(e, 401, "unknown user", "POST", files(path="x", username="ghost"), b"x", OCTETS)


def upload_form(e):
    base = e.root / "form"
    tricky = b"\r\n--b0undar\r\n--\r\n\r"
    body, headers = form((f'name="file"; filename="{base}/one"', b"1"),
                         ('name="other"; filename="ignored"', b"x"),
                         (f'name="file"; filename="{base}/sub/two"', tricky),
                         (f'name="file"; filename="{base}/empty"', b""))
    status, _, answer = e.request("POST", files(username="user"), body, headers)
    assert status == 200 and [f["name"] for f in json.loads(answer)] == ["one", "two", "empty"]
    assert (base / "sub/two").read_bytes() == tricky and (base / "sub").stat().st_uid == USER
    assert (base / "empty").read_bytes() == b""
    body, headers = form(('name="file"', b"text"))  # as browsers do with signed links
    assert e.request("POST", files(path=f"{base}/named"), body, headers)[0] == 200
    assert (base / "named").read_bytes() == b"text"
    fails(e, 400, "filename", "POST", "/files", body, headers)
    body, headers = form((f'name="file"; filename="{base}/twice"', b"first"),
                         (f'name="file"; filename="{base}/twice"', b"second"))
    fails(e, 400, "same path", "POST", "/files", body, headers)
    assert (base / "twice").read_bytes() == b"first"
    fails(e, 500, "ends early", "POST", "/files", body[:60], headers)
    fails(e, 500, "boundary", "POST", "/files", body, {"Content-Type": "multipart/form-data"})


def download(e):
    base = e.root / "down"
    base.mkdir()
    (base / "t.json").write_text("{}")
    (base / "plain").write_text("some text")
    (base / "bin").write_bytes(b"\0\1\2")
    (base / "empty").write_bytes(b"")
    (base / "a b;\"ü.txt").write_text("odd name")
    status, h, body = e.request("GET", files(path=f"{base}/t.json"))
    assert (status, body, h["Content-Length"]) == (200, b"{}", "2") and h["Last-Modified"]
    assert h["Content-Type"] == "application/json"
    assert h["Content-Disposition"] == "inline; filename=t.json"
    assert e.request("GET", files(path=f"{base}/plain"))[1]["Content-Type"].startswith("text/plain")
    assert e.request("GET", files(path=f"{base}/bin"))[1]["Content-Type"] == \
        "application/octet-stream"
    status, h, body = e.request("GET", files(path=f"{base}/empty"))
    assert (status, body, h["Content-Length"]) == (200, b"", "0")
    h = e.request("GET", files(path=f"{base}/a b;\"ü.txt"))[1]
    assert h["Content-Disposition"] == "inline; filename*=utf-8''a%20b%3B%22%C3%BC.txt", h
    (e.root / "home/rel.txt").write_text("relative")
    assert e.request("GET", files(path="rel.txt", username="user"))[2] == b"relative"
    assert b"silica-envd" in e.request("GET", files(path="/proc/self/status"))[2]  # says size 0
    fails(e, 404, f"path '{base}/none' does not exist", "GET", files(path=f"{base}/none"))
    fails(e, 400, f"path '{base}' is a directory", "GET", files(path=str(base)))
    fails(e, 400, "cannot expand", "GET", files(path="~x"))
    fails(e, 401, "error looking up user 'ghost': user: unknown user ghost", "GET",
          files(path="/", username="ghost"))
    assert e.request("GET", "/files?path=a&path=b")[0] == 400
    os.mkfifo(base / "fifo")
    fails(e, 400, "not a regular file", "GET", files(path=f"{base}/fifo"))  # and does not block
    fails(e, 500, "", "POST", files(path=f"{base}/fifo"), b"x", OCTETS)
    fails(e, 400, "not a regular file", "GET", files(path="/dev/zero"))
    fails(e, 400, "not a regular file", "POST", files(path="/dev/null"), b"x", OCTETS)


def magic_links(e):
    """The daemon's own descriptors cannot be reached through /proc."""
    for number in os.listdir(f"/proc/{e.pid_inside()}/fd"):
        status, _, body = e.request("GET", files(path=f"/proc/self/fd/{number}"))
        assert status >= 400, (number, status, body)
        status, _, body = e.request("POST", files(path=f"/proc/self/fd/{number}"), b"x", OCTETS)
        assert status >= 400, (number, status, body)


def big_file(e):
    """256 MiB both ways: the bytes are right and the daemon's memory does not follow them."""
    size = 256 << 20
    path = e.root / "big"
    block = os.urandom(1 << 20)
    wanted = hashlib.sha256()
    before = e.resident_bytes()
    peak = 0

    def blocks():
        nonlocal peak
        for _ in range(size >> 20):
            wanted.update(block)
            peak = max(peak, e.resident_bytes())
            yield block
    status, _, _ = e.request("POST", files(path=str(path)), blocks(), OCTETS)
    assert status == 200 and path.stat().st_size == size
    conn = http.client.HTTPConnection("127.0.0.1", e.port, timeout=LIMIT_S)
    conn.request("GET", files(path=str(path)))
    reply = conn.getresponse()
    got = hashlib.sha256()
    while piece := reply.read(1 << 20):
        got.update(piece)
        peak = max(peak, e.resident_bytes())
    assert got.digest() == wanted.digest()
    assert peak - before < 16 << 20, f"{peak - before} bytes more"
    path.unlink()


def disk_full(e):
    """On a small file system: 507, and the daemon is well."""
    full = e.root / "full"
    full.mkdir()
    script = f"mount -t tmpfs -o size=1m none {full}"
    assert e.run(script)[2]["status"] == "exit status 0"  # in the daemon's own mount namespace
    try:
        fails(e, 507, "not enough disk space", "POST", files(path=f"{full}/x"), b"z" * (8 << 20),
              OCTETS)
        body, headers = form((f'name="file"; filename="{full}/y"', b"z" * (8 << 20)))
        fails(e, 507, "not enough disk space", "POST", "/files", body, headers)
    finally:
        e.run(f"umount {full}")


def client_leaves(e):
    """In the middle of an upload and of a download: files are closed, memory is given back."""
    fds = pathlib.Path(f"/proc/{e.pid_inside()}/fd")
    path = e.root / "half"
    (e.root / "large").write_bytes(b"x" * (64 << 20))

    def open_files():
        names = []
        for fd in fds.iterdir():
            try:
                names.append(os.readlink(fd))
            except FileNotFoundError:
                pass
        return [name for name in names if name.startswith(str(e.root))]
    for request in (f"POST {files(path=str(path))} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
                    "Content-Type: application/octet-stream\r\n\r\nhalf",
                    f"GET {files(path=str(e.root / 'large'))} HTTP/1.1\r\nHost: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", e.port), timeout=LIMIT_S) as s:
            s.sendall(request.encode())
            if request.startswith("GET"):
                assert s.recv(10)
                time.sleep(0.5)  # most likely the daemon now waits for us to read on
            else:
                wait_for(lambda: path.exists() and path.read_bytes() == b"half", "the part is there")
            wait_for(open_files, "the file is open")
        wait_for(lambda: not open_files(), "everything is closed")


def together(e):
    """Many uploads into one new folder: each makes the missing parents, none fails."""
    results = []

    def one(i):
        results.append(e.request("POST", files(path=f"{e.root}/race/a/b/{i}", username="user"),
                                 str(i).encode(), OCTETS)[0])
    threads = [threading.Thread(target=one, args=(i,)) for i in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [200] * 32, results
    assert all((e.root / f"race/a/b/{i}").read_text() == str(i) for i in range(32))
    assert (e.root / "race").stat().st_uid == USER


def main():
    t = tap.Tap()
    with envd() as e:
        for case in (stat_entries, relative_paths, make_dir, move, remove, list_dir, upload_raw,
                     upload_form, download, magic_links, big_file, disk_full, client_leaves,
                     together):
            t.case(f"files: {case.__name__}", case, e)
    return t.done()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
