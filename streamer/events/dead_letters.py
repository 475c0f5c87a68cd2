"""Dead letters: events that were set aside."""

from dataclasses import dataclass
from enum import StrEnum

from streamer.events.event import Event
from streamer.events.ids import ReplayId, SubscriberName
from streamer.events.places import Partition


class Stage(StrEnum):
    """Side of the log that set an event aside."""

    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Event set aside, with everything that is needed to understand and redrive it.

    `id` is the same when the same event is set aside again. `reason` is a
    stable word to filter by, `error` a sentence, `hint` advice for the
    operator, and `first_error` the error of the first attempt. `raw` holds the
    bytes that could not be read or appended. `schema_id` is that of their
    schema, and `event_uuid` the id that came beside an Avro payload; both are
    empty where unknown. `partition` and `offset` are the event's place in the
    log, if it had one. Times are epoch seconds.
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

    @property
    def channel_path(self) -> str:
        """Path of the channel, which can have its org before it."""
        return self.channel[max(0, self.channel.find("/")) :]
