"""Source that plays a script: the in-memory twin of `CometdSource`."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer.events import Batch, Channel, Checkpoint, Start
from streamer.salesforce.message import replay_id_of
from streamer.salesforce.retained import LastEventMissing, RetainedMessages


class MemorySource:
    """Source that yields scripted `batches`, by the path of their channel.

    An iterator ends with its script. Reading after a checkpoint skips the
    messages that the checkpoint covers, as Salesforce does; a replay id that
    the script does not hold covers none. `opened` lists the paths that were
    read, and their starting positions, in the order of the calls. A checkpoint
    without a replay id covers the messages up to its last event.
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
        """Keep what was settled last of each path; a script loses no session."""
        self.settled[checkpoint.channel.path] = checkpoint


def _after(script: Sequence[Batch], after: Checkpoint | Start) -> list[Batch]:
    if isinstance(after, Start):
        return list(script)
    if after.replay_id is None:
        return _retained(script, after)
    for number, batch in reversed(list(enumerate(script))):
        for index, message in reversed(list(enumerate(batch.messages))):
            if replay_id_of(message) == after.replay_id:
                rest: Sequence[Any] = batch.messages[index + 1 :]
                kept = [replace(batch, messages=rest)] if rest else []
                return [*kept, *script[number + 1 :]]
    return list(script)


def _retained(script: Sequence[Batch], checkpoint: Checkpoint) -> list[Batch]:
    retained = RetainedMessages.after(checkpoint, last=checkpoint.open_replay_id)
    try:
        return _selected(script, retained)
    except LastEventMissing:
        return _selected(script, retained.by_time())


def _selected(script: Sequence[Batch], retained: RetainedMessages) -> list[Batch]:
    selected = [(batch, retained.new(batch.messages)) for batch in script]
    # An empty batch would say that nothing more comes of what was left out.
    return [replace(batch, messages=new) for batch, new in selected if new or not batch.messages]
