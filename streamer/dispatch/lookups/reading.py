"""Reading of records by calls that find out which fields Salesforce refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.clock import Clock
from streamer.dispatch.lookups.cache import Found
from streamer.dispatch.lookups.fields import ObjectFields
from streamer.errors import RecordsRefused
from streamer.events import JsonObject
from streamer.ports import LookupReader

_OF_A_FIELD = "INVALID_FIELD"


class LookupObserver(Protocol):
    """Receives what look-ups do, for metrics; must not block or raise."""

    def looked_up(self, result: str) -> None:
        """One look-up ended: it was `cached`, `read`, `refused` or `failed`."""
        ...

    def asked(self, records: int, seconds: float, result: str) -> None:
        """One call for `records` took `seconds` and was `answered`, `refused` or `failed`."""
        ...

    def held(self, *, entries: int, size: int, waits: bool) -> None:
        """The cache has so many entries and bytes now, and look-ups wait or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldwiseReader:
    """Reads records without the fields that Salesforce refuses, so that one mistake costs no other field."""

    reader: LookupReader
    clock: Clock
    observer: LookupObserver

    async def read(self, of: ObjectFields, ids: Sequence[str], names: Sequence[str]) -> dict[str, Found]:
        """Return the fields `names` of records, by id and by name in lower case, or their own refusals.

        Tells `of` which fields are refused. Raises what `LookupReader.read`
        raises, and `RecordsRefused` only for the whole object.
        """
        if not names:
            return {}
        try:
            records = await self._call(of.sobject, ids, names)
        except RecordsRefused as error:
            return await self._without_refused(error, of, ids, names)
        return {each: _by_key(record) for each, record in records.items()}

    async def _without_refused(
        self, error: RecordsRefused, of: ObjectFields, ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, Found]:
        rest = [each for each in names if each.lower() != error.field.lower()]
        if len(rest) < len(names):
            of.refuse(error)
            return await self.read(of, ids, rest)
        if error.code != _OF_A_FIELD:
            raise error
        if len(names) == 1:
            of.refuse(RecordsRefused(str(error), code=error.code, field=names[0]))
            return {}
        # Salesforce does not say which field it is.
        half = len(names) // 2
        first = await self.read(of, ids, names[:half])
        second = await self.read(of, ids, names[half:])
        return {
            each: _joined(first.get(each, {}), second.get(each, {})) for each in first.keys() | second.keys()
        }

    async def _call(
        self, sobject: str, ids: Sequence[str], names: Sequence[str]
    ) -> dict[str, JsonObject | RecordsRefused]:
        began, result = self.clock.monotonic(), "failed"
        try:
            records = dict(await self.reader.read(sobject, ids, names))
            all_refused = records and all(isinstance(each, RecordsRefused) for each in records.values())
            result = "refused" if all_refused else "answered"
        except RecordsRefused:
            result = "refused"
            raise
        finally:
            self.observer.asked(len(ids), self.clock.monotonic() - began, result)
        return records


def _by_key(record: JsonObject | RecordsRefused) -> Found:
    if isinstance(record, RecordsRefused):
        return record
    return {name.lower(): value for name, value in record.items()}


def _joined(first: Found, second: Found) -> Found:
    if isinstance(first, RecordsRefused):
        return first
    return second if isinstance(second, RecordsRefused) else {**first, **second}
