"""One whole answer of the Streaming API, sorted into replies and events, and replay positions."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from streamer.channel_paths import without_filter
from streamer.events import Start, Unreadable
from streamer.exact_json import raw_json
from streamer.salesforce.cometd.protocol import (
    SEAM,
    Frame,
    JsonObject,
    Oversized,
    TornBody,
    channels_named_in,
    parse,
    parse_json,
)
from streamer.salesforce.retained import StreamPosition

# The objects of a part are parsed, normalised and encoded while a processor's
# caches hold them, and are gone before the next part is parsed.
_PART_BYTES = 512 * 1024

# In a longer part, the search for a boundary is given up.
_LONGEST_PART_BYTES = 4 * 1024 * 1024
# The loop stands still while these are sorted, normalised and encoded. Ordinary parts have fewer.
_PART_MESSAGES = 4_000
_MOST_UNCUT = 20_000

# Each becomes a dead letter.
_MOST_STRAYS = 10_000
_STRAY = "no Bayeux message"
# Our requests have a few hundred messages at most, and each has one reply.
_MOST_REPLIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsortedMessages:
    """Unsorted rest of an answer: parsed messages, and then JSON, if any."""

    messages: Sequence[Any] = ()
    content: memoryview | None = None

    @property
    def size(self) -> int:
        """Bytes that are not parsed."""
        return len(self.content or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxResponse:
    """Answer to one POST: replies by their meta channel, events by their channel, both in order.

    A large answer comes in parts. `rest` is not yet sorted, and `following`
    returns the next part of it, together with the replies so far. A part that
    takes long to find is sorted by `slowly_following` only, which belongs in a
    thread.
    """

    status: int
    size: int
    replies: dict[str, list[JsonObject]]
    events: dict[str, list[JsonObject]]
    unreadable: tuple[Unreadable, ...] = ()
    strays: int = 0
    rest: UnsortedMessages | None = None

    @classmethod
    def beginning(cls, status: int, body: bytes) -> "BayeuxResponse":
        """Sort the first part of `body`; raises `TornBody` when it is not complete."""
        return cls.quickly(status, body) or cls.slowly(status, body)

    @classmethod
    def quickly(cls, status: int, body: bytes) -> "BayeuxResponse | None":
        """Sort the first part of `body`, or return `None` where that takes long."""
        if body.startswith(b"[") and (part := cls._part(status, memoryview(body)[1:], parse_json)):
            return part
        return _genuine(cls._sorted(status, frame)) if (frame := _quickly_parsed(body)) else None

    @classmethod
    def slowly(cls, status: int, body: bytes) -> "BayeuxResponse":
        """Sort the first part of `body`; raises `TornBody` when it is not complete."""
        part = cls._part(status, memoryview(body)[1:], _parsed_part) if body.startswith(b"[") else None
        return part or _genuine(cls._sorted(status, parse(body)))

    def following(self) -> "BayeuxResponse":
        """Sort the next part; raises `TornBody` when it is not complete."""
        return self.quickly_following() or self.slowly_following()

    def quickly_following(self) -> "BayeuxResponse | None":
        """Sort the next part, or return `None` where that takes long."""
        rest = self.rest or UnsortedMessages()
        if rest.messages:
            frame = Frame(messages=list(rest.messages), size=0)
            return self._joined(self._sorted(self.status, frame, rest.content))
        if (part := self._part(self.status, rest.content or b"]", parse_json)) is not None:
            return self._joined(part)
        frame_or_none = _quickly_parsed(b"".join((b"[", rest.content or b"]")))
        return self._joined(self._sorted(self.status, frame_or_none)) if frame_or_none else None

    def slowly_following(self) -> "BayeuxResponse":
        """Sort the next part; raises `TornBody` when it is not complete."""
        content = (self.rest or UnsortedMessages()).content or b"]"
        part = self._part(self.status, content, _parsed_part)
        return self._joined(part or self._sorted(self.status, parse(b"".join((b"[", content)))))

    def _joined(self, part: "BayeuxResponse") -> "BayeuxResponse":
        """Return `part` with the replies before it; raises `Oversized`."""
        strays = self.strays + part.strays
        _check_number(strays, _MOST_STRAYS, "pieces that are no Bayeux messages")
        replies = {
            channel: [*self.replies.get(channel, ()), *part.replies.get(channel, ())]
            for channel in self.replies | part.replies
        }
        _check_number(sum(map(len, replies.values())), _MOST_REPLIES, "replies")
        return replace(part, replies=replies, strays=strays)

    @classmethod
    def _part(
        cls, status: int, content: memoryview | bytes, parsed: Callable[[bytes], Frame | None]
    ) -> "BayeuxResponse | None":
        """Sort the part of `content` up to a boundary, or return `None` if none is found."""
        seam = SEAM.search(content, _PART_BYTES, _PART_BYTES + _LONGEST_PART_BYTES)
        if seam is None:
            return None
        end = seam.start() + 1
        try:
            frame = parsed(b"".join((b"[", content[:end], b"]")))
        except TornBody:
            # There is no boundary, or bytes are missing: parsing the whole answer shows which.
            return None
        return cls._sorted(status, frame, memoryview(content)[end + 1 :]) if frame else None

    @classmethod
    def of(cls, status: int, body: bytes) -> "BayeuxResponse":
        """Sort `body` without a cut; raises `TornBody` when it is not complete."""
        frame = parse(body)
        _check_number(len(frame.messages), _MOST_UNCUT, "messages")
        answer = _genuine(cls._sorted(status, frame, most=_MOST_UNCUT))
        _check_number(answer.strays, _MOST_STRAYS, "pieces that are no Bayeux messages")
        return answer

    @classmethod
    def _sorted(
        cls, status: int, frame: Frame, content: memoryview | None = None, *, most: int | None = None
    ) -> "BayeuxResponse":
        """Sort the first messages of `frame`; the others, and then `content`, are the rest."""
        cut = most or _PART_MESSAGES
        messages, waiting = frame.messages, frame.messages[cut:]
        if waiting:
            messages = messages[:cut]
        replies: dict[str, list[JsonObject]] = {}
        events: dict[str, list[JsonObject]] = defaultdict(list)
        strays = []
        # Every event of a backlog passes this loop, so it must be cheap.
        for message in messages:
            try:
                events[message["channel"]].append(message)
            except (TypeError, KeyError):
                strays.append(message)
        for path in [path for path in events if not isinstance(path, str) or path.startswith("/meta/")]:
            replies[str(path)] = events.pop(path)
        return cls(
            status=status,
            size=frame.size,
            replies=replies,
            events=events,
            unreadable=_set_aside(frame, strays),
            strays=len(strays),
            rest=UnsortedMessages(messages=waiting, content=content)
            if waiting or content is not None
            else None,
        )

    @property
    def count(self) -> int:
        """Number of events, including the unreadable ones."""
        return sum(map(len, self.events.values())) + len(self.unreadable)

    def events_of(self, path: str) -> Sequence[JsonObject]:
        """Return the events of the channel at `path`.

        If a PushTopic is read with a filter, its events can name the channel with
        or without it: no guide says which.
        """
        topic = without_filter(path)
        if topic == path:
            return self.events.get(path, ())
        named = [events for name, events in self.events.items() if without_filter(name) == topic]
        return [event for events in named for event in events]

    def unreadable_of(self, paths: Sequence[str]) -> dict[str, list[Unreadable]]:
        """Return the unreadable pieces by the channel that they name.

        A piece that names none of `paths` goes to the first of them, so that it
        is always reported.
        """
        found: dict[str, list[Unreadable]] = defaultdict(list)
        by_name = {without_filter(path): path for path in paths}
        for piece in self.unreadable if paths else ():
            names = map(without_filter, channels_named_in(piece.raw))
            named = next((by_name[name] for name in names if name in by_name), None)
            if named is not None:
                found[named].append(piece)
            else:
                error = f"{piece.error}; it names no channel that we read"
                found[paths[0]].append(replace(piece, error=error))
        return found


def _quickly_parsed(body: bytes) -> Frame | None:
    return parse_json(body) if len(body) <= 2 * _PART_BYTES else None


def _parsed_part(body: bytes) -> Frame:
    return parse(body, is_part=True)


def _genuine(answer: BayeuxResponse) -> BayeuxResponse:
    """Return `answer`; if it is another server's document and not Bayeux, without unreadable pieces."""
    if answer.replies or answer.events or answer.rest:
        return answer
    return replace(answer, unreadable=())


