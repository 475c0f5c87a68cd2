"""REST resources of data replication: the records changed within a span of time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.org.field_values import parse_time, rest_value, timestamp
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.resources import Resources

_TIME = Field(name="start, end", type="datetime")
_DAY_S = 24 * 3600.0
_SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationLimits:
    """The limits (REST guide, Get Updated and Get Deleted); times are in seconds.

    A span begins at most `updated_s` ago. Deletions are reported for `deleted_s`, and
    one answer names at most `ids` records. `uncovered_s` is the age of the org's oldest
    open transaction, which is hours in some orgs. `latestDateCovered` is so far in the
    past, although answers also name later records.
    """

    ids: int = 600_000
    updated_s: float = 30 * _DAY_S
    deleted_s: float = 15 * _DAY_S
    uncovered_s: float = 0.0


class ReplicationResources:
    """Serves `updated` and `deleted`, which compare the SystemModstamp and ignore the seconds of a span."""

    def __init__(self, clock: Clock, limits: ReplicationLimits) -> None:
        self._clock = clock
        self._limits = limits

    def add_to(self, resources: Resources) -> None:
        """Serve both resources; call this before the resources of single records are added."""
        resources.add("/sobjects/{type}/updated", get=self._updated)
        resources.add("/sobjects/{type}/deleted", get=self._deleted)

    def _updated(self, call: RestCall) -> SandboxResponse:
        start, end = self._span(call)
        if start >= end:
            raise _invalid("startDate must be before endDate")
        ids = [record["Id"] for record in _within(call, start, end) if not record["IsDeleted"]]
        return SandboxResponse(body={"ids": self._limited(ids), **self._covered(start, end)})

    def _deleted(self, call: RestCall) -> SandboxResponse:
        start, end = self._span(call)
        if datetime.fromisoformat(end) - datetime.fromisoformat(start) <= _SHORTEST:
            raise _invalid("startDate must be before endDate by more than one minute")
        emptied = call.org.records.emptied_at.get(call.schema.entity(call["type"]).name, "")
        if start < emptied:
            raise _invalid("startDate before org replication enabled date")
        earliest = max(self._ago(self._limits.deleted_s), emptied)
        gone = (record for record in _within(call, max(start, earliest), end) if record["IsDeleted"])
        deleted = [
            {"id": record["Id"], "deletedDate": rest_value(_TIME, record["SystemModstamp"])}
            for record in gone
        ]
        available = {"earliestDateAvailable": rest_value(_TIME, earliest)}
        return SandboxResponse(
            body={"deletedRecords": self._limited(deleted), **available, **self._covered(start, end)}
        )

    def _span(self, call: RestCall) -> tuple[str, str]:
        # An unescaped plus in the offset of a time arrives as a space.
        given = (call.query.get(name, "").replace(" ", "+") for name in ("start", "end"))
        start, end = (_minute(parse_time(_TIME, text)) for text in given)
        if start < _minute(self._ago(self._limits.updated_s)):
            raise _invalid("startDate cannot be more than 30 days ago")
        return start, end

    def _covered(self, start: str, end: str) -> dict[str, Any]:
        covered = min(end, max(start, _minute(self._ago(self._limits.uncovered_s))))
        return {"latestDateCovered": rest_value(_TIME, covered)}

    def _ago(self, seconds: float) -> str:
        return timestamp(self._clock.now() - seconds)

    def _limited(self, found: list[Any]) -> list[Any]:
        if len(found) > self._limits.ids:
            message = f"More than {self._limits.ids} records changed: choose dates that are closer together"
            raise Refused("EXCEEDED_ID_LIMIT", message)
        return found


def _invalid(message: str) -> Refused:
    return Refused("INVALID_REPLICATION_DATE", message)


def _minute(stamp: str) -> str:
    return f"{stamp[:16]}:00.000Z"


def _within(call: RestCall, start: str, end: str) -> Iterator[Record]:
    records: Iterable[Record] = call.org.records.all(call.schema.entity(call["type"]))
    return (record for record in records if start <= record["SystemModstamp"] < end)
