"""Last log lines of a process, kept in memory for a support bundle."""

from collections import deque
from typing import TextIO

MOST_LINES = 1_000
_LONGEST_LINE = 4_096


class RecentLines:
    """The last lines that went to `stream`, at most 1,000 of 4,096 characters each.

    It stands between the logs and the stream. Both see a line after its secrets are masked.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    @property
    def lines(self) -> list[str]:
        """The lines, oldest first."""
        return list(self._lines)

    def write(self, text: str) -> int:
        """Keep a line, and write it."""
        self._lines.extend(line[:_LONGEST_LINE] for line in text.splitlines() if line)
        return self._stream.write(text)

    def flush(self) -> None:
        """Write what the stream holds back."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()
