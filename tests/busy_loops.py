"""`make test-slow`: runs a command beside processes that keep most of the machine busy."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

_COUNT = 8
# Bounded by themselves: each ends with the process that started it, and in any case after six hours.
_LOOP = """
import os, time
parent, end = os.getppid(), time.monotonic() + 6 * 3600
while os.getppid() == parent and time.monotonic() < end:
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy(count: int) -> Iterator[Sequence["subprocess.Popen[bytes]"]]:
    """Keep cores busy inside the context, at the priority of this process."""
    with ExitStack() as stack:
        loops = []
        for _ in range(count):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", _LOOP]))
            stack.callback(loop.kill)
            loops.append(loop)
        yield loops


def main() -> int:
    """Run the command in the arguments, and return its status."""
    with busy(_COUNT):
        return subprocess.run(sys.argv[1:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
