"""Source that plays a script: the in-memory twin of `CometdSource`."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer.events import Batch, Channel, Checkpoint, ReplayId, Start
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
