"""What the resources of the API work on."""

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from streamer.admin.errors import Refused
from streamer.admin.ports import AdminLog, Staff
from streamer.clock import Clock
from streamer.controls import Switchboard
from streamer.errors import LogUnavailable
from streamer.events import SubscriberName
from streamer.settings import SubscriberSettings

_BOARD_S = 5.0


def _any(_board: Switchboard) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Desk:
    """The subscribers of this process, and the log while it is open."""

    staff: Staff
    clock: Clock
    _log: AdminLog | None = field(default=None, init=False)

    @contextmanager
    def holding(self, log: AdminLog) -> Iterator[None]:
        """Work on `log` inside the context."""
        self._log = log
        try:
            yield
        finally:
            self._log = None

    @property
    def log(self) -> AdminLog:
        """The log. Raises `LogUnavailable` while it is not open."""
        if self._log is None:
            raise LogUnavailable(
                "The log is not open: the daemon starts, stops or waits for it; see /readyz."
            )
        return self._log

    def configured(self, name: str) -> SubscriberSettings:
        """Return how the subscriber `name` is configured. Raises `Refused`."""
        subscribers = self.staff.plan.settings.subscribers
        if name not in subscribers:
            known = ", ".join(sorted(subscribers)) or "none"
            raise Refused(404, f"There is no subscriber of that name; configured: {known}.")
        return subscribers[SubscriberName(name)]

    async def board(self, shows: Callable[[Switchboard], bool] = _any) -> Switchboard:
        """Return what is switched, as soon as it `shows` what is waited for. Raises `LogUnavailable`."""
        try:
            async with self.clock.timeout(_BOARD_S), aclosing(self.log.switched()) as boards:
                async for board in boards:
                    if shows(board):
                        return board
        except TimeoutError:
            raise LogUnavailable(
                f"The log did not tell within {_BOARD_S:g} s what is switched; a change that was just asked "
                "for may take effect all the same."
            ) from None
        raise LogUnavailable("The log was closed: the daemon stops.")
