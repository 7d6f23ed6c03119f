"""TAP for test programs: cases are functions, each runs even if one before it failed."""

import sys
import time
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here; the text says why."""


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def report(self, passed, name, skip=None, detail=""):
        self.count += 1
        self.failed += not passed
        suffix = f" # SKIP {skip}" if skip else ""
        print(f"{'ok' if passed else 'not ok'} {self.count} - {name}{suffix}")
        for line in detail.rstrip().splitlines():
            print(f"# {line}")
        sys.stdout.flush()

    def case(self, name, function, *args):
        """Run function(*args); returns what it returned, or None after a failure."""
        started = time.monotonic()
        try:
            result = function(*args)
        except Skip as e:
            self.report(True, name, skip=str(e))
            return None
        except Exception:  # pylint: disable=broad-except  # any failure is one failed case
            self.report(False, name, detail=traceback.format_exc())
            return None
        self.report(True, name, detail=f"{time.monotonic() - started:.2f} s")
        return result

    def done(self):
        """Print the plan; returns the exit status."""
        print(f"1..{self.count}")
        sys.stdout.flush()
        return 1 if self.failed else 0
