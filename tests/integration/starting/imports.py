"""Modules that a command imports, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping

import orjson

_BEGINNING = "imported: "
_UNTIL_OUTPUT = "until-output"
# The commands end the process, so they are listed at its exit.
_SCRIPT = f"""
import atexit, sys
atexit.register(lambda: print("{_BEGINNING}" + " ".join(sys.modules), file=sys.stderr))
if "{_UNTIL_OUTPUT}" in sys.argv:
    sys.argv.remove("{_UNTIL_OUTPUT}")
    sys.stdout.write = lambda text: sys.exit()
sys.argv = ["streamer", *sys.argv[1:]]
from streamer.__main__ import main
main()
"""


class Imported(frozenset[str]):
    """Names of all modules that were imported."""

    def below(self, *packages: str) -> set[str]:
        """Return the modules that are one of `packages`, or in it."""
        return {each for each in self if any(f"{each}.".startswith(f"{package}.") for package in packages)}


def started(
    *arguments: str, environ: Mapping[str, str] | None = None, until_output: bool = False
) -> subprocess.Popen[str]:
    """Start `streamer` with these arguments, so that its end tells `imported_by` what it imported.

    With `until_output`, it ends before it prints anything.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, *([_UNTIL_OUTPUT] if until_output else []), *arguments],
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def imported_by(process: subprocess.Popen[str]) -> Imported:
    """Return what a process has imported, once it has ended."""
    _, errors = process.communicate()
    [line] = [each for each in errors.splitlines() if each.startswith(_BEGINNING)]
    return Imported(line.removeprefix(_BEGINNING).split())


def log_events(lines: Iterable[str]) -> Iterable[str]:
    """Yield the event of each JSON log line."""
    for line in lines:
        if line.startswith("{"):
            yield orjson.loads(line)["event"]
