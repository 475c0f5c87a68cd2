"""Reader of records over the REST API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from streamer.errors import RecordsRefused, SalesforceUnavailable
from streamer.events import JsonObject
from streamer.salesforce.rest import AnswerTooLarge, AnswerTooLate, RequestRefused, Rest

_ENTITIES = 256
_QUOTED = re.compile(r"['\"](\w{1,80})['\"]", re.ASCII)


class RestRecords:
    """Reader of the records that the REST API's user can see.

    One request for sObject Collections (REST API guide) returns many records, in
    the order of the ids, with null for each missing record.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._at_once: dict[str, int] = {}

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left: see `streamer.ports.RecordReader`."""
        return self._rest.requests_left

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return `fields` of records, by id: see `streamer.ports.RecordReader`.

        Each field has the name that the caller requested, even if the org writes it
        in another letter case. Records that are too large for one answer are read
        in parts. If a request took too long, the next call reads fewer records at
        once.
        """
        found: dict[str, JsonObject] = {}
        at_once = self._at_once.get(entity, len(ids))
        for begin in range(0, len(ids), max(1, at_once)):
            found |= await self._part(entity, ids[begin : begin + at_once], fields)
        if entity in self._at_once:
            self._at_once[entity] += at_once // 8 + 1
        return found

    async def _part(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, JsonObject]:
        try:
            return await self._read(entity, ids, fields)
        except AnswerTooLate:
            if len(self._at_once) >= _ENTITIES:
                self._at_once.clear()
            self._at_once[entity] = max(1, len(ids) // 2)
            raise
        except AnswerTooLarge:
            if len(ids) == 1:
                raise
        half = len(ids) // 2
        return {
            **await self._part(entity, ids[:half], fields),
            **await self._part(entity, ids[half:], fields),
        }

    async def _read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, JsonObject]:
        path = f"composite/sobjects/{quote(entity, safe='')}"
        asked = {each.lower(): each for each in fields}
        try:
            answer = await self._rest.post(path, {"ids": list(ids), "fields": list(fields)})
        except RequestRefused as error:
            raise RecordsRefused(str(error), code=error.code, field=_field(str(error), asked)) from error
        if not isinstance(answer, list) or len(answer) != len(ids):
            raise SalesforceUnavailable(
                f"the answer to POST {path} does not contain exactly one record for each id"
            )
        return {
            each: {asked[name.lower()]: value for name, value in record.items() if name.lower() in asked}
            for each, record in zip(ids, answer, strict=True)
            if isinstance(record, dict)
        }

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the describe of `entity`: see `streamer.ports.Describer`."""
        path = f"sobjects/{quote(entity, safe='')}/describe"
        try:
            answer = await self._rest.get(path)
        except RequestRefused as error:
            raise RecordsRefused(str(error), code=error.code) from error
        if not _is_describe(answer, entity):
            raise SalesforceUnavailable(f"the answer to GET {path} is not a describe of {entity}")
        describe: JsonObject = answer
        return describe


def _is_describe(answer: Any, entity: str) -> bool:
    """Return whether `answer` has the name of `entity`, in any letter case, and a list of fields."""
    if not isinstance(answer, dict) or not isinstance(answer.get("fields"), list):
        return False
    name = answer.get("name")
    return (
        isinstance(name, str)
        and name.lower() == entity.lower()
        and all(isinstance(field, dict) and isinstance(field.get("name"), str) for field in answer["fields"])
    )


def _field(message: str, asked: Mapping[str, str]) -> str:
    """Return the first of the `asked` fields that the refusal `message` quotes, or an empty text."""
    quoted = (each.lower() for each in _QUOTED.findall(message))
    return next((asked[each] for each in quoted if each in asked), "")
