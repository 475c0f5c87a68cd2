"""Selection of retained messages after a checkpoint."""

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

# Commits are dated to the millisecond.
_LATER_S = 0.0005
# Our clock dates a quiet answer, and the last event can seem later. Only a search takes longer for it.
_QUIET_DIFFER_S = 900.0


class LastEventMissing(Exception):
    """The log's last event is not among the retained messages: read them again from the beginning."""


class _State(Enum):
    SEEKING = auto()
    AT_LAST = auto()
    BY_TIME = auto()
    PASSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEvent:
    """Last event in the log: it marks the position among the messages that Salesforce retains.

    Both transports have the same event ids, so it is found by its id, which is
    among the `appended`, or by its replay id `last` if this comes from the same
    transport. A message that was committed after `until` (epoch seconds) follows it.

    A quiet answer has come since if it `is_closed`. Then Salesforce can have
    forgotten it by its age, and time decides as if it were not known.
    """

    until: float
    appended: frozenset[EventId]
    last: ReplayId | None
    normalise: Normaliser
    is_closed: bool

    @property
    def is_known(self) -> bool:
        """True if any message can be recognised."""
        return bool(self.appended) or self.last is not None

    @property
    def marks_position(self) -> bool:
        """True if it is retained, unless events are missing."""
        return self.last is not None or not self.is_closed

    def held(self, message: Any) -> frozenset[EventId]:
        """Return the ids of the events in `message` that are among the appended."""
        if not self.appended or isinstance(message, Unreadable):
            return frozenset()
        return self.appended & {event.id for event in self.normalise([message]) if type(event) is Event}


@dataclass(slots=True, kw_only=True)
class _Found:
    """Position at which the last event was found, and the ids of the appended events that were met."""

    at: ReplayId | None = None
    ids: set[EventId] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class RetainedMessages:
    """Drops the messages that a checkpoint covers while Salesforce sends all that it retains.

    Both transports have the same order, so the `last_event` marks the position:
    messages up to it are dropped, and none after it. If the log has only its
    replay id, all events of that replay id are dropped as well.

    Without such an event, time decides: messages are dropped until the first one
    that was committed at `since` (epoch seconds) or later. A message that follows
    the last event, before it was found, shows that it is no longer retained:
    `is_lost` says so, once. If only time marks the position from the beginning,
    Salesforce must retain all events since `unmarked_since`.

    A selection serves one pass through the messages; `afresh` returns another one
    for the next pass.
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
        """Return the selection of messages after the replay id `after` that were committed since `since`."""
        return cls(since=since, unmarked_since=since if after is None else None)

    @classmethod
    def after(
        cls, checkpoint: Checkpoint, *, last: ReplayId | None = None, since: float | None = None
    ) -> "RetainedMessages":
        """Return the selection of the messages that follow `checkpoint`.

        `last` is its open replay id if that comes from the transport being read.
        The default of `since` is earlier than `verified_at` by a margin, so that
        differing clocks lose nothing. Behind events that an operator skips, it is
        later than the log's last event, so that nothing comes again.
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
        """Return the same selection for another pass from the beginning."""
        return replace(self)

    def by_time(self) -> "RetainedMessages":
        """Return the selection by time alone, for another pass from the beginning."""
        by_time = replace(self, last_event=None)
        if self.last_event is None or not self.last_event.is_closed:
            by_time.is_lost, by_time.unmarked_since = True, None
        return by_time

    def new(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return those of `messages`, in Salesforce's order, that follow the checkpoint.

        Raises `LastEventMissing` when it has dropped messages in search of an event
        that is not there: read them again, and let time decide.
        """
        if self._state is _State.PASSED:
            return messages
        return [message for message in messages if self._is_new(message)]

    def read_to_end(self) -> None:
        """Note that Salesforce retains no more messages; raises `LastEventMissing` as `new` does."""
        if self.last_event is not None and self._state is _State.SEEKING:
            self._give_up(self.last_event)
        self._state = _State.PASSED

    def told_lost(self) -> bool:
        """Return `is_lost`, and false from then on."""
        told, self.is_lost = self.is_lost, False
        return told

    def told_unmarked(self) -> float | None:
        """Return `unmarked_since`, and `None` from then on."""
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
        """Return true for a message of the last event's position that the log holds.

        The last events of two transports can have two replay ids, the one behind the
        other. A publisher's duplicate is new.
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
        """Continue without the last event if time would have dropped the same messages; raise otherwise."""
        if self._uncertain:
            raise LastEventMissing
        self.is_lost = not last_event.is_closed
        self._state = _State.PASSED


def place_after(
    checkpoint: Checkpoint, *, over_cometd: bool
) -> tuple[ReplayId | None, RetainedMessages | None]:
    """Return the replay id after which to read, and which of the following messages to drop.

    The id belongs to the transport being read: it is the last complete one, or the
    last one before events that an operator has skipped. If all of the checkpoint's
    ids belong to that transport, nothing is dropped, unless the checkpoint asks to
    search for its position.
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
        # After a complete id, the log holds only the last event.
        return complete, RetainedMessages.after(checkpoint, last=last, since=0.0)
    retained = RetainedMessages.after(checkpoint, last=last)
    is_marked = retained.last_event is not None and retained.last_event.marks_position
    if skips_after is None and not is_marked:
        retained.unmarked_since = _known_since(checkpoint)
    return skips_after, retained


@dataclass(slots=True, kw_only=True)
class StreamPosition:
    """Position from which one channel is subscribed, over either transport.

    Reading resumes after `complete`, the checkpoint's last complete replay id.
    While no id is complete, or while an id is another transport's, no id marks the
    position: `retained` drops messages that are in the log already. `skips_after`
    takes the place of `complete` once new events were subscribed behind events that
    are skipped; the log holds none that was committed at `skips_until` or later.
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
        """Note that from `now` on (epoch seconds) no message of the channel may be missed."""
        if self.start is Start.LATEST:
            # An extra message does no harm before the first read.
            self.start, self.complete = Start.EARLIEST, self.skips_after
            since = max(now - CLOCKS_DIFFER_S, self.skips_until)
            self.retained = RetainedMessages.from_time(since, after=self.complete)


def _wanted_since(checkpoint: Checkpoint) -> float:
    since = checkpoint.verified_at - CLOCKS_DIFFER_S
    if checkpoint.skips_after is None or checkpoint.open_replay_id is not None:
        return since
    return max(since, (checkpoint.positioned_at or 0.0) + _LATER_S)


def _known_since(checkpoint: Checkpoint) -> float | None:
    """Return the time since which events can be missing, with a margin for differing clocks."""
    if checkpoint.verified_at:
        return checkpoint.verified_at - CLOCKS_DIFFER_S
    # Only unreadable messages have come: messages that were retained then can have come after them.
    known = checkpoint.positioned_at
    return None if known is None else known - CLOCKS_DIFFER_S


def position_of(message: Any) -> ReplayId | None:
    """Return the replay id of a message, or of one that can't be read; `None` if it carries none."""
    return message.replay_id if isinstance(message, Unreadable) else replay_id_of(message)
