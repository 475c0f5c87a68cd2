"""Progress of snapshots on a terminal."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from streamer.cli.operating.api import Api, ApiRefused
from streamer.cli.output import console, counted, plain, with_reason
from streamer.clock import Clock
from streamer.events import JsonObject

_LOOK_S = 1.0
_LINE_EVERY_S = 5.0
_RATE_OVER_S = 30.0
_FINAL = frozenset({"full", "partial", "none"})


@dataclass(slots=True)
class Rate:
    """Growth of a count per second, over the last half minute."""

    _looks: "deque[tuple[float, int]]" = field(default_factory=deque)

    def look(self, now: float, count: int) -> None:
        """Record the `count` at the monotonic time `now`, in seconds."""
        self._looks.append((now, count))
        while len(self._looks) > 2 and self._looks[1][0] <= now - _RATE_OVER_S:  # noqa: PLR2004 - a rate has two ends
            self._looks.popleft()

    @property
    def has_looked(self) -> bool:
        """True once a count was recorded."""
        return bool(self._looks)

    @property
    def per_second(self) -> float | None:
        """Growth per second, or `None` while it is unknown."""
        (began, first), (now, last) = self._looks[0], self._looks[-1]
        return (last - first) / (now - began) if now > began else None

    def left_s(self, count: int) -> float | None:
        """Return the seconds until the count has grown by `count`, or `None` while it does not grow."""
        return count / self.per_second if self.per_second else None


async def watched(api: Api, snapshot: str, clock: Clock) -> bool:
    """Show the progress of a snapshot until the snapshot ends or the operator presses Ctrl-C.

    Returns false if the snapshot ended before all rows were published. Raises
    `ApiRefused` when the API does not know the snapshot, or no longer answers.
    """
    try:
        ended = await (_bar(api, snapshot, clock) if console().is_terminal else _lines(api, snapshot, clock))
    except asyncio.CancelledError:
        console().print(_goes_on(snapshot), markup=False)
        return True
    is_full: bool = ended["state"] == "full"
    published = counted(ended["published"], "row")
    if is_full:
        console().print(f"Snapshot {snapshot} is complete: {published} published.", markup=False)
    else:
        console().print(plain(f"Snapshot {snapshot} has ended with {published} published: {ended['detail']}"))
    return is_full


async def _bar(api: Api, snapshot: str, clock: Clock) -> JsonObject:
    columns = (
        TextColumn("{task.fields[state]}"),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=console(), transient=True) as progress:
        bar: TaskID | None = None
        rate, waits = Rate(), ""
        while True:
            found = await _looked(api, snapshot, rate, clock)
            if found["state"] in _FINAL:
                return found
            if found.get("waits", "") not in {"", waits}:
                # The bar has no room for the reason.
                progress.console.print(plain(with_reason(found["state"], found)))
            waits = found.get("waits", "")
            # Without a total, the bar only shows activity.
            shown = {"total": found["found"] or None, "completed": found["published"]}
            said = _said(found, rate)
            if bar is None:
                bar = progress.add_task("", state=found["state"], said=said)
            progress.update(bar, state=found["state"], said=said, **shown)
            await clock.sleep(_LOOK_S)


async def _lines(api: Api, snapshot: str, clock: Clock) -> JsonObject:
    rate = Rate()
    while True:
        found = await _looked(api, snapshot, rate, clock)
        if found["state"] in _FINAL:
            return found
        console().print(plain(with_reason(f"{found['state']}: {_said(found, rate)}", found)))
        await clock.sleep(_LINE_EVERY_S)


async def _looked(api: Api, snapshot: str, rate: Rate, clock: Clock) -> JsonObject:
    try:
        found = await api.get(f"/snapshots/{snapshot}")
    except ApiRefused as error:
        if rate.has_looked:
            raise ApiRefused(f"{error} {_goes_on(snapshot)}") from error
        raise
    rate.look(clock.monotonic(), found["published"])
    return found


def _said(found: JsonObject, rate: Rate) -> str:
    """Return the published rows, the rate and the remaining time as a phrase."""
    published, total = found["published"], found["found"]
    if not total:
        return "Streamer has not counted the rows yet"
    said = f"{published:,} of {counted(total, 'row')}"
    if found["state"] != "running" or found.get("waits", "") or rate.per_second is None:
        return said
    left_s = rate.left_s(max(total - published, 0))
    end = "" if left_s is None else f", {duration(left_s)} left"
    return f"{said}, {rate.per_second:,.0f} rows/s{end}"


def duration(seconds: float) -> str:
    """Return a duration as hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _goes_on(snapshot: str) -> str:
    return (
        f"Snapshot {snapshot} continues in the daemon: `streamer snapshot watch` shows it again, and "
        "`streamer snapshot cancel` cancels it."
    )
