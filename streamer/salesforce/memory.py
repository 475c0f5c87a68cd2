"""In-memory twins: a source that plays scripted batches, and a reader of scripted records."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer.errors import RecordsRefused, StreamerError
from streamer.events import Batch, Channel, Checkpoint, JsonObject, NewEventsAfter, SoughtPlace, Start
from streamer.salesforce.message import replay_id_of
from streamer.salesforce.retained import LastEventMissing, RetainedMessages, place_after


class MemorySource:
    """Source that yields scripted `batches`, by the path of their channel.

    An iterator ends at the end of the script. As at Salesforce, reading after a
    checkpoint skips the messages that the checkpoint covers. If the script does not
    contain the replay id, no message is skipped. A checkpoint without a replay id
    covers the messages up to the checkpoint's last event. `opened` lists the paths
    that were read, with their starting positions, in the order of the calls.
    """

    def __init__(self, batches: Mapping[str, Sequence[Batch]]) -> None:
        self.script = {path: list(script) for path, script in batches.items()}
        self.opened: list[tuple[str, Checkpoint | Start]] = []
        self.settled: dict[str, Checkpoint] = {}

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the script's batches of `channel` after `after`."""
        self.opened.append((channel.path, after))
        for batch in _after(self.script.get(channel.path, []), after):
            yield batch

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Keep the last settled checkpoint of each path.

        A script never loses a session, so nothing resumes here.
        """
        self.settled[checkpoint.channel.path] = checkpoint


class MemoryRecords:
    """Reader of `records`, by entity and id, and of the `describes` of entities.

    If `error` is set, each call raises it. A request for a field in `hidden` is
    refused, and describes omit the field. `requests` lists the entity, ids and
    fields of each request; for a describe, the ids and the fields are empty.
    """

    def __init__(
        self,
        records: Mapping[str, Mapping[str, JsonObject]] | None = None,
        describes: Mapping[str, JsonObject] | None = None,
    ) -> None:
        self.records = {entity: dict(of_entity) for entity, of_entity in (records or {}).items()}
        self.describes = {**(describes or {})}
        self.requests_left: float | None = None
        self.error: StreamerError | None = None
        self.hidden: frozenset[str] = frozenset()
        self.requests: list[tuple[str, list[str], list[str]]] = []

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return the matching entries of `records`."""
        self.requests.append((entity, list(ids), list(fields)))
        if self.error is not None:
            raise self.error
        if refused := [each for each in fields if each in self.hidden]:
            message = f"No such column '{refused[0]}' on sobject of type {entity}"
            raise RecordsRefused(message, code="INVALID_FIELD", field=refused[0])
        held = self.records.get(entity, {})
        return {
            each: {name: value for name, value in held[each].items() if name in fields}
            for each in ids
            if each in held
        }

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the entry of `describes`, without the `hidden` fields."""
        self.requests.append((entity, [], []))
        if self.error is not None:
            raise self.error
        held = self.describes.get(entity)
        if held is None:
            raise RecordsRefused("The requested resource does not exist", code="NOT_FOUND")
        return {**held, "fields": [each for each in held["fields"] if each["name"] not in self.hidden]}


def _after(script: Sequence[Batch], after: Checkpoint | Start) -> list[Batch]:
    if isinstance(after, Start | NewEventsAfter):
        return list(script)
    replay_id = after.replay_id or after.skips_after
    if replay_id is None:
        return _retained(script, after)
    for number, batch in reversed(list(enumerate(script))):
        for index, message in reversed(list(enumerate(batch.messages))):
            if replay_id_of(message) == replay_id:
                rest: Sequence[Any] = batch.messages[index + 1 :]
                kept = [replace(batch, messages=rest)] if rest else []
                return _sought([*kept, *script[number + 1 :]], after)
    return _sought(script, after)


def _sought(script: Sequence[Batch], after: Checkpoint) -> list[Batch]:
    is_sought = isinstance(after, SoughtPlace) or after.replay_id is None
    return _retained(script, after) if is_sought else list(script)


def _retained(script: Sequence[Batch], checkpoint: Checkpoint) -> list[Batch]:
    _, retained = place_after(checkpoint, over_cometd=True)
    retained = retained or RetainedMessages.after(checkpoint, last=checkpoint.open_replay_id)
    try:
        selected = _selected(script, retained)
    except LastEventMissing:
        retained = retained.by_time()
        selected = _selected(script, retained)
    is_lost = retained.told_lost()
    since = retained.told_unmarked()
    return [
        replace(batch, place_lost=is_lost, unmarked_since=since) if number == 0 else batch
        for number, batch in enumerate(selected)
    ]


def _new(batch: Batch, retained: RetainedMessages) -> Sequence[Any]:
    if not batch.messages:
        retained.read_to_end()
    return retained.new(batch.messages)


def _selected(script: Sequence[Batch], retained: RetainedMessages) -> list[Batch]:
    selected = [(batch, _new(batch, retained)) for batch in script]
    # An empty batch would mean that no more of the skipped messages follow.
    return [replace(batch, messages=new) for batch, new in selected if new or not batch.messages]
