"""Reader of the continuity records in their topic."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from streamer.errors import LogMisconfigured
from streamer.events import ContinuityRecord
from streamer.log.continuity import LastStates
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import set_aside
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.records.continuity import continuity_of
from streamer.log.kafka.topics.admin import KafkaAdmin

_AT_ONCE = 500
_POLL_S = 0.5
# A topic that was created a moment ago, or whose broker has died, has its leader by then.
_LEADER_WITHIN_S = 5.0


def read_continuity(
    clients: Clients,
    admin: KafkaAdmin,
    admits: Callable[[ContinuityRecord], bool],
    *,
    most: int | None = None,
) -> Sequence[ContinuityRecord]:
    """Return the last states that `admits` accepts, oldest first; of more than `most`, the last changed.

    Blocking. It reads the whole topic up to its present end, so every state
    that was committed before the call counts. Raises `LogUnavailable`. A
    record that can't be read is logged and left out.
    """
    topic, errors = Names.of(clients.settings).continuity, KafkaErrors(clients.settings)
    states = LastStates(admits, most=most)
    with errors.explained(doing="reading", subject=f"topic {topic}"):
        retry = RetryPolicy(limit_s=_LEADER_WITHIN_S, wait=time.sleep)
        read_ranges = retry.call(admin.bounds, topic, [0])
        with BoundedReader(clients, errors, topic, read_ranges, over_holes=True) as reader:
            while not reader.is_over:
                for message in reader.read(_AT_ONCE, _POLL_S):
                    apply_message(message, states, clients.foreign)
    return states.oldest_first()


def apply_message(message: Message, states: LastStates, foreign_records: ForeignRecords) -> None:
    """Apply one record of the topic to `states`; one that can't be read is set aside."""
    if message.value() is None:
        # An operator can remove a record by a tombstone of its key.
        states.forget((message.key() or b"").decode("utf-8", "replace"))
        return
    try:
        states.apply(continuity_of(message))
    except LogMisconfigured as error:
        set_aside(foreign_records, message, error)
