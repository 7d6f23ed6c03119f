#!/usr/bin/env python3
# timeout: 600
"""What a micro-VM can reach: as network.py has it for containers, asked by root and a user inside.

A whole server in a network of the test's own (lib/outside.py). What a QEMU can send that was taken over is in
machine_network.py.
"""

import os
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), HERE, os.path.join(HERE, "..", "lib")]
import guest as guests  # noqa: E402
import harness  # noqa: E402
import network  # noqa: E402
import outside  # noqa: E402
import silica  # noqa: E402


class Machine(guests.Guest):
    """A guest with what network.py wants to know of an instance."""

    def __init__(self, server, **fields):
        super().__init__(server, **fields)
        self.inst = self
        self.id = self.sandbox.id
        db = sqlite3.connect(f"file:{server.data}/state/silica.db?mode=ro", uri=True)
        self.pid, self.slot = db.execute("SELECT pid, slot FROM sandboxes WHERE id = ?", (self.id,)).fetchone()
        db.close()
        words = outside.run("ip", "-4", "-o", "addr", "show", f"sil{server.instance}s{self.slot}").stdout.split()
        ours = words[words.index("inet") + 1].partition("/")[0].rsplit(".", 1)
        self.addr = f"{ours[0]}.{int(ours[1]) + 1}"

    def ask(self, inst, question, timeout=None):
        return super().ask(inst, question) if inst is self else inst.ask(inst, question)


def all_of_it(tap, server):
    port = network.serve_on_host()
    machine, other = Machine(server), Machine(server)
    network.permitted(tap, machine, machine)
    network.denied(tap, machine, machine)
    network.spellings(tap, machine)
    network.host_services(tap, machine, machine, port)
    network.neighbours(tap, machine, machine, other)
    network.version6(tap, machine)
    alone = Machine(server, allow_internet_access=False)
    network.closed(tap, alone, alone)
    tap.ok(all(m.answers() for m in (machine, other, alone)), "envd answers after all that")
    for m in (machine, other, alone):
        m.kill()


def main():
    harness.need_root()
    silica.need_machines()
    outside.enter_host()
    tap = harness.Tap()
    with outside.Outside(), silica.Server(driver="microvm") as server:
        all_of_it(tap, server)
    tap.end()


main()
