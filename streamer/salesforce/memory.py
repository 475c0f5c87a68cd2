"""In-memory twins: a source that plays a script, and a reader of scripted records."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer.errors import StreamerError
from streamer.events import Batch, Channel, Checkpoint, JsonObject, ReplayId, Start
from streamer.salesforce.message import replay_id_of


class MemorySource:
    """Source that yields scripted `batches`, by the path of their channel.

    An iterator ends with its script. Reading after a checkpoint skips the
    messages that the checkpoint covers, as Salesforce does; a replay id that
    the script does not hold covers none. `opened` lists the paths that were
    read, and their starting positions, in the order of the calls.
    """

    def __init__(self, batches: Mapping[str, Sequence[Batch]]) -> None:
        self.script = {path: list(script) for path, script in batches.items()}
        self.opened: list[tuple[str, Checkpoint | Start]] = []
        self.settled: dict[str, Checkpoint] = {}

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the script's batches of `channel` after `after`."""
        self.opened.append((channel.path, after))
        for batch in _after(self.script.get(channel.path, []), _position(after)):
            yield batch

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Keep what was settled last of each path; a script loses no session."""
        self.settled[checkpoint.channel.path] = checkpoint


class MemoryRecords:
    """Reader of the records in `records`, by entity and id.

    While `error` is set, it is raised. `requests` lists the entity, the ids and
    the fields of each request.
    """

    def __init__(self, records: Mapping[str, Mapping[str, JsonObject]] | None = None) -> None:
        self.records = {entity: dict(of_entity) for entity, of_entity in (records or {}).items()}
        self.requests_left: float | None = None
        self.error: StreamerError | None = None
        self.requests: list[tuple[str, list[str], list[str]]] = []

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return what `records` holds."""
        self.requests.append((entity, list(ids), list(fields)))
        if self.error is not None:
            raise self.error
        held = self.records.get(entity, {})
        return {
            each: {name: value for name, value in held[each].items() if name in fields}
            for each in ids
            if each in held
        }


def _position(after: Checkpoint | Start) -> ReplayId | None:
    return None if isinstance(after, Start) else after.replay_id


def _after(script: Sequence[Batch], position: ReplayId | None) -> list[Batch]:
    for number, batch in reversed(list(enumerate(script))):
        for index, message in reversed(list(enumerate(batch.messages))):
            if position is not None and replay_id_of(message) == position:
                rest: Sequence[Any] = batch.messages[index + 1 :]
                kept = [replace(batch, messages=rest)] if rest else []
                return [*kept, *script[number + 1 :]]
    return list(script)