def _check_number(found: int, most: int, what: str) -> None:
    if found > most:
        raise Oversized(f"an answer with {found} {what}")


def _set_aside(frame: Frame, strays: Sequence[object]) -> tuple[Unreadable, ...]:
    pieces = [piece for piece in frame.unreadable if not _is_reply(piece.raw)]
    pieces += [Unreadable(raw=raw_json(stray), error=_STRAY, summary=_STRAY) for stray in strays]
    return tuple(pieces)


def _is_reply(raw: bytes) -> bool:
    return any(name.startswith("/meta/") for name in channels_named_in(raw)[:1])


NEW_EVENTS = -1
ALL_RETAINED = -2


@dataclass(slots=True, kw_only=True)
class ReplayPosition(StreamPosition):
    """Position of one channel, and its number in the replay map.

    The consumer drops the events of the open id that it already holds, and does
    not get the messages that `retained` drops.
    """

    over_cometd: ClassVar = True

    def replay(self) -> int:
        """Return this channel's number in the replay map of a subscription."""
        if self.complete is not None:
            return int(self.complete)
        return NEW_EVENTS if self.start is Start.LATEST else ALL_RETAINED

    def decide_by_time(self) -> None:
        """Note that Salesforce no longer retains the last event in the log."""
        if self.retained is not None:
            self.retained = self.retained.by_time()
