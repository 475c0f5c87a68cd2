"""Watchdog: dumps all stacks even while the event loop is blocked."""

import faulthandler
from typing import TextIO


class Watchdog:
    """Writes the stacks of all threads to `stream` unless `rearm` is called in time.

    The watchdog needs neither the loop nor the interpreter's lock. So the watchdog
    works even while a plugin's C code blocks the loop. The stacks show no variables.
    `stream` must be a real file. A process has only one watchdog, and only the owner of
    the process may arm it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def rearm(self, limit_s: float) -> None:
        """Write the stacks once after `limit_s` seconds, unless `rearm` is called again before that time."""
        faulthandler.dump_traceback_later(limit_s, file=self._stream)

    def disarm(self) -> None:
        """Cancel the pending dump."""
        faulthandler.cancel_dump_traceback_later()
