"""Writer of records, through sObject Collections (REST API guide), and of calls to one org.

A call has up to 200 records. Salesforce changes the records in order and returns a
result for each record. Without `allOrNone`, a refused record does not affect the
other records.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from streamer.clock import Clock
from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.events import JsonObject, short_id
from streamer.exact_json import exact_json
from streamer.ports import (
    ApexRestCall,
    ApexSoapCall,
    CallResult,
    Unanswered,
    WriteKind,
    WriteOperation,
    WriteRefused,
    WriteResult,
    Written,
)
from streamer.salesforce.apex import ApexCaller
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import RequestRefused, Rest
from streamer.salesforce.rest_requests import RestRequest, in_requests

MOST_RECORDS = 200
"""Largest number of records in one call."""

# Sending a larger body would block the event loop.
_MOST_BYTES = 900_000
_TEXT_LIMIT = 500
_CODE_LIMIT = 80
# Error of a trigger that exceeds a limit of Apex because it handles all records of a call together.
_TOO_MANY_TOGETHER = "LimitException"
# Refusals with these statuses concern the type, the field or the user, so they apply to every record.
_GENERAL = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


# A call that is refused with these statuses can have one bad record among good ones.
_OF_ONE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


class _Item(NamedTuple):
    number: int
    record_id: str
    body: bytes


class _Found(NamedTuple):
    """Results of one call. `is_whole` is true if Salesforce refused the call as a whole."""

    results: Sequence[WriteResult]
    is_whole: bool = False


class Collections:
    """Writes any number of records, in as many calls as necessary."""

    def __init__(self, rest: Rest, clock: Clock, *, timeout_s: float) -> None:
        self._rest = rest
        self._clock = clock
        self._timeout_s = timeout_s

    async def write(self, operation: WriteOperation, records: Sequence[JsonObject]) -> list[WriteResult]:
        """Write `records`: see `streamer.ports.OrgWriter`.

        Several changes to one record go into successive calls. Salesforce refuses a
        call in which an external id appears twice, or an id more than a few times (Apex
        guide, DML statements). If a call is refused as a whole, or exceeds a limit of
        the org's triggers, its records are sent again in halves. So one record can't
        block the other records. After an unanswered call, no further call is made.
        """
        results: dict[int, WriteResult] = {}
        waiting: deque[Sequence[_Item]] = deque()
        for turn in _turns(operation, records):
            items = _items(operation, turn, results)
            waiting.extend(in_requests(items, most=MOST_RECORDS, most_bytes=_MOST_BYTES))
        failure: StreamerError | None = None
        while waiting:
            part = waiting.popleft()
            if failure is None:
                found = await self._found(operation, part)
            else:
                found = _Found([Unanswered(error=failure)] * len(part))
            results.update(zip((item.number for item in part), found.results, strict=True))
            if isinstance(first := found.results[0], Unanswered):
                failure = first.error
            # Put these records in front of the queue, so that they precede later changes of the same records.
            waiting.extendleft(reversed(_halves(_apart(part, found))))
        return [results[number] for number in range(len(records))]

    async def _found(self, operation: WriteOperation, part: Sequence[_Item]) -> _Found:
        try:
            async with self._clock.timeout(self._timeout_s):
                answer = await self._rest.ask(_request(operation, part))
            if not isinstance(answer, list) or len(answer) != len(part):
                raise _unexpected(operation, "without a result for each record")
            return _Found([_result(operation, *each) for each in zip(part, answer, strict=True)])
        except TimeoutError as error:
            late = SalesforceUnavailable(
                f"{operation.sobject}: Salesforce did not answer in {self._timeout_s:g} s"
            )
            late.__cause__ = error
            return _Found([Unanswered(error=late)] * len(part))
        except RequestRefused as refused:
            result = WriteRefused(
                code=refused.code, message=str(refused), is_general=refused.status in _GENERAL
            )
            return _Found([result] * len(part), is_whole=refused.status in _OF_ONE)
        except StreamerError as error:
            return _Found([Unanswered(error=error)] * len(part))


def request_of(operation: WriteOperation, record: JsonObject) -> RestRequest | WriteRefused:
    """Return the request that changes one record, or the refusal if JSON can't hold the record."""
    item = _item(operation, 0, record)
    return _request(operation, [item]) if isinstance(item, _Item) else item


