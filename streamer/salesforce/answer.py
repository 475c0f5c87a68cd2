"""One whole answer of the Streaming API, sorted into replies and events."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from streamer.events import Unreadable
from streamer.salesforce.bayeux import JsonObject
from streamer.salesforce.frames import Frame, channels_named_in, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one POST brought: replies by their meta channel, events by their channel, both in order."""

    status: int
    size: int
    replies: dict[str, list[JsonObject]]
    events: dict[str, list[JsonObject]]
    unreadable: tuple[Unreadable, ...] = ()

    @classmethod
    def of(cls, status: int, body: bytes) -> "Answer":
        """Sort `body`; raises `TornBody` when it is not complete."""
        frame = parse(body)
        replies: dict[str, list[JsonObject]] = {}
        events: dict[str, list[JsonObject]] = defaultdict(list)
        strays = []
        # This loop sees every event of a backlog: it does as little as it can.
        for message in frame.messages:
            try:
                events[message["channel"]].append(message)
            except (TypeError, KeyError):
                strays.append(message)
        for path in [path for path in events if not isinstance(path, str) or path.startswith("/meta/")]:
            replies[str(path)] = events.pop(path)
        # Without any reply this is not Bayeux but another server's error document.
        unreadable = _set_aside(frame, strays) if replies or events else ()
        return cls(status=status, size=len(body), replies=replies, events=events, unreadable=unreadable)

    @property
    def count(self) -> int:
        """How many events there are, the unreadable ones included."""
        return sum(map(len, self.events.values())) + len(self.unreadable)

    def unreadable_of(self, paths: Sequence[str]) -> dict[str, list[Unreadable]]:
        """Return the unreadable pieces by the channel that they name.

        A piece that names none of `paths` goes to the first of them: someone
        must see it.
        """
        found: dict[str, list[Unreadable]] = defaultdict(list)
        for piece in self.unreadable if paths else ():
            named = next((name for name in channels_named_in(piece.raw) if name in paths), None)
            if named is not None:
                found[named].append(piece)
            else:
                error = f"{piece.error}; it names no channel that we read"
                found[paths[0]].append(replace(piece, error=error))
        return found


def _set_aside(frame: Frame, strays: Sequence[object]) -> tuple[Unreadable, ...]:
    pieces = [piece for piece in frame.unreadable if not _is_reply(piece.raw)]
    pieces += [Unreadable(raw=orjson.dumps(stray), error="no Bayeux message") for stray in strays]
    return tuple(pieces)


def _is_reply(raw: bytes) -> bool:
    return any(name.startswith("/meta/") for name in channels_named_in(raw)[:1])
