"""Applies the log's control state, and its record of earlier outages, to this process's subscribers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import structlog

from streamer.admin.json_views import rfc3339
from streamer.app.redriving import Redrives
from streamer.clock import Clock
from streamer.controls import AuditRecord, Control, ControlState, Switch
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import LogUnavailable, Stop
from streamer.events import JsonObject, SubscriberName
from streamer.ports import Controls

_log = structlog.get_logger()

# Audit records of the beginning and of the end of an outage.
_OPENED, _CLOSED = "breaker.opened", "breaker.closed"
_RECALLED = 1_000
_RETRY_S = 1.0
_MAX_WRITES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedWrites:
    """Audited writes to the log. Each write is a task that retries until the log accepts it."""

    group: asyncio.TaskGroup
    clock: Clock
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    @property
    def is_full(self) -> bool:
        """True while too many writes wait; further notes for the audit are then dropped."""
        return len(self._tasks) >= _MAX_WRITES

    def begin(self, audit: AuditRecord, write: Callable[[], Awaitable[None]]) -> None:
        """Start the task for `write`, which `audit` describes."""
        task = self.group.create_task(self._until_taken(audit, write), name=f"write {audit.what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Cancel the waiting writes."""
        for task in self._tasks:
            task.cancel()

    async def _until_taken(self, audit: AuditRecord, write: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await write()
            except LogUnavailable as error:
                _log.warning("audit.delayed", what=audit.what, subscriber=audit.subscriber, reason=str(error))
                await self.clock.sleep(_RETRY_S)
            else:
                return


@dataclass(slots=True, kw_only=True)
class ControlFollower:
    """Applies the log's control state to subscribers, and records the changes that subscribers make."""

    controls: Controls
    clock: Clock
    dispatchers: Mapping[SubscriberName, Dispatcher]
    redrives: Redrives
    writes: AuditedWrites
    _in_effect: dict[SubscriberName, Control] = field(default_factory=dict, init=False)
    _replaced: dict[SubscriberName, Control] = field(default_factory=dict, init=False)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Follow the control state until cancelled."""
        async for board in self.controls.switched():
            self._apply(board)
            orders = board.redrives.items()
            self.redrives.follow({name: each for name, each in orders if each.letters.channel is None})
            self._loaded.set()

    async def loaded(self) -> None:
        """Wait until the first control state is read."""
        await self._loaded.wait()

    def apply_to(self, name: SubscriberName) -> None:
        """Pause the new dispatcher of `name` if the subscriber is paused."""
        control = self._in_effect.get(name)
        if control is not None and control.switch is Switch.PAUSED:
            self.dispatchers[name].admission.pause(_reason(control))

    def keep_pause(self, name: SubscriberName, by: str, reason: str) -> None:
        """Record a pause by the subscriber's guard or target.

        The pause applies in all processes, and continues after a restart.
        """
        control = Control(subscriber=name, switch=Switch.PAUSED, by=by, at=self.clock.now(), reason=reason)
        if replaced := self._in_effect.get(name):
            self._replaced[name] = replaced
        self._in_effect[name] = control
        audit = self._audit("subscriber.paused", by, name, reason)
        self.writes.begin(audit, partial(self.controls.switch, control, audit))

    def record_breaker(self, name: SubscriberName, reason: str) -> None:
        """Audit that a subscriber's breaker has opened for `reason`; an empty `reason` means closed."""
        audit = self._audit(_OPENED if reason else _CLOSED, "streamer", name, reason)
        since = self.dispatchers[name].status.down_since if name in self.dispatchers else None
        if since is not None:
            audit = replace(audit, detail={**audit.detail, "since": rfc3339(since)})
        if self.writes.is_full:
            _log.warning("audit.not_kept", what=audit.what, subscriber=name)
            return
        self.writes.begin(audit, partial(self.controls.note, audit))

    def close(self) -> None:
        """Cancel redrives and pending writes."""
        self.redrives.close()
        self.writes.close()

    def _apply(self, board: ControlState) -> None:
        for name, control in board.controls.items():
            # Only changes count, because this process's own pause can still be on its way
            # into the log.
            if control in (self._in_effect.get(name), self._replaced.get(name)):
                continue
            self._in_effect[name] = control
            self._replaced.pop(name, None)
            if name not in self.dispatchers:
                continue
            if control.switch is Switch.PAUSED:
                self.dispatchers[name].admission.pause(_reason(control))
            else:
                self.dispatchers[name].admission.resume()
            _log.info("subscriber.switched", subscriber=name, to=control.switch, by=control.by)

    def _audit(self, what: str, by: str, name: SubscriberName, reason: str) -> AuditRecord:
        detail: JsonObject = {"reason": reason} if reason else {}
        return AuditRecord(at=self.clock.now(), what=what, by=by, subscriber=name, detail=detail)


@dataclass(slots=True, kw_only=True)
class EarlierOutages:
    """Tells each dispatcher when its target's last outage began, if that outage has not ended."""

    clock: Clock
    dispatchers: Mapping[SubscriberName, Dispatcher]
    _since: Mapping[SubscriberName, float] = field(default_factory=dict, init=False)

    async def recall(self, controls: Controls) -> None:
        """Read the audit once, and tell the dispatchers that have started meanwhile."""
        while True:
            try:
                records = await controls.audit(last=_RECALLED)
            except LogUnavailable:
                await self.clock.sleep(_RETRY_S)
            except Stop as error:
                # Without the audit, the outages only seem to have begun with this process.
                _log.warning("outages.unknown", reason=str(error))
                return
            else:
                break
        self._since = open_outages(records)
        for name in self.dispatchers:
            self.tell(name)

    def tell(self, name: SubscriberName) -> None:
        """Tell the dispatcher of `name`, which has just started."""
        if name in self._since:
            self.dispatchers[name].earlier_outage = self._since[name]


def open_outages(records: Iterable[AuditRecord]) -> Mapping[SubscriberName, float]:
    """Return, by subscriber, the beginning of each outage whose end is not in `records` (oldest first)."""
    found: dict[SubscriberName, float] = {}
    for record in records:
        if record.subscriber is None:
            continue
        if record.what == _OPENED:
            since = record.detail.get("since")
            found[record.subscriber] = _time_of(since, otherwise=record.at)
        elif record.what == _CLOSED:
            found.pop(record.subscriber, None)
    return found


def _time_of(text: object, *, otherwise: float) -> float:
    # Another program or a later version can have written any value.
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return otherwise


def _reason(control: Control) -> str:
    return f"{control.reason} (by {control.by})" if control.reason else f"by {control.by}"
