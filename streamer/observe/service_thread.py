"""Thread that serves the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from streamer.observe.process import Pulse, Pulses

Serve = Callable[[Pulse], None]
"""Work of a thread, which beats the pulse, until the owner wants its end."""


class ServiceThread:
    """Runs `serve` on a thread of its own, for an owner on the event loop.

    The pulse is in `pulses` until the thread ends. `failed` is called on the
    loop with whatever `serve` raises, before `join` returns. The process does
    not wait for the thread.
    """

    def __init__(
        self,
        name: str,
        serve: Serve,
        *,
        pulses: Pulses,
        failed: Callable[[Exception], object],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin the pulse; `loop` is the running one by default."""
        self.name = name
        self.pulse = pulses.begin(name)
        self._serve = serve
        self._pulses = pulses
        self._failed = failed
        self._loop = loop or asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """True once it has ended, or while it was never started."""
        return self._thread.ident is None or self._ended.is_set()

    async def join(self) -> None:
        """Return when the thread has ended; the loop turns meanwhile."""
        if not self.has_ended:
            await self._ended.wait()

    def join_from_thread(self) -> None:
        """Wait for the end of the thread. Blocking, for a thread other than the loop's."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve(self.pulse)
        except BaseException as error:  # noqa: BLE001 - the owner decides what it means
            self._on_loop(self._failed, _for_futures(error))
        finally:
            self._pulses.end(self.pulse)
            self._on_loop(self._ended.set)

    def _on_loop(self, call: Callable[..., object], *arguments: object) -> None:
        # A loop that has ended has no owner left.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)


def _for_futures(error: BaseException) -> Exception:
    """Return `error` in a form that futures and tasks take, which end the process or refuse some errors."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told
