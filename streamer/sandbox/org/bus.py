"""Event bus of the org: it keeps the messages of each channel for as long as Salesforce does."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import orjson

from streamer.clock import Clock

HOUR_S = 3600
_DAY_CHANNELS = ("/topic/", "/u/")
_PURGE_EVERY = 1024
_FIRST_ID = 1000

Listener = Callable[[Sequence[str]], None]
"""Callback with the channels of each message, called after the message is stored."""

_replay_id = attrgetter("replay_id")
_sequence = attrgetter("sequence")
_published_at = attrgetter("published_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One stored message; every channel that carries it has the same object.

    `sequence` is the position of the message among all messages of the bus. It is
    unique, whereas a replay id can repeat. `published_at` is in epoch seconds. `data`
    is the encoded value of the message's `data` key, and is sent unchanged.
    """

    sequence: int
    replay_id: int
    published_at: float
    data: bytes


class EventBus:
    """Stores each channel's messages under rising replay ids and notifies its listeners.

    As in Salesforce, replay ids are not contiguous. Messages are kept for `retention_s`
    seconds, but on `/topic/` and `/u/` channels for at most a day (Streaming API guide,
    message durability). A channel keeps at most `capacity` messages. Salesforce's purge
    can run late, and then older messages can still be replayed: `purge_late_s` is the
    additional time. Both times can be changed at any moment. An expired message is
    never served.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        retention_s: float = 72 * HOUR_S,
        purge_late_s: float = 0.0,
        capacity: int = 2_000_000,
    ) -> None:
        self.retention_s = retention_s
        self.purge_late_s = purge_late_s
        self._clock = clock
        self._capacity = capacity
        self._streams: dict[str, list[StoredMessage]] = {}
        # All issued ids with their times, for all channels together, because a position is valid on every
        # channel.
        self._ids = array("q")
        self._times = array("d")
        self._dropped_through: dict[str, int] = {}
        self._listeners: list[Listener] = []
        self._last_id = _FIRST_ID
        self._last_sequence = 0
        self._ids_began_at = 0
        self._recorded = 0

    @property
    def sequence(self) -> int:
        """Sequence of the newest message ever published; 0 before the first."""
        return self._last_sequence

    def publish(self, paths: Sequence[str], data: Mapping[str, Any], *, replay_id: int | None = None) -> int:
        """Store one message on all of `paths` and return its replay id.

        `data` itself is not changed; the stored message has an additional
        `event.replayId`. A given `replay_id` must be above the latest replay id, or
        equal to it, as for split enriched events. Otherwise, this raises `ValueError`.
        """

        def encode(issued: int) -> bytes:
            return orjson.dumps({**data, "event": {**data.get("event", {}), "replayId": issued}})

        return self.publish_raw(paths, encode, replay_id=replay_id)

    def publish_raw(
        self, paths: Sequence[str], encode: Callable[[int], bytes], *, replay_id: int | None = None
    ) -> int:
        """Store the bytes that `encode` makes from the replay id, even unreadable bytes.

        Otherwise like `publish`.
        """
        issued = self._issue(replay_id)
        self._store(paths, issued, encode(issued))
        return issued

    def advance(self) -> int:
        """Issue a replay id that no message of this org has, and return it.

        At Salesforce, orgs share a bus. So the position of a quiet channel moves past
        its last message (Pub/Sub API guide, flow control).
        """
        issued = self._issue(None)
        self._record(issued)
        return issued

    def after(self, path: str, replay_id: int, limit: int | None = None) -> Sequence[StoredMessage]:
        """Return up to `limit` retained messages of `path` after `replay_id`, oldest first."""
        stream = self._retained(path)
        first = bisect_right(stream, replay_id, key=_replay_id)
        return stream[first : None if limit is None else first + limit]

    def since(self, path: str, sequence: int, limit: int | None = None) -> Sequence[StoredMessage]:
        """Return up to `limit` retained messages of `path` after `sequence`, oldest first."""
        stream = self._retained(path)
        if not stream or stream[-1].sequence <= sequence:
            return ()
        first = bisect_right(stream, sequence, key=_sequence)
        return stream[first : None if limit is None else first + limit]

    def sequence_before(self, path: str, replay_id: int) -> int:
        """Return the sequence number after which the messages of `path` after `replay_id` begin."""
        behind = self.after(path, replay_id, 1)
        return behind[0].sequence - 1 if behind else self._last_sequence

    def newest_replay_id(self, path: str) -> int | None:
        """Return the replay id of the newest retained message of `path`, or `None` without messages."""
        stream = self._retained(path)
        return stream[-1].replay_id if stream else None

    def is_valid(self, path: str, replay_id: int) -> bool:
        """Return whether reading `path` can resume after `replay_id` without a hole.

        The result is false if the message with this id has expired, if the bus never
        issued the id, and after `reset`.
        """
        self._retained(path)
        at = bisect_left(self._ids, replay_id)
        if at == len(self._ids) or self._ids[at] != replay_id:
            return False
        fresh = self._times[at] >= self._cutoff(path)
        return fresh and replay_id >= self._dropped_through.get(path, 0)

    def reset(self, *, repeat_ids: bool = False) -> None:
        """Forget all messages and ids, as an org migration or a sandbox refresh does.

        After a migration, Salesforce can issue the same replay ids again (Streaming API
        guide, message durability): with `repeat_ids`, the bus issues its first replay
        ids again.
        """
        self._streams.clear()
        del self._ids[:]
        del self._times[:]
        self._dropped_through.clear()
        if repeat_ids:
            self._last_id = _FIRST_ID
            self._ids_began_at = self._last_sequence

    def expire(self, older_than_s: float = 0.0) -> None:
        """Purge messages that are `older_than_s` seconds old or older, before their retention is over."""
        latest = self._clock.now() - older_than_s
        for path, stream in self._streams.items():
            self._drop(path, bisect_right(stream, latest, key=_published_at))
        expired = bisect_right(self._times, latest)
        del self._ids[:expired], self._times[:expired]

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each message from now on."""
        self._listeners.append(listener)

    def _issue(self, wanted: int | None) -> int:
        if wanted is None:
            return self._last_id + 1 + (self._last_sequence - self._ids_began_at) % 4
        if wanted < self._last_id:
            raise ValueError(
                f"The replay id {wanted} must not be lower than the latest replay id, {self._last_id}."
            )
        return wanted

    def _store(self, paths: Sequence[str], replay_id: int, data: bytes) -> None:
        published_at = self._record(replay_id)
        self._last_sequence += 1
        message = StoredMessage(
            sequence=self._last_sequence,
            replay_id=replay_id,
            published_at=published_at,
            # orjson's result keeps its buffer of kilobytes alive; a copy has the exact size.
            data=bytes(memoryview(data)),
        )
        for path in paths:
            self._streams.setdefault(path, []).append(message)
        for listener in self._listeners:
            listener(paths)

    def _record(self, replay_id: int) -> float:
        """Record that `replay_id` is issued now, and return the time in epoch seconds."""
        now = self._now()
        self._last_id = replay_id
        self._ids.append(replay_id)
        self._times.append(now)
        self._recorded += 1
        if self._recorded % _PURGE_EVERY == 0:
            self._purge()
        return now

    def _now(self) -> float:
        # A search by time needs rising times, but a machine's clock can be set back.
        latest = self._times[-1] if self._times else 0.0
        return max(latest, self._clock.now())

    def _cutoff(self, path: str) -> float:
        day = path.startswith(_DAY_CHANNELS)
        kept_s = min(self.retention_s, 24 * HOUR_S) if day else self.retention_s
        return self._clock.now() - kept_s - self.purge_late_s

    def _retained(self, path: str) -> list[StoredMessage]:
        stream = self._streams.get(path)
        if stream is None:
            return []
        expired = bisect_left(stream, self._cutoff(path), key=_published_at)
        self._drop(path, max(expired, len(stream) - self._capacity))
        return stream

    def _drop(self, path: str, count: int) -> None:
        stream = self._streams[path]
        if count > 0:
            self._dropped_through[path] = stream[count - 1].replay_id
            del stream[:count]

    def _purge(self) -> None:
        for path in self._streams:
            self._retained(path)
        expired = bisect_left(self._times, self._clock.now() - self.retention_s - self.purge_late_s)
        del self._ids[:expired], self._times[:expired]
