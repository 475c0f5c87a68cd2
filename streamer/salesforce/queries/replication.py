"""Finds changed records over REST (REST API guide, Get Updated and Get Deleted)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.errors import RecordsRefused, SalesforceUnavailable
from streamer.events import JsonObject
from streamer.ports import Changed, Deletion, Deletions
from streamer.salesforce.queries.soql import is_id
from streamer.salesforce.rest import AnswerTooLarge, RequestRefused, Rest

_MINUTE_S = 60
# Salesforce ignores seconds, and requires more than a minute between start and end.
_SHORTEST_S = 2 * _MINUTE_S
# Reading this many deletions takes some milliseconds.
_AT_ONCE = 5_000
_TOO_MANY = "EXCEEDED_ID_LIMIT"


class RestReplication:
    """Finds the records that were changed or deleted within a span: see `Replication`.

    Salesforce names at most 600,000 records in an answer. If a span has more
    records, the client asks for the first half of the span. No answer counts as
    complete for the last minute, because Salesforce's clock can be slow.
    """

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock

    async def changed(self, entity: str, start: float, end: float, /) -> Changed:
        """Return the changed records: see `Replication`."""
        answer, until, has_more = await self._within("updated", entity, start, end)
        ids = answer.get("ids")
        if not isinstance(ids, list) or not all(map(is_id, ids)):
            raise _unclear("updated", entity)
        return Changed(ids=ids, until=until, has_more=has_more)

    async def deleted(self, entity: str, start: float, end: float, /) -> Deletions:
        """Return the deleted records: see `Replication`."""
        answer, until, has_more = await self._within("deleted", entity, start, end)
        try:
            deleted: list[Deletion] = []
            for each in answer["deletedRecords"]:
                deleted.append(Deletion(record_id=_id(each), deleted_at=_time(each, "deletedDate")))
                if len(deleted) % _AT_ONCE == 0:
                    await self._clock.sleep(0)
            since = _time(answer, "earliestDateAvailable")
        except (KeyError, TypeError, ValueError) as error:
            raise _unclear("deleted", entity) from error
        return Deletions(deleted=deleted, since=since, until=until, has_more=has_more)

    async def _within(
        self, resource: str, entity: str, start: float, end: float
    ) -> tuple[JsonObject, float, bool]:
        """Return the answer for the span, the end of the answer's complete part, and whether more can follow.

        If the span has too many records, the answer covers only the first part of
        the span.
        """
        first = int(start // _MINUTE_S) * _MINUTE_S
        whole = last = max(int(-(-end // _MINUTE_S)) * _MINUTE_S, first + _SHORTEST_S)
        while True:
            now = self._clock.now()
            try:
                answer = await self._asked(resource, entity, first, last)
                until = _time(answer, "latestDateCovered")
            except (KeyError, TypeError, ValueError) as error:
                raise _unclear(resource, entity) from error
            except (RequestRefused, AnswerTooLarge) as error:
                is_too_much = isinstance(error, AnswerTooLarge) or error.code == _TOO_MANY
                if is_too_much and last - first > _SHORTEST_S:
                    half = (last - first) // 2 // _MINUTE_S * _MINUTE_S
                    last = first + max(_SHORTEST_S, half)
                    continue
                if isinstance(error, RequestRefused):
                    raise RecordsRefused(str(error), code=error.code) from error
                raise
            complete = min(until, float(last), now - CLOCKS_DIFFER_S)
            return answer, complete, complete == last < whole

    async def _asked(self, resource: str, entity: str, first: int, last: int) -> JsonObject:
        path = f"sobjects/{quote(entity, safe='')}/{resource}/"
        answer = await self._rest.get(path, start=_text_of(first), end=_text_of(last))
        if not isinstance(answer, dict):
            raise _unclear(resource, entity)
        return answer


def _unclear(resource: str, entity: str) -> SalesforceUnavailable:
    return SalesforceUnavailable(f"the answer to GET sobjects/{entity}/{resource} has no records")


def _text_of(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds")


def _id(found: Mapping[str, Any]) -> str:
    record_id = _text(found, "id")
    if not is_id(record_id):
        raise ValueError("id")
    return record_id


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _time(found: Mapping[str, Any], key: str) -> float:
    moment = datetime.fromisoformat(_text(found, key))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
