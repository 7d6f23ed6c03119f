"""Questions to the probe in a sandbox of a whole Silica, where envd is process 1 and starts the probe.

    with silica.Server() as server:
        guest = Guest(server)
        guest.ask(guest.inst, "as 0 cat /etc/hosts")     # the same way as of harness.Helper
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import abuse  # noqa: E402
import harness  # noqa: E402

PROBE_PATH = "/usr/bin/security-probe"
USERS = {"0": "root", "1000": "user"}


class Guest:
    def __init__(self, server, **fields):
        self.sandbox = abuse.Sandbox(server, **fields)
        self.inst = self.sandbox.id
        with open(harness.build_file("security-probe"), "rb") as f:
            self.sandbox.upload(PROBE_PATH, f.read(), user="root")
        _, end = self.sandbox.run("/bin/chmod", "755", PROBE_PATH, user="root")
        assert end["exited"], end

    def ask(self, _inst, question, timeout=None):
        """"as UID QUESTION": by the user of that id, as envd starts programs; without the first two, by root."""
        del timeout
        word, uid, rest = question.split(" ", 2) if question.startswith("as ") else ("as", "0", question)
        assert word == "as", question
        output, _ = self.sandbox.run(PROBE_PATH, rest, user=USERS[uid])
        return output.decode(errors="replace").splitlines()

    def python(self, code, *args):
        """The output of a program, by root."""
        output, _ = self.sandbox.run("/usr/bin/python3", "-c", code, *args, user="root")
        return output.decode(errors="replace")

    def answers(self):
        """Whether envd still serves."""
        self.sandbox.health()
        self.sandbox.run_true()
        return True

    def kill(self):
        self.sandbox.kill()
