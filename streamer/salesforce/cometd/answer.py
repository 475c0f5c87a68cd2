"""One answer of the Streaming API, sorted into replies and events; and a channel's replay position."""

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

# A part is small enough for a processor's caches while its objects are parsed,
# normalised and encoded. They are freed before the next part is parsed.
_PART_BYTES = 512 * 1024

# If a part is longer, the search for a boundary stops.
_LONGEST_PART_BYTES = 4 * 1024 * 1024
# Sorting, normalising and encoding these messages blocks the event loop. Ordinary parts have fewer.
_PART_MESSAGES = 4_000
_MOST_UNCUT = 20_000

# Each becomes a dead letter.
_MOST_STRAYS = 10_000
_STRAY = "not a Bayeux message"
# Our requests have a few hundred messages at most, and each has one reply.
_MOST_REPLIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsortedMessages:
    """Part of an answer that is not sorted yet: parsed messages, followed by unparsed JSON."""

    messages: Sequence[Any] = ()
    content: memoryview | None = None

    @property
    def size(self) -> int:
        """Size of the unparsed JSON in bytes."""
        return len(self.content or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxResponse:
    """Answer to one POST: replies by meta channel and events by channel, both in order.

    A large answer is returned in parts. `rest` is the part that is not sorted yet;
    `following` sorts the next part of `rest`, and returns this part with all
    replies so far. If the end of the next part takes long to find,
    `quickly_following` returns `None`: then call `slowly_following` in a thread.
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
        """Sort the first part of `body`. Raises `TornBody` if the part is not complete."""
        return cls.quickly(status, body) or cls.slowly(status, body)

    @classmethod
    def quickly(cls, status: int, body: bytes) -> "BayeuxResponse | None":
        """Sort the first part of `body`, or return `None` if sorting the part takes long."""
        if body.startswith(b"[") and (part := cls._part(status, memoryview(body)[1:], parse_json)):
            return part
        return _genuine(cls._sorted(status, frame)) if (frame := _quickly_parsed(body)) else None

    @classmethod
    def slowly(cls, status: int, body: bytes) -> "BayeuxResponse":
        """Sort the first part of `body`, however long it takes. Raises `TornBody` if it is not complete."""
        part = cls._part(status, memoryview(body)[1:], _parsed_part) if body.startswith(b"[") else None
        return part or _genuine(cls._sorted(status, parse(body)))

    def following(self) -> "BayeuxResponse":
        """Sort the next part. Raises `TornBody` if the part is not complete."""
        return self.quickly_following() or self.slowly_following()

    def quickly_following(self) -> "BayeuxResponse | None":
        """Sort the next part, or return `None` if sorting the part takes long."""
        rest = self.rest or UnsortedMessages()
        if rest.messages:
            frame = Frame(messages=list(rest.messages), size=0)
            return self._joined(self._sorted(self.status, frame, rest.content))
        if (part := self._part(self.status, rest.content or b"]", parse_json)) is not None:
            return self._joined(part)
        frame_or_none = _quickly_parsed(b"".join((b"[", rest.content or b"]")))
        return self._joined(self._sorted(self.status, frame_or_none)) if frame_or_none else None

    def slowly_following(self) -> "BayeuxResponse":
        """Sort the next part, however long it takes. Raises `TornBody` if it is not complete."""
        content = (self.rest or UnsortedMessages()).content or b"]"
        part = self._part(self.status, content, _parsed_part)
        return self._joined(part or self._sorted(self.status, parse(b"".join((b"[", content)))))

    def _joined(self, part: "BayeuxResponse") -> "BayeuxResponse":
        """Return `part` with the earlier replies added. Raises `Oversized` if there are too many."""
        strays = self.strays + part.strays
        _check_number(strays, _MOST_STRAYS, "pieces that are not Bayeux messages")
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
        """Return the sorted messages of `content` before the first boundary; `None` without a boundary."""
        seam = SEAM.search(content, _PART_BYTES, _PART_BYTES + _LONGEST_PART_BYTES)
        if seam is None:
            return None
        end = seam.start() + 1
        try:
            frame = parsed(b"".join((b"[", content[:end], b"]")))
        except TornBody:
            # The match is inside a message, or bytes are missing: parsing the whole answer shows which.
            return None
        return cls._sorted(status, frame, memoryview(content)[end + 1 :]) if frame else None

    @classmethod
    def of(cls, status: int, body: bytes) -> "BayeuxResponse":
        """Sort the whole `body` at once. Raises `TornBody` if it is not complete."""
        frame = parse(body)
        _check_number(len(frame.messages), _MOST_UNCUT, "messages")
        answer = _genuine(cls._sorted(status, frame, most=_MOST_UNCUT))
        _check_number(answer.strays, _MOST_STRAYS, "pieces that are not Bayeux messages")
        return answer

    @classmethod
    def _sorted(
        cls, status: int, frame: Frame, content: memoryview | None = None, *, most: int | None = None
    ) -> "BayeuxResponse":
        """Sort the first messages of `frame`; the frame's other messages and `content` become the rest."""
        cut = most or _PART_MESSAGES
        messages, waiting = frame.messages, frame.messages[cut:]
        if waiting:
            messages = messages[:cut]
        replies: dict[str, list[JsonObject]] = {}
        events: dict[str, list[JsonObject]] = defaultdict(list)
        strays = []
        # This loop handles every event of a backlog, so it must be cheap.
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

        Events of a PushTopic that is read with a filter can name the channel with
        or without the filter: no guide says which.
        """
        topic = without_filter(path)
        if topic == path:
            return self.events.get(path, ())
        named = [events for name, events in self.events.items() if without_filter(name) == topic]
        return [event for events in named for event in events]

    def unreadable_of(self, paths: Sequence[str]) -> dict[str, list[Unreadable]]:
        """Return the unreadable pieces, keyed by the channel that each piece names.

        A piece that names no channel of `paths` is added to the first of `paths`,
        so that each piece is reported.
        """
        found: dict[str, list[Unreadable]] = defaultdict(list)
        by_name = {without_filter(path): path for path in paths}
        for piece in self.unreadable if paths else ():
            names = map(without_filter, channels_named_in(piece.raw))
            named = next((by_name[name] for name in names if name in by_name), None)
            if named is not None:
                found[named].append(piece)
            else:
                error = f"{piece.error}; the piece names no channel that Streamer reads"
                found[paths[0]].append(replace(piece, error=error))
        return found


def _quickly_parsed(body: bytes) -> Frame | None:
    return parse_json(body) if len(body) <= 2 * _PART_BYTES else None


def _parsed_part(body: bytes) -> Frame:
    return parse(body, is_part=True)


def _genuine(answer: BayeuxResponse) -> BayeuxResponse:
    """Return `answer`. If the document is not Bayeux at all, drop its unreadable pieces."""
    if answer.replies or answer.events or answer.rest:
        return answer
    return replace(answer, unreadable=())


def _check_number(found: int, most: int, what: str) -> None:
    if found > most:
        raise Oversized(f"the answer has too many parts: {found} {what}")


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
    """Position of one channel, and the number for this position in the replay map.

    `retained` drops messages before the consumer receives them. The consumer itself
    drops the events of the open replay id that are already in the log.
    """

    over_cometd: ClassVar = True

    def replay(self) -> int:
        """Return the replay number for a subscription."""
        if self.complete is not None:
            return int(self.complete)
        return NEW_EVENTS if self.start is Start.LATEST else ALL_RETAINED

    def decide_by_time(self) -> None:
        """Switch to positions by time, because Salesforce no longer retains the last event in the log."""
        if self.retained is not None:
            self.retained = self.retained.by_time()
