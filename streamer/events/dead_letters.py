"""Dead letters: events that were set aside."""

from dataclasses import dataclass, field
from enum import StrEnum

from streamer.events.event import Event, ReplayId, SubscriberName
from streamer.events.outcomes import FailedAttempt
from streamer.events.places import Partition

_HEAD_ERROR_LENGTH = 2_000


class Stage(StrEnum):
    """Part of Streamer that set an event aside."""

    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Event that was set aside, with everything needed to understand and redrive it.

    If the same event is set aside again, `id` is the same. `reason` is a stable
    word for filters, `error` a sentence, `hint` advice for the operator, and
    `first_error` the error of the first attempt. `failed_attempts` are the attempts,
    as far as they were kept. `raw` are the bytes that could not
    be read or appended. `schema_id` names the schema of `raw`, and `event_uuid` is
    the id next to an Avro payload; both are empty if unknown. `partition` and
    `offset` are the event's position in the log, if the event has such a position.
    If the content was too large to keep, `raw` is its beginning, `whole_size` its
    size in bytes, and `whole_sha256` its hash; otherwise `whole_size` is 0 and
    `whole_sha256` is empty. Times are epoch seconds.
    """

    id: str
    stage: Stage
    channel: str
    reason: str
    error: str
    hint: str
    failed_at: float
    first_failed_at: float
    replay_id: ReplayId | None = None
    raw: bytes = b""
    schema_id: str = ""
    event_uuid: str = ""
    event: Event | None = None
    subscriber: SubscriberName | None = None
    attempts: int = 0
    first_error: str = ""
    answer: str = ""
    partition: Partition | None = None
    offset: int | None = None
    whole_size: int = 0
    whole_sha256: str = ""
    failed_attempts: tuple[FailedAttempt, ...] = ()

    @property
    def channel_path(self) -> str:
        """Path of the channel, without the org that can precede it."""
        return self.channel[max(0, self.channel.find("/")) :]

    @property
    def key(self) -> str | None:
        """Key of the event, or `None` without an event."""
        return None if self.event is None else self.event.key

    @property
    def has_raw(self) -> bool:
        """True if the letter has all the bytes that could not be read or appended."""
        return bool(self.raw) and not self.whole_size

    @property
    def head(self) -> "LetterHead":
        """The letter without its content."""
        event = self.event
        return LetterHead(
            id=self.id,
            stage=self.stage,
            channel=self.channel,
            reason=self.reason,
            error=self.error[:_HEAD_ERROR_LENGTH],
            failed_at=self.failed_at,
            first_failed_at=self.first_failed_at,
            subscriber=self.subscriber,
            attempts=self.attempts,
            partition=self.partition,
            offset=self.offset,
            event_id=event.id if event else self.event_uuid or None,
            event_type=event.type if event else None,
            key=self.key,
            has_raw=self.has_raw,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterHead:
    """Dead letter without its content, for lists and orders.

    `error` is the beginning of the letter's error. `event_id` can be the id next to
    a payload. Without an event, `event_type` and `key` are `None`, and the letter
    can't be delivered to a subscriber again. `size` is the size of the whole letter
    in the log, in bytes, if the log reports it.
    """

    id: str
    stage: Stage
    channel: str
    reason: str
    error: str
    failed_at: float
    first_failed_at: float
    subscriber: SubscriberName | None = None
    attempts: int = 0
    partition: Partition | None = None
    offset: int | None = None
    event_id: str | None = None
    event_type: str | None = None
    key: str | None = None
    has_raw: bool = False
    size: int = field(default=0, compare=False)

    @property
    def channel_path(self) -> str:
        """Path of the channel, without the org that can precede it."""
        return self.channel[max(0, self.channel.find("/")) :]
