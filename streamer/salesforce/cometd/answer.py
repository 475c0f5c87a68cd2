"""One whole answer of the Streaming API, sorted into replies and events."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamer.channel_paths import without_filter
from streamer.events import Unreadable
from streamer.raw_json import raw_json
from streamer.salesforce.cometd.frames import SEAM, Frame, Oversized, TornBody, channels_named_in, parse
from streamer.salesforce.cometd.protocol import JsonObject

# The objects of a part are parsed, normalised and encoded while a processor's
# caches hold them, and are gone before the next part is parsed.
_PART_BYTES = 512 * 1024

# Each becomes a dead letter.
_MOST_STRAYS = 10_000
_STRAY = "no Bayeux message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer to one POST: replies by their meta channel, events by their channel, both in order.

    A large answer comes in parts. `rest` is the part not yet sorted, and
    `following` returns it as the next part, together with the replies so far.
    """

    status: int
    size: int
    replies: dict[str, list[JsonObject]]
    events: dict[str, list[JsonObject]]
    unreadable: tuple[Unreadable, ...] = ()
    rest: memoryview | None = None

    @classmethod
    def beginning(cls, status: int, body: bytes) -> "Answer":
        """Sort the first part of `body`; raises `TornBody` when it is not complete."""
        if not body.startswith(b"["):
            return cls.of(status, body)
        return cls._part(status, memoryview(body)[1:]) or cls.of(status, body)

    def following(self) -> "Answer":
        """Sort the next part; raises `TornBody` when it is not complete."""
        rest = self.rest or memoryview(b"]")
        part = self._part(self.status, rest) or self._sorted(self.status, parse(b"".join((b"[", rest))))
        replies = {
            channel: [*self.replies.get(channel, ()), *part.replies.get(channel, ())]
            for channel in self.replies | part.replies
        }
        return replace(part, replies=replies)

    @classmethod
    def _part(cls, status: int, content: memoryview) -> "Answer | None":
        seam = SEAM.search(content, _PART_BYTES)
        if seam is None:
            return None
        end = seam.start() + 1
        try:
            frame = parse(b"".join((b"[", content[:end], b"]")), is_part=True)
        except TornBody:
            # There is no boundary, or bytes are missing: parsing the whole answer tells which.
            return None
        return replace(cls._sorted(status, frame), rest=content[end + 1 :])

    @classmethod
    def of(cls, status: int, body: bytes) -> "Answer":
        """Sort `body`; raises `TornBody` when it is not complete."""
        answer = cls._sorted(status, parse(body))
        if answer.replies or answer.events:
            return answer
        # An answer without any reply is not Bayeux but another server's error document.
        return replace(answer, unreadable=())

    @classmethod
    def _sorted(cls, status: int, frame: Frame) -> "Answer":
        replies: dict[str, list[JsonObject]] = {}
        events: dict[str, list[JsonObject]] = defaultdict(list)
        strays = []
        # Every event of a backlog passes this loop, so it must be cheap.
        for message in frame.messages:
            try:
                events[message["channel"]].append(message)
            except (TypeError, KeyError):
                strays.append(message)
        if len(strays) > _MOST_STRAYS:
            raise Oversized(f"an answer with {len(strays)} pieces that are no Bayeux messages")
        for path in [path for path in events if not isinstance(path, str) or path.startswith("/meta/")]:
            replies[str(path)] = events.pop(path)
        return cls(
            status=status,
            size=frame.size,
            replies=replies,
            events=events,
            unreadable=_set_aside(frame, strays),
        )

    @property
    def count(self) -> int:
        """Number of events, including the unreadable ones."""
        return sum(map(len, self.events.values())) + len(self.unreadable)

    def events_of(self, path: str) -> Sequence[JsonObject]:
        """Return the events of the channel at `path`.

        Those of a PushTopic that is read with a filter can name their channel
        with it or without it: no guide says which.
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


def _set_aside(frame: Frame, strays: Sequence[object]) -> tuple[Unreadable, ...]:
    pieces = [piece for piece in frame.unreadable if not _is_reply(piece.raw)]
    pieces += [Unreadable(raw=raw_json(stray), error=_STRAY, summary=_STRAY) for stray in strays]
    return tuple(pieces)


def _is_reply(raw: bytes) -> bool:
    return any(name.startswith("/meta/") for name in channels_named_in(raw)[:1])
