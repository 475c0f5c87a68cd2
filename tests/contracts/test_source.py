"""Contract of `Source`, for the twin, the Streaming API and the Pub/Sub API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

import pytest

from streamer.events import Batch, Channel, Checkpoint, OrgId, ReplayId, Start
from streamer.ports import Source
from streamer.salesforce.memory import MemorySource
from streamer.salesforce.message import replay_id_of
from streamer.settings import Transport
from tests.streaming import CHANGES, ORDERS, World, message, streaming
from tests.waiting import limited

ORG = OrgId("00DSb0000000001MAA")


class Publisher(Protocol):
    """An org that publishes, and a source that reads it."""

    @property
    def source(self) -> Source:
        """The source, which has read nothing yet."""
        ...

    def publish(self, path: str, name: str, *, split: bool = False) -> ReplayId:
        """Publish one message; `split` repeats the replay id of the one before."""
        ...


class Twin:
    """The scripted twin."""

    def __init__(self) -> None:
        """Start with an empty one."""
        self._script: dict[str, list[Batch]] = {}
        self._last = 1000

    @property
    def source(self) -> Source:
        """A source that plays the published messages."""
        return MemorySource(self._script)

    def publish(self, path: str, name: str, *, split: bool = False) -> ReplayId:
        """Add a batch of one message."""
        self._last += 0 if split else 3
        message = {
            "channel": path,
            "data": {"payload": {"name": name}, "event": {"replayId": self._last}},
        }
        batch = Batch(channel=Channel(org=ORG, path=path), read_at=1.0, messages=[message])
        self._script.setdefault(path, []).append(batch)
        return ReplayId(b"%d" % self._last)


class Sandboxed:
    """The sandbox's org, read over CometD or the Pub/Sub API."""

    def __init__(self, world: World, transport: Transport) -> None:
        """Publish on the world's bus."""
        self._world = world
        self._transport = transport
        self._last: int | None = None

    @property
    def source(self) -> Source:
        """The world's source."""
        return self._world.source

    def publish(self, path: str, name: str, *, split: bool = False) -> ReplayId:
        """Publish a message on the bus."""
        given = self._last if split else None
        data = message(self._world.sandbox, self._world.clock, name=name)
        self._last = self._world.sandbox.bus.publish([path], data, replay_id=given)
        if self._transport is Transport.PUBSUB:
            return ReplayId(self._last.to_bytes(8, "big"))
        return ReplayId(b"%d" % self._last)


@asynccontextmanager
async def _publisher(kind: str) -> AsyncIterator[Publisher]:
    if kind == "twin":
        yield Twin()
        return
    async with streaming(transport=Transport(kind)) as world:
        yield Sandboxed(world, Transport(kind))


@pytest.fixture(params=["twin", "cometd", "pubsub"])
async def org(request: pytest.FixtureRequest) -> AsyncIterator[Publisher]:
    """Each org in turn."""
    async with _publisher(request.param) as publisher:
        yield publisher


def at(replay_id: ReplayId | None, path: str = CHANGES) -> Checkpoint:
    """Return a checkpoint at which everything up to `replay_id` is complete."""
    return Checkpoint(channel=Channel(org=ORG, path=path), replay_id=replay_id, verified_at=0.0)


async def read(source: Source, count: int, after: Checkpoint | Start, path: str = CHANGES) -> Sequence[str]:
    """Return the names of the next `count` messages, and close the iterator after them."""
    names: list[str] = []
    channel = Channel(org=ORG, path=path)
    async with limited(f"{count} messages"), aclosing(source.batches(channel, after=after)) as batches:
        async for batch in batches:
            assert batch.channel == channel
            names += [message["data"]["payload"]["name"] for message in batch.messages]
            if len(names) >= count:
                break
    return names


async def test_retained_messages_come_in_order(org: Publisher) -> None:
    """From the earliest on, messages are yielded in the order of publication."""
    for name in "abc":
        org.publish(CHANGES, name)
    assert await read(org.source, 3, Start.EARLIEST) == ["a", "b", "c"]


async def test_reading_resumes_after_the_checkpoint(org: Publisher) -> None:
    """Complete messages are not yielded again, and none is skipped."""
    ids = [org.publish(CHANGES, name) for name in "abcd"]
    assert await read(org.source, 2, at(ids[1])) == ["c", "d"]


async def test_split_messages_are_complete_together(org: Publisher) -> None:
    """Messages that share a replay id are all before it or all after it."""
    first = org.publish(CHANGES, "a")
    shared = org.publish(CHANGES, "b")
    assert org.publish(CHANGES, "c", split=True) == shared
    org.publish(CHANGES, "d")
    source = org.source
    assert await read(source, 3, at(first)) == ["b", "c", "d"]
    assert await read(source, 1, at(shared)) == ["d"]


async def test_position_is_read_from_the_messages(org: Publisher) -> None:
    """A message carries the replay id under which it was published."""
    published = org.publish(CHANGES, "a")
    channel = Channel(org=ORG, path=CHANGES)
    async with aclosing(org.source.batches(channel, after=Start.EARLIEST)) as batches:
        async for batch in batches:
            if batch.messages:
                assert [replay_id_of(message) for message in batch.messages] == [published]
                return


async def test_channels_are_read_apart(org: Publisher) -> None:
    """Each channel has its own messages and position."""
    changed = org.publish(CHANGES, "a")
    org.publish(ORDERS, "order")
    org.publish(CHANGES, "b")
    source = org.source
    assert await read(source, 1, Start.EARLIEST, ORDERS) == ["order"]
    assert await read(source, 1, at(changed)) == ["b"]


async def test_channel_may_be_read_again_from_anywhere(org: Publisher) -> None:
    """Closing an iterator ends it; another begins at the given position."""
    ids = [org.publish(CHANGES, name) for name in "abc"]
    source = org.source
    assert await read(source, 3, Start.EARLIEST) == ["a", "b", "c"]
    assert await read(source, 2, at(ids[0])) == ["b", "c"]
    assert await read(source, 3, Start.EARLIEST) == ["a", "b", "c"]
