"""Selection of the retained messages that follow a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, ClassVar, Self

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import (
    Checkpoint,
    Event,
    EventId,
    NewEventsAfter,
    ReplayId,
    SoughtPlace,
    Start,
    Unreadable,
    is_of_cometd,
)
from streamer.normalise import Normaliser, normaliser_for
from streamer.salesforce.message import committed_at, replay_id_of

# Commit times have a precision of a millisecond.
_LATER_S = 0.0005
# Our clock dates a quiet answer, so the last event can seem later. A large value only prolongs a search.
_QUIET_DIFFER_S = 900.0


class LastEventMissing(Exception):
    """The log's last event is not among the retained messages: read these messages again from the first."""


class _State(Enum):
    SEEKING = auto()
    AT_LAST = auto()
    BY_TIME = auto()
    PASSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEvent:
    """Last event in the log. It marks the position among the messages that Salesforce retains.

    The last event is found by its id in `appended`, because both transports use the
    same event ids. If the checkpoint comes from the transport being read, the last
    event is also found by its replay id, which is `last`. A message that was
    committed after `until` (epoch seconds) follows the last event.

    `is_closed` means that a quiet answer arrived after the last event. Then
    Salesforce can have dropped the last event because of its age. If the search
    does not find the last event, time decides which messages are new.
    """

    until: float
    appended: frozenset[EventId]
    last: ReplayId | None
    normalise: Normaliser
    is_closed: bool

    @property
    def is_known(self) -> bool:
        """True if there is an id by which to recognise a message."""
        return bool(self.appended) or self.last is not None

    @property
    def marks_position(self) -> bool:
        """True if Salesforce must still retain the event, so that its absence means lost events."""
        return self.last is not None or not self.is_closed

    def held(self, message: Any) -> frozenset[EventId]:
        """Return the ids in `appended` that belong to events of `message`."""
        if not self.appended or isinstance(message, Unreadable):
            return frozenset()
        return self.appended & {event.id for event in self.normalise([message]) if type(event) is Event}