def _request(operation: WriteOperation, part: Sequence[_Item]) -> RestRequest:
    path = "composite/sobjects"
    if operation.kind is WriteKind.DELETE:
        ids = ",".join(item.record_id for item in part)
        return RestRequest(method="DELETE", path=path, query={"ids": ids})
    records = [orjson.Fragment(item.body) for item in part]
    if operation.kind is WriteKind.UPSERT:
        path = f"{path}/{quote(operation.sobject, safe='')}/{quote(operation.external_id, safe='')}"
    return RestRequest(
        method="POST" if operation.kind is WriteKind.CREATE else "PATCH",
        path=path,
        body=orjson.dumps({"allOrNone": False, "records": records}),
    )


def _turns(
    operation: WriteOperation, records: Sequence[JsonObject]
) -> Iterator[list[tuple[int, JsonObject]]]:
    """Yield the numbered records in turns; no turn contains a record twice."""
    turns: list[list[tuple[int, JsonObject]]] = []
    changes: Counter[str] = Counter()
    for number, record in enumerate(records):
        name = _identity(operation, record)
        turn = 0 if name is None else changes[name]
        if name is not None:
            changes[name] += 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append((number, record))
    yield from turns


def _identity(operation: WriteOperation, record: JsonObject) -> str | None:
    match operation.kind:
        case WriteKind.CREATE:
            return None
        case WriteKind.UPSERT:
            # Salesforce ignores the letter case of an external id, unless its field is case-sensitive.
            return str(record.get(operation.external_id)).casefold()
        case _:
            return short_id(str(record.get("Id")))


def _items(
    operation: WriteOperation, turn: Sequence[tuple[int, JsonObject]], results: dict[int, WriteResult]
) -> Iterator[tuple[int, _Item]]:
    """Yield the records of a turn with their sizes; store the results of records that can't be sent."""
    for number, record in turn:
        item = _item(operation, number, record)
        if isinstance(item, WriteRefused):
            results[number] = item
        else:
            yield len(item.body), item


def _item(operation: WriteOperation, number: int, record: JsonObject) -> _Item | WriteRefused:
    fields = {name: value for name, value in record.items() if name != "Id"}
    record_id = str(record.get("Id", ""))
    if record_id:
        fields["id"] = record_id
    try:
        body = exact_json({**fields, "attributes": {"type": operation.sobject}})
    except (TypeError, ValueError) as error:
        return WriteRefused(code="NO_JSON", message=f"the record can't be sent as JSON: {error}", sent=False)
    return _Item(number, record_id, body)


def _apart(part: Sequence[_Item], found: _Found) -> list[_Item]:
    """Return the records of a failed call that can succeed in a smaller call."""
    if len(part) == 1:
        return []
    return [
        item
        for item, result in zip(part, found.results, strict=True)
        if isinstance(result, WriteRefused) and (found.is_whole or _TOO_MANY_TOGETHER in result.message)
    ]


def _halves(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    middle = (len(items) + 1) // 2
    return [half for half in (items[:middle], items[middle:]) if half]


def _result(operation: WriteOperation, item: _Item, answer: Any) -> WriteResult:
    if not isinstance(answer, dict):
        return Unanswered(error=_unexpected(operation, "with an invalid result"))
    if answer.get("success") is True:
        created = answer.get("created")
        record_id = answer.get("id")
        return Written(
            record_id=record_id if isinstance(record_id, str) else item.record_id,
            created=created if isinstance(created, bool) else None,
        )
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return Unanswered(error=_unexpected(operation, "with a failure that has no error"))
    code = str(first.get("statusCode") or first.get("errorCode") or "")
    message = " ".join(str(first.get("message", "")).split())[:_TEXT_LIMIT]
    return WriteRefused(code=code[:_CODE_LIMIT], message=message)


def _unexpected(operation: WriteOperation, how: str) -> SalesforceUnavailable:
    error = SalesforceUnavailable(f"{operation.kind} {operation.sobject}: Salesforce sent an answer {how}")
    error.__cause__ = ValueError(how)
    return error


def _nobody() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestWriter:
    """Writes with the tokens of an org: see `streamer.ports.OrgWriter`."""

    tokens: Tokens
    collections: Collections
    apex: ApexCaller

    async def user(self) -> str:
        """Return the id of the user that writes the records: see `streamer.ports.OrgWriter`."""
        return (await self.tokens.token()).user

    async def write(
        self, operation: WriteOperation, records: Sequence[JsonObject], /
    ) -> Sequence[WriteResult]:
        """Write records: see `streamer.ports.OrgWriter`."""
        return await self.collections.write(operation, records)

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = _nobody
    ) -> CallResult:
        """Call a method: see `streamer.ports.OrgWriter`."""
        return await self.apex.call(call, on_sent)
