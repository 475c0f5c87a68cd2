"""Regular comparisons of the org with the log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.continuity.reconciling.known_records import DriftKind, Reconciled
from streamer.controls import AuditRecord
from streamer.errors import ConfigurationError, StreamerError
from streamer.events import JsonObject
from streamer.normalise.malformed import as_event_time
from streamer.ports import Controls

_log = structlog.get_logger()

_COMPARED, _BY = "reconcile.compared", "streamer"
_MOST_RECORDS = 1_000
# A look costs almost nothing: it checks the ownership, and one time for each entity.
_LOOK_S = 5.0
_RETRY_S = 3_600.0
# A change can be compared once it is 25 minutes old.
_COMPLETE_S = 1_500.0
# The org reports deletions of the last 15 days.
_OLDEST_S = 14 * 86_400.0


class ReconcileObserver(Protocol):
    """Records the results of comparisons. Its methods must not block or raise."""

    def compared(self, entity: str, at: float, counts: Mapping[str, int]) -> None:
        """The log was compared at `at` (epoch seconds); `counts` are the differing records by kind."""
        ...

    def due(self, entity: str, at: float) -> None:
        """The next comparison is due at `at` (epoch seconds)."""
        ...

    def failed(self, entity: str) -> None:
        """A comparison has failed."""
        ...

    def forgotten(self, entity: str) -> None:
        """This process no longer compares the entity."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LastComparison:
    """Last comparison of an entity: its time, its time span, and the differences by kind."""

    at: float
    since: float
    until: float
    counts: Mapping[DriftKind, int]

    @classmethod
    def of(cls, record: AuditRecord) -> "LastComparison":
        """Return the comparison in an audit record. Raises `ValueError`, `KeyError` or `TypeError`."""
        since, until = (
            datetime.fromisoformat(record.detail[each]).timestamp() for each in ("since", "until")
        )
        counts = {kind: int(record.detail[kind]) for kind in DriftKind}
        return cls(at=record.at, since=since, until=until, counts=counts)


@dataclass(slots=True)
class _Visited:
    """Time of an entity's next comparison, and its last comparison if the audit has been read."""

    due_at: float
    is_known: bool = False
    last: LastComparison | None = None


@dataclass(slots=True, kw_only=True)
class ReconcileSchedule:
    """Compares each of the `entities` every `every_s` seconds, in the process that `owns` its channel.

    `compare` is called with an entity and the start of the time span. The audit
    stores each comparison, so that a restarted or another process continues from
    there. The next time span begins at the end of the last span. If the last
    comparison found differences, the next span begins where the last span began. So
    differences are reported until they are repaired, but for at most 14 days. A
    failed comparison is repeated after an hour. No failure affects other tasks.
    """

    entities: Sequence[str]
    every_s: float
    compare: Callable[[str, float], Awaitable[Reconciled]]
    owns: Callable[[str], bool]
    controls: Controls
    clock: Clock
    observer: ReconcileObserver
    _visited: dict[str, _Visited] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Compare until this task is cancelled."""
        try:
            while True:
                for entity in self.entities:
                    await self._visit(entity)
                await self.clock.sleep(_LOOK_S)
        finally:
            for entity in self.entities:
                self._forget(entity)

    async def _visit(self, entity: str) -> None:
        if not self.owns(entity):
            self._forget(entity)
            return
        try:
            visited = self._visited.get(entity)
            if visited is None or not visited.is_known:
                visited = self._learned(entity, await self._recorded(entity))
            if self.clock.now() >= visited.due_at:
                await self._compare(entity, self._since(visited.last))
        except ConfigurationError as error:
            # A new log has nothing to compare.
            _log.info("reconcile.postponed", entity=entity, reason=str(error), tried_again_in_s=_RETRY_S)
            self._postpone(entity)
        except StreamerError as error:
            self._failed(entity, str(error))
        except Exception as error:  # noqa: BLE001 - an unexpected answer must affect this comparison only
            # The error's message can quote a value.
            self._failed(entity, type(error).__name__)

    async def _compare(self, entity: str, since: float) -> None:
        found = await self.compare(entity, since)
        counts = {kind: found.counts.get(kind, 0) for kind in DriftKind}
        now = self.clock.now()
        await self.controls.note(_audit(entity, found, counts, now))
        self._learned(entity, LastComparison(at=now, since=found.since, until=found.until, counts=counts))
        tell = _log.warning if found.has_drift else _log.info
        tell("reconcile.compared", entity=entity, records=found.records, **counts)

    def _since(self, last: LastComparison | None) -> float:
        now = self.clock.now()
        if last is None:
            return now - _COMPLETE_S - self.every_s
        begin = last.since if any(last.counts.values()) else last.until
        return max(begin, now - _OLDEST_S)

    def _learned(self, entity: str, last: LastComparison | None) -> _Visited:
        due_at = self.clock.now() if last is None else last.at + self.every_s
        visited = self._visited[entity] = _Visited(due_at, is_known=True, last=last)
        self.observer.due(entity, due_at)
        if last is not None:
            counts = {kind.value: count for kind, count in last.counts.items()}
            self.observer.compared(entity, last.at, counts)
        return visited

    def _postpone(self, entity: str) -> None:
        due_at = self.clock.now() + _RETRY_S
        self._visited.setdefault(entity, _Visited(due_at)).due_at = due_at

    def _failed(self, entity: str, reason: str) -> None:
        self._postpone(entity)
        self.observer.failed(entity)
        _log.warning("reconcile.failed", entity=entity, reason=reason, tried_again_in_s=_RETRY_S)

    def _forget(self, entity: str) -> None:
        if self._visited.pop(entity, None) is not None:
            self.observer.forgotten(entity)

    async def _recorded(self, entity: str) -> LastComparison | None:
        """Return the last comparison of `entity` in the audit, or `None`."""
        for record in reversed(await self.controls.audit(last=_MOST_RECORDS)):
            if record.what == _COMPARED and record.detail.get("entity") == entity:
                try:
                    return LastComparison.of(record)
                except (ValueError, KeyError, TypeError):
                    return None
        return None


def _audit(entity: str, found: Reconciled, counts: Mapping[DriftKind, int], now: float) -> AuditRecord:
    detail: JsonObject = {
        "entity": entity,
        "channel": found.channel,
        "since": as_event_time(datetime.fromtimestamp(found.since, UTC)),
        "until": as_event_time(datetime.fromtimestamp(found.until, UTC)),
        "records": found.records,
        "deletions": found.deletions,
        **{kind.value: count for kind, count in counts.items()},
    }
    return AuditRecord(at=now, what=_COMPARED, by=_BY, detail=detail)
