"""Output of a daemon that runs in the test's own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_STDOUT = 1


class Screen:
    """The daemon's output so far; pytest's own capture loses text that is written while it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def showing(self) -> Iterator[Self]:
        """Show here what this process writes inside the context."""
        former = os.dup(_STDOUT)
        with self._path.open("ab") as shown:
            os.dup2(shown.fileno(), _STDOUT)
        try:
            yield self
        finally:
            os.dup2(former, _STDOUT)
            os.close(former)

    @property
    def text(self) -> str:
        """The output."""
        return self._path.read_text(encoding="utf-8")
