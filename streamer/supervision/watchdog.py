"""The dump of all stacks that comes even though the event loop does not turn."""

import faulthandler
from typing import TextIO


class Watchdog:
    """Writes where every thread stands when nobody calls `rearm` in time.

    It needs neither the loop nor the interpreter's lock, so it also finds a
    loop that a plugin blocks in C code. It shows no variables. There is one in
    a process: only what owns the process may arm it.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, which must be a real file; not armed yet."""
        self._stream = stream

    def rearm(self, limit_s: float) -> None:
        """Write the stacks once, `limit_s` from now, unless called again before."""
        faulthandler.dump_traceback_later(limit_s, file=self._stream)

    def disarm(self) -> None:
        """Write nothing any more."""
        faulthandler.cancel_dump_traceback_later()