@dataclass(slots=True, kw_only=True)
class _Found:
    """Position at which the last event was found, and the ids of the appended events seen so far."""

    at: ReplayId | None = None
    ids: set[EventId] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class RetainedMessages:
    """While Salesforce sends all retained messages, drops the messages that a checkpoint covers.

    Both transports have the same order, so the `last_event` marks the position: the
    last event and all messages before it are dropped, and no later message is
    dropped. If the log knows only the last event's replay id, all events of that
    replay id are dropped.

    Without a last event, time decides: messages are dropped until the first message
    that was committed at `since` (epoch seconds) or later. If a message that
    follows the last event arrives before the last event was found, Salesforce no
    longer retains the last event; `is_lost` reports this loss. If only a time has
    ever marked the position, events are missing unless Salesforce has retained all
    events since `unmarked_since`.

    A selection is used for one pass through the messages; `afresh` returns a new
    selection for the next pass.
    """

    since: float
    last_event: LastEvent | None = None
    is_lost: bool = False
    unmarked_since: float | None = None
    _state: _State = field(default=_State.BY_TIME, init=False)
    _uncertain: int = field(default=0, init=False)
    _found: _Found = field(default_factory=_Found, init=False)
    _is_told: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.last_event is not None:
            self._state = _State.SEEKING

    @classmethod
    def from_time(cls, since: float, *, after: ReplayId | None) -> "RetainedMessages":
        """Return the selection of messages after the id `after` that were committed at `since` or later."""
        return cls(since=since, unmarked_since=since if after is None else None)

    @classmethod
    def after(
        cls, checkpoint: Checkpoint, *, last: ReplayId | None = None, since: float | None = None
    ) -> "RetainedMessages":
        """Return the selection of the messages that follow `checkpoint`.

        `last` is the checkpoint's open replay id, if this id comes from the
        transport being read. By default, `since` is earlier than `verified_at` by a
        margin, so that differing clocks lose no message. After events that an
        operator skips, `since` is later than the log's last event, so that no
        skipped event returns.
        """
        is_closed = checkpoint.open_replay_id is None
        last_event = LastEvent(
            until=checkpoint.verified_at + (_QUIET_DIFFER_S if is_closed else CLOCKS_DIFFER_S),
            appended=frozenset(checkpoint.appended),
            last=last,
            normalise=normaliser_for(checkpoint.channel),
            is_closed=is_closed,
        )
        return cls(
            since=_wanted_since(checkpoint) if since is None else since,
            last_event=last_event if last_event.is_known else None,
        )

    def afresh(self) -> "RetainedMessages":
        """Return the same selection for another pass from the first message."""
        return replace(self)

    def by_time(self) -> "RetainedMessages":
        """Return the selection by time alone, for another pass from the first message."""
        by_time = replace(self, last_event=None)
        if self.last_event is None or not self.last_event.is_closed:
            by_time.is_lost, by_time.unmarked_since = True, None
        return by_time

    def new(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the `messages`, in Salesforce's order, that follow the checkpoint.

        Raises `LastEventMissing` if this selection has already dropped messages in
        search of a missing event. Then read these messages again with `by_time`.
        """
        if self._state is _State.PASSED:
            return messages
        return [message for message in messages if self._is_new(message)]

    def read_to_end(self) -> None:
        """Record that Salesforce retains no more messages. Raises `LastEventMissing`, as `new` does."""
        if self.last_event is not None and self._state is _State.SEEKING:
            self._give_up(self.last_event)
        self._state = _State.PASSED

    def told_lost(self) -> bool:
        """Return `is_lost` at the first call, and false afterwards."""
        told, self.is_lost = self.is_lost, False
        return told

    def told_unmarked(self) -> float | None:
        """Return `unmarked_since` at the first call, and `None` afterwards."""
        if self._is_told:
            return None
        self._is_told = True
        return self.unmarked_since

    def _is_new(self, message: Any) -> bool:
        last_event = self.last_event
        if last_event is not None and self._state is _State.SEEKING:
            return self._is_beyond(last_event, message)
        if last_event is not None and self._state is _State.AT_LAST:
            # The events of a split message share a replay id.
            if self._is_repeated(last_event, message):
                return False
            self._state = _State.PASSED
        if self._state is _State.BY_TIME:
            committed = committed_at(message)
            if committed is None:
                return True
            if committed < self.since:
                return False
            self._state = _State.PASSED
        return True

    def _is_repeated(self, last_event: LastEvent, message: Any) -> bool:
        """Return true for a message that the log holds, at the last event's position.

        The transport being read can give the last events two successive replay ids.
        A duplicate that the publisher sent counts as new.
        """
        position, held = position_of(message), last_event.held(message)
        is_repeated = (position == self._found.at and bool(held or not last_event.appended)) or bool(
            held - self._found.ids
        )
        self._found.ids |= held
        if is_repeated:
            self._found.at = position
        return is_repeated

    def _is_beyond(self, last_event: LastEvent, message: Any) -> bool:
        position, held = position_of(message), last_event.held(message)
        self._found.ids |= held
        if (position is not None and position == last_event.last) or held:
            self._found.at, self._state = position, _State.AT_LAST
            return bool(last_event.appended) and not held and not isinstance(message, Unreadable)
        committed = committed_at(message)
        if committed is not None and committed > last_event.until:
            self._give_up(last_event)
            return True
        self._uncertain += committed is None or committed >= self.since
        return False

    def _give_up(self, last_event: LastEvent) -> None:
        """Stop the search if a selection by time drops the same messages; else raise `LastEventMissing`."""
        if self._uncertain:
            raise LastEventMissing
        self.is_lost = not last_event.is_closed
        self._state = _State.PASSED


def place_after(
    checkpoint: Checkpoint, *, over_cometd: bool
) -> tuple[ReplayId | None, RetainedMessages | None]:
    """Return the replay id after which to read, and a selection that drops messages already in the log.

    The replay id belongs to the transport being read: it is the last complete
    id, or the last id before events that an operator has skipped. If all ids of
    the checkpoint belong to that transport, no selection is needed, unless the
    checkpoint asks for a search.
    """
    complete, last, skips_after = (
        each if each is not None and is_of_cometd(each) is over_cometd else None
        for each in (checkpoint.replay_id, checkpoint.open_replay_id, checkpoint.skips_after)
    )
    if isinstance(checkpoint, SoughtPlace):
        return complete, RetainedMessages.after(checkpoint, last=last)
    if complete is not None and last == checkpoint.open_replay_id:
        return complete, None
    if complete is not None:
        # Only the last event of the log can follow a complete id.
        return complete, RetainedMessages.after(checkpoint, last=last, since=0.0)
    retained = RetainedMessages.after(checkpoint, last=last)
    is_marked = retained.last_event is not None and retained.last_event.marks_position
    if skips_after is None and not is_marked:
        retained.unmarked_since = _known_since(checkpoint)
    return skips_after, retained


@dataclass(slots=True, kw_only=True)
class StreamPosition:
    """Position from which one channel is subscribed, over either transport.

    Reading resumes after `complete`, the checkpoint's last complete replay id. If
    no id is complete, or an id belongs to the other transport, `retained` drops
    the messages that the log already holds. If an operator skips events,
    `skips_after` replaces `complete` once new events are subscribed; the log holds
    no event that was committed at `skips_until` or later.
    """

    over_cometd: ClassVar[bool]

    start: Start
    complete: ReplayId | None = None
    retained: RetainedMessages | None = None
    skips_after: ReplayId | None = None
    skips_until: float = 0.0

    @classmethod
    def after(cls, after: Checkpoint | Start) -> Self:
        """Return the position that `after` describes."""
        if isinstance(after, Start):
            return cls(start=after)
        complete, retained = place_after(after, over_cometd=cls.over_cometd)
        if isinstance(after, NewEventsAfter):
            skips_until = retained.since if retained is not None else 0.0
            return cls(start=Start.LATEST, skips_after=complete, skips_until=skips_until)
        return cls(start=Start.EARLIEST, complete=complete, retained=retained)

    def subscribed(self, now: float) -> None:
        """Record that no message committed after `now` (epoch seconds) may be missed."""
        if self.start is Start.LATEST:
            # Before the first read, an extra message does no harm.
            self.start, self.complete = Start.EARLIEST, self.skips_after
            since = max(now - CLOCKS_DIFFER_S, self.skips_until)
            self.retained = RetainedMessages.from_time(since, after=self.complete)


def _wanted_since(checkpoint: Checkpoint) -> float:
    since = checkpoint.verified_at - CLOCKS_DIFFER_S
    if checkpoint.skips_after is None or checkpoint.open_replay_id is not None:
        return since
    return max(since, (checkpoint.positioned_at or 0.0) + _LATER_S)


def _known_since(checkpoint: Checkpoint) -> float | None:
    """Return the time since which events can be missing, minus a margin for differing clocks."""
    if checkpoint.verified_at:
        return checkpoint.verified_at - CLOCKS_DIFFER_S
    # Only unreadable messages have arrived, so every message retained at that time can follow them.
    known = checkpoint.positioned_at
    return None if known is None else known - CLOCKS_DIFFER_S


def position_of(message: Any) -> ReplayId | None:
    """Return the replay id of a message or of an unreadable piece; `None` without a replay id."""
    return message.replay_id if isinstance(message, Unreadable) else replay_id_of(message)
