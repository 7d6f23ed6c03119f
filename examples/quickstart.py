"""The quick start with the official Python SDK (pip install e2b).

Start a server (sudo silica serve), then: eval "$(sudo silica env)" && python3 quickstart.py
"""

import time
import urllib.error
import urllib.request

from e2b import Sandbox


def step(name, body):
    started = time.monotonic()
    result = body()
    print(f"{name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)
    return result


def fetch_when_up(url):
    for tries in range(101):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if tries == 100:
                raise
            time.sleep(0.1)


sandbox = step("create a sandbox", lambda: Sandbox.create("base", timeout=300))
try:
    print(f"  it is {sandbox.sandbox_id}")
    step("write script.py",
         lambda: sandbox.files.write("script.py", 'print("hello from Python")'))

    result = step("run it", lambda: sandbox.commands.run("python3 script.py"))
    print(f"  {result.stdout.strip()}")

    content = step("read it back", lambda: sandbox.files.read("script.py"))
    print(f"  {content}")

    node = step("a Node one-liner", lambda: sandbox.commands.run(
        "node -e 'console.log(\"hello from Node \" + process.version)'"))
    print(f"  {node.stdout.strip()}")

    url = f"http://{sandbox.get_host(8000)}/script.py"
    step("start a web server in the background",
         lambda: sandbox.commands.run("python3 -m http.server 8000", background=True))
    page = step("fetch it through its host name", lambda: fetch_when_up(url))
    print(f"  {url}: {page}")
    if page != content:
        raise SystemExit("the page is not the file")
finally:
    step("kill the sandbox", sandbox.kill)
