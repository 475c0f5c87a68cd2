"""Background thread with an owner on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from streamer.observe.process import Pulse, Pulses

Serve = Callable[[Pulse], None]
"""Work of a thread. The work beats the pulse, and ends when the thread's owner asks for it."""


class ServiceThread:
    """Runs `serve` on its own thread, for an owner on the event loop.

    `pulses` contains the thread's pulse until the thread ends. If `serve` raises,
    `failed` gets the error on the loop, before `join` returns. At its end, the process
    does not wait for the thread.
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
        """Begin the pulse. The default of `loop` is the running loop."""
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
        """True before the start and after the end of the thread."""
        return self._thread.ident is None or self._ended.is_set()

    async def join(self) -> None:
        """Wait until the thread has ended, without blocking the loop."""
        if not self.has_ended:
            await self._ended.wait()

    def join_from_thread(self) -> None:
        """Block until the thread has ended; the loop's thread must not call this."""
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
        # A closed loop has no owner left.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)


def _for_futures(error: BaseException) -> Exception:
    """Return `error`, or a `RuntimeError` if futures and tasks do not accept this kind of error."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told
