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
    """Rate at which a count has grown in the last half minute."""

    _looks: "deque[tuple[float, int]]" = field(default_factory=deque)

    def look(self, now: float, count: int) -> None:
        """Note the `count` at the monotonic time `now`."""
        self._looks.append((now, count))
        while len(self._looks) > 2 and self._looks[1][0] <= now - _RATE_OVER_S:  # noqa: PLR2004 - a rate has two ends
            self._looks.popleft()

    @property
    def has_looked(self) -> bool:
        """True once there was a look."""
        return bool(self._looks)

    @property
    def per_second(self) -> float | None:
        """Rate, or `None` before there is one."""
        (began, first), (now, last) = self._looks[0], self._looks[-1]
        return (last - first) / (now - began) if now > began else None

    def left_s(self, count: int) -> float | None:
        """Return the seconds that `count` more take, or `None` while nothing grows."""
        return count / self.per_second if self.per_second else None


async def watched(api: Api, snapshot: str, clock: Clock) -> bool:
    """Show the progress of a snapshot until it has ended or Ctrl-C.

    Returns false when it has ended otherwise than with all of it published.
    Raises `ApiRefused` when the API does not know it, or no longer answers.
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
                # The bar has no room for it.
                progress.console.print(plain(with_reason(found["state"], found)))
            waits = found.get("waits", "")
            # Without a number of rows, the bar shows that something is under way.
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
    """Return the rows, their rate and the time left in words."""
    published, total = found["published"], found["found"]
    if not total:
        return "the rows are not counted yet"
    said = f"{published:,} of {counted(total, 'row')}"
    if found["state"] != "running" or found.get("waits", "") or rate.per_second is None:
        return said
    left_s = rate.left_s(max(total - published, 0))
    end = "" if left_s is None else f", {duration(left_s)} left"
    return f"{said}, {rate.per_second:,.0f} rows/s{end}"


def duration(seconds: float) -> str:
    """Return a duration in hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _goes_on(snapshot: str) -> str:
    return (
        f"Snapshot {snapshot} continues in the daemon: `streamer snapshot watch` shows it again, and "
        "`streamer snapshot cancel` cancels it."
    )
