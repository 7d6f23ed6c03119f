#!/usr/bin/env python3
# timeout: 300
"""The API of a real server over raw HTTP: every documented failure with its status and body code, and the
small promises around them (chunked bodies, header names, cursors)."""

import http.client
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import silica  # noqa: E402
import tap  # noqa: E402

LIMIT_S = 60
UNKNOWN = "i00000000000000000000"
NOT_FOUND = f'Sandbox "{UNKNOWN}" doesn\'t exist or you don\'t have access to it'

# method, path, body (None, text, or what is sent as JSON), status, message or None
FAILURES = [
    ("GET", "/nope", None, 404, "no such endpoint"),
    ("PATCH", "/sandboxes", None, 405, None),
    ("POST", "/sandboxes", "{", 400, None),
    ("POST", "/sandboxes", "", 400, "the request body is missing"),
    ("POST", "/sandboxes", "[]", 400, "the request body must be a JSON object"),
    ("POST", "/sandboxes", {}, 400, "templateID is required"),
    ("POST", "/sandboxes", {"templateID": 1}, 400, "templateID must be a string"),
    ("POST", "/sandboxes", {"templateID": "nope"}, 404, None),
    ("POST", "/v2/sandboxes", {"templateID": "nope:v9"}, 404, None),
    ("POST", "/v2/sandboxes", {"templateID": "No Such/..:x"}, 400, None),
    ("POST", "/sandboxes", {"templateID": "base", "timeout": 0}, 400,
     "timeout must be greater than 0"),
    ("POST", "/sandboxes", {"templateID": "base", "timeout": "5"}, 400,
     "timeout must be a whole number"),
    ("POST", "/sandboxes", {"templateID": "base", "timeout": 10 ** 9}, 400, None),
    ("POST", "/sandboxes", {"templateID": "base", "metadata": {"a": 1}}, 400,
     "metadata.a must be a string"),
    ("POST", "/sandboxes", {"templateID": "base", "autoPause": True}, 400,
     "autoPause is not supported by this server"),
    ("POST", "/sandboxes", {"templateID": "base", "network": {"denyOut": ["1.1.1.1"]}}, 400,
     "network.denyOut is not supported by this server"),
    ("GET", f"/sandboxes/{UNKNOWN}", None, 404, NOT_FOUND),
    ("DELETE", f"/sandboxes/{UNKNOWN}", None, 404, NOT_FOUND),
    ("POST", f"/sandboxes/{UNKNOWN}/timeout", {"timeout": 5}, 404, NOT_FOUND),
    ("POST", f"/sandboxes/{UNKNOWN}/refreshes", {}, 404, NOT_FOUND),
    ("POST", f"/sandboxes/{UNKNOWN}/connect", {"timeout": 5}, 404, NOT_FOUND),
    ("POST", f"/v2/sandboxes/{UNKNOWN}/connect", None, 404, NOT_FOUND),
    ("GET", "/sandboxes/Bad..Id", None, 400, "Invalid sandbox ID"),
    ("GET", "/v2/sandboxes?limit=0", None, 400, "limit must be between 1 and 100"),
    ("GET", "/v2/sandboxes?state=dead", None, 400, None),
    ("GET", "/v2/sandboxes?nextToken=x", None, 400, None),
    ("POST", f"/sandboxes/{UNKNOWN}/pause", {}, 501,
     "pausing a sandbox is not implemented by this server"),
    ("GET", "/snapshots", None, 501, "snapshots is not implemented by this server"),
]


def ask(server, method, path, body=None, headers=None, key=True, chunked=False):
    """Returns (status, headers, parsed JSON or the bytes)."""
    send = dict(headers or {})
    if key:
        send["X-API-Key"] = server.exports["E2B_API_KEY"]
    if isinstance(body, dict):
        body = json.dumps(body)
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        if chunked:
            conn.request(method, path, iter([body.encode()]), send, encode_chunked=True)
        else:
            conn.request(method, path, body, send)
        answer = conn.getresponse()
        text = answer.read()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, answer.headers, json.loads(text) if is_json else text
    finally:
        conn.close()


def check_failure(answer, status, message=None):
    got, headers, body = answer
    assert got == status, answer
    assert headers["Content-Type"] == "application/json", headers
    assert headers["Access-Control-Allow-Origin"] == "*", headers
    assert body["code"] == status and isinstance(body["message"], str) and body["message"], body
    if message is not None:
        assert body["message"] == message, body


def failure(server, method, path, body, status, message):
    check_failure(ask(server, method, path, body), status, message)


def credentials(server):
    check_failure(ask(server, "GET", "/sandboxes", key=False), 401)
    check_failure(ask(server, "GET", "/sandboxes", headers={"X-API-Key": "e2b_" + "0" * 40},
                      key=False), 401)
    check_failure(ask(server, "POST", f"/sandboxes/{UNKNOWN}/pause", key=False), 401)
    assert ask(server, "GET", "/health", key=False)[0] == 200


