"""Large texts that arrive as diffs: completed from a cache of earlier values, or read from the org."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from streamer.clock import Clock
from streamer.events import Event, JsonObject
from streamer.ingest.reading.rereading import Rereading
from streamer.normalise.changes import LONGEST_TEXT, TextDiff, is_diff
from streamer.normalise.malformed import from_text

_TextPlace = tuple[str, str]

# Memory of a key and its dictionary entry, in bytes.
_OVERHEAD_BYTES = 250


class TextCache:
    """Last known texts by record and field, in at most `limit_bytes` of memory.

    If the limit is reached, the least recently used texts are dropped.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._texts: OrderedDict[_TextPlace, str] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Memory of the texts in bytes."""
        return self._size

    def get(self, record_id: str, field: str) -> str | None:
        """Return the last known text of a field, or `None`."""
        text = self._texts.get((record_id, field))
        if text is not None:
            self._texts.move_to_end((record_id, field))
        return text

    def put(self, record_id: str, field: str, text: str) -> None:
        """Keep `text` as the last known text of a field, unless `text` exceeds the limit."""
        self.forget(record_id, field)
        self._texts[record_id, field] = text
        self._size += _text_size((record_id, field), text)
        while self._size > self._limit:
            place, oldest = self._texts.popitem(last=False)
            self._size -= _text_size(place, oldest)

    def forget(self, record_id: str, field: str) -> None:
        """Drop the text of a field."""
        text = self._texts.pop((record_id, field), None)
        if text is not None:
            self._size -= _text_size((record_id, field), text)


def _text_size(place: _TextPlace, text: str) -> int:
    return sum(map(sys.getsizeof, (*place, text))) + _OVERHEAD_BYTES


_MODIFIED = "LastModifiedDate"
# Salesforce sends a diff if the new value has 1,000 characters and its length has changed by less than half.
_SHORTEST_WITH_DIFF = 500
# Patching and hashing this many characters takes some hundredths of a second.
_CHARACTERS_AT_ONCE = 1_000_000
Diffs = Mapping[str, TextDiff | None]
"""Diffs of one event by field; `None` stands for an unreadable diff."""


class LargeTextObserver(Protocol):
    """Counts large texts that arrived as diffs. Its methods must not block or raise."""

    def large_texts(self, *, applied: int = 0, reread: int = 0, marked: int = 0) -> None:
        """Count texts completed from a former value, texts read from the org, and texts that stay diffs."""
        ...


@dataclass(slots=True, kw_only=True)
class LargeTexts:
    """Completes the large texts of one channel's change events as far as possible.

    Former values come from earlier events and are kept in `cache`. A completed
    value must have the hash in its diff, so an outdated former value does no harm.
    With `rereading`, texts without a usable former value are read from the org. A
    diff that is not replaced stays in the event, and `diff_fields` names its field.
    If `hides` returns true for an event type and a field, the field is never
    remembered, completed or read.
    """

    cache: TextCache
    clock: Clock
    observer: LargeTextObserver
    rereading: Rereading | None = None
    hides: Callable[[str, str], bool] = lambda _type, _name: False
    _worked: int = field(default=0, init=False)

    async def completed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return `events`, in their order, with the completed texts. Raises nothing."""
        made = list(events)
        unknown: dict[int, Diffs] = {}
        for place, event in enumerate(events):
            self._remember(event)
            if "diff_fields" in event.data:
                made[place], diffs = await self._applied(event)
                if diffs:
                    unknown[place] = diffs
        if unknown and self.rereading is not None:
            await self._reread(made, unknown, self.rereading)
        marked = sum(len(event.data.get("diff_fields", ())) for event in made)
        if marked:
            self.observer.large_texts(marked=marked)
        return made

    def _remember(self, event: Event) -> None:
        for name, value in event.data["fields"].items():
            if type(value) is str and len(value) >= _SHORTEST_WITH_DIFF and not self.hides(event.type, name):
                self._keep(event.data["record_id"], name, value)

    def _keep(self, record_id: str, name: str, text: str) -> None:
        if len(text) <= LONGEST_TEXT:
            self.cache.put(record_id, name, text)
        else:
            self.cache.forget(record_id, name)

    async def _applied(self, event: Event) -> tuple[Event, Diffs]:
        """Return `event` with the texts completed from former values, and the remaining diffs."""
        record_id, fields = event.data["record_id"], event.data["fields"]
        texts: dict[str, str] = {}
        unknown: dict[str, TextDiff | None] = {}
        for name in event.data["diff_fields"]:
            value = fields.get(name)
            # A part of a compound field, such as `BillingAddress.Street`, stays a diff.
            if type(value) is not dict or not is_diff(value) or self.hides(event.type, name):
                continue
            given, former = value["diff"], self.cache.get(record_id, name)
            diff = TextDiff.parse(given)
            text = diff.applied_to(former) if diff is not None and former is not None else None
            await self._yield_after(len(given) + len(former or ""))
            if text is None:
                self.cache.forget(record_id, name)
                unknown[name] = diff
            else:
                self._keep(record_id, name, text)
                texts[name] = text
        if texts:
            self.observer.large_texts(applied=len(texts))
        return _completed(event, texts), unknown

    async def _reread(self, made: list[Event], unknown: Mapping[int, Diffs], rereading: Rereading) -> None:
        """Put the org's current values into those events of `made` whose diffs are `unknown`."""
        wanted: dict[str, dict[str, set[str]]] = {}
        for place in unknown:
            event = made[place]
            of_entity = wanted.setdefault(event.data["entity"], {})
            of_entity.setdefault(event.data["record_id"], {_MODIFIED}).update(unknown[place])
        records = await rereading.read(wanted)
        for place in unknown:
            event = made[place]
            record = records.get(event.data["record_id"])
            if record is not None:
                made[place] = await self._with_present_values(event, unknown[place], record)

    async def _with_present_values(self, event: Event, diffs: Diffs, record: JsonObject) -> Event:
        """Return `event` with the values of `record`; a value without the diff's hash counts as later."""
        modified = _second(record.get(_MODIFIED))
        changed = _second(event.data["fields"].get(_MODIFIED))
        is_later = modified is not None and (changed is None or modified >= changed)
        texts: dict[str, str] = {}
        later: list[str] = []
        for name, diff in diffs.items():
            text = record.get(name)
            if type(text) is not str or not text:
                continue
            verified = diff is not None and diff.leads_to(text)
            await self._yield_after(len(text))
            if verified or is_later:
                self._keep(event.data["record_id"], name, text)
                texts[name] = text
                later += [] if verified else [name]
        if texts:
            self.observer.large_texts(reread=len(texts))
        return _completed(event, texts, {"fields": later, "last_modified": modified} if later else None)

    async def _yield_after(self, characters: int) -> None:
        """Let other tasks run after a large amount of work."""
        self._worked += characters
        if self._worked > _CHARACTERS_AT_ONCE:
            self._worked = 0
            await self.clock.sleep(0)


def _completed(event: Event, texts: Mapping[str, str], reread: JsonObject | None = None) -> Event:
    if not texts:
        return event
    data = {**event.data, "fields": {**event.data["fields"], **texts}}
    data["diff_fields"] = [name for name in data["diff_fields"] if name not in texts]
    if not data["diff_fields"]:
        del data["diff_fields"]
    if reread is not None:
        data["reread"] = reread
    return replace(event, data=data)


def _second(modified: Any) -> str | None:
    """Return the date of a record or event as RFC 3339 in UTC without milliseconds, or `None`."""
    # Salesforce writes milliseconds in some places only, so compare whole seconds.
    try:
        return f"{from_text(modified)[:19]}Z"
    except (OverflowError, TypeError, ValueError):
        return None