def host_names(server):
    check_failure(ask(server, "GET", "/health", headers={"Host": "attacker.example"}), 403)
    for host in ("localhost", "127.0.0.1:1", "[::1]:3000", "api.localhost"):
        assert ask(server, "GET", "/health", headers={"Host": host})[0] == 200, host


def large_body(server):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        conn.putrequest("POST", "/sandboxes")
        conn.putheader("X-API-Key", server.exports["E2B_API_KEY"])
        conn.putheader("Content-Length", str(16 * 1024 * 1024 + 1))
        conn.endheaders()
        answer = conn.getresponse()
        assert answer.status == 413, answer.status
        assert json.loads(answer.read())["code"] == 413
    finally:
        conn.close()


def preflight(server):
    status, headers, body = ask(server, "OPTIONS", "/v2/sandboxes", key=False, headers={
        "Origin": "https://page.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type"})
    assert status == 204 and body == b"", (status, body)
    assert headers["Access-Control-Allow-Headers"] == "x-api-key,content-type"


def a_sandbox(server):
    status, headers, made = ask(server, "POST", "/sandboxes", chunked=True, body=json.dumps(
        {"templateID": "base", "timeout": 300, "metadata": {"user id": "a/b"}, "odd": 1}))
    assert status == 201, made
    assert headers["Silica-Ignored-Fields"] == "odd", headers
    sandbox = made["sandboxID"]
    status, _, detail = ask(server, "GET", f"/sandboxes/{sandbox}")
    assert status == 200 and detail["state"] == "running", detail
    assert detail["metadata"] == {"user id": "a/b"} and "network" not in detail, detail
    query = "/v2/sandboxes?metadata=user%252520id%3Da%25252F"
    assert [s["sandboxID"] for s in ask(server, "GET", query + "b")[2]] == [sandbox]
    assert ask(server, "GET", query + "c")[2] == []
    status, headers, listed = ask(server, "GET", "/v2/sandboxes?limit=1")
    assert [s["sandboxID"] for s in listed] == [sandbox]
    assert headers["X-Total-Running"] == "1" and headers["X-Next-Token"] is None, headers
    for version, body in (("", {"timeout": 1}), ("/v2", None)):
        status, _, same = ask(server, "POST", f"{version}/sandboxes/{sandbox}/connect", body)
        assert status == 200 and same == made, (same, made)
    assert ask(server, "GET", f"/sandboxes/{sandbox}")[2]["endAt"] >= detail["endAt"]
    assert ask(server, "POST", f"/sandboxes/{sandbox}/timeout", {"timeout": 60})[0] == 204
    assert ask(server, "GET", f"/sandboxes/{sandbox}")[2]["endAt"] < detail["endAt"]
    status, headers, body = ask(server, "DELETE", f"/sandboxes/{sandbox}")
    assert (status, body) == (204, b""), (status, body)
    check_failure(ask(server, "DELETE", f"/sandboxes/{sandbox}"), 404)


def strict_fields(server):
    check_failure(ask(server, "POST", "/sandboxes", {"templateID": "base", "odd": 1}), 400,
                  "odd is not a known field")


def too_many(server):
    first = ask(server, "POST", "/sandboxes", {"templateID": "base", "timeout": 60})
    assert first[0] == 201, first
    check_failure(ask(server, "POST", "/sandboxes", {"templateID": "base"}), 429)
    assert ask(server, "DELETE", f"/sandboxes/{first[2]['sandboxID']}")[0] == 204


def served(t):
    with silica.Server() as server:
        for case in FAILURES:
            name = f"{case[0]} {case[1]} {json.dumps(case[2])} is {case[3]}"
            t.case(name, failure, server, *case)
        t.case("no key and a wrong key are 401", credentials, server)
        t.case("foreign host names are 403", host_names, server)
        t.case("a body above 16 MiB is 413", large_body, server)
        t.case("preflights need no key", preflight, server)
        t.case("create, get, list, connect, timeout, kill", a_sandbox, server)
        return server


def served_strictly(t):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write("[server]\nstrict_fields = on\n[sandbox]\nmax_sandboxes = 1\n")
        conf.flush()
        with silica.Server(arguments=["--config", conf.name]) as server:
            t.case("strict_fields = on refuses unknown fields", strict_fields, server)
            t.case("one sandbox more than the limit is 429", too_many, server)
            return server


def main():
    t = tap.Tap()
    for run in (served, served_strictly):
        leaks = silica.Leaks()
        server = run(t)
        t.case("nothing is left behind", leaks.check, server)
    return t.done()


if __name__ == "__main__":
    sys.exit(main())
