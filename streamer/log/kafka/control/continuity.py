"""Continuity records in their topic: read once as a whole, or by a cursor that reads what is new."""

import asyncio
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from streamer.errors import LogMisconfigured
from streamer.events import ContinuityRecord
from streamer.log.continuity import MOST_RECORDS, LastStates
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import set_aside
from streamer.log.kafka.records.events import continuity_of
from streamer.log.kafka.topics.admin import KafkaAdmin

_AT_ONCE = 500
_POLL_S = 0.5
# Within this time, a new topic, or a topic whose broker has died, gets a leader.
_LEADER_WITHIN_S = 5.0


def read_continuity(
    clients: Clients,
    admin: KafkaAdmin,
    admits: Callable[[ContinuityRecord], bool],
    *,
    most: int | None = None,
) -> Sequence[ContinuityRecord]:
    """Return the last state of each continuity record that `admits` accepts, oldest first.

    With `most`, the function returns only the `most` records that changed last.
    Blocking. The function reads the whole topic up to the current end, so it finds
    every state that was committed before the call. Raises `LogUnavailable`. A record
    that can't be read is logged and skipped.
    """
    states = LastStates(admits, most=most)
    _read_from(clients, admin, 0, states)
    return states.oldest_first()


def apply_message(message: Message, states: LastStates, foreign_records: ForeignRecords) -> None:
    """Apply one record of the topic to `states`; a record that can't be read is logged and skipped."""
    if message.value() is None:
        # An operator can remove a record by a tombstone with its key.
        states.forget((message.key() or b"").decode("utf-8", "replace"))
        return
    try:
        states.apply(continuity_of(message))
    except LogMisconfigured as error:
        set_aside(foreign_records, message, error)


def _read_from(clients: Clients, admin: KafkaAdmin, begin: int, states: LastStates) -> int:
    """Apply the records from the offset `begin` on to `states`, and return the offset of the topic's end.

    A topic that ends before `begin` was created again, and is read from its beginning.
    """
    topic, errors = Names.of(clients.settings).continuity, KafkaErrors(clients.settings)
    with errors.explained(doing="reading", subject=f"topic {topic}"):
        [(first, end)] = clients.retry(_LEADER_WITHIN_S).call(admin.bounds, topic, [0]).values()
        read_range = (max(first, begin if begin <= end else 0), end)
        if read_range[0] < end:
            with BoundedReader(clients, errors, topic, {0: read_range}, over_holes=True) as reader:
                while not reader.is_over:
                    for message in reader.read(_AT_ONCE, _POLL_S):
                        apply_message(message, states, clients.foreign)
    return end


class KafkaContinuityCursor:
    """Reads the records that were added to the topic since the last call.

    Records of a transaction are in the topic before any reader sees an event of this
    transaction. So the cursor finds the continuity records of each event that was read,
    and waits for the transaction's end in this topic, if necessary.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        """Start at the first record."""
        self._clients = clients
        self._admin = admin
        self._through = 0

    async def changed(self) -> Sequence[ContinuityRecord]:
        """Return the last states of the records that were written since the last call."""
        return await asyncio.to_thread(self._changed)

    def _changed(self) -> Sequence[ContinuityRecord]:
        states = LastStates(lambda _: True, most=MOST_RECORDS)
        self._through = _read_from(self._clients, self._admin, self._through, states)
        return states.oldest_first()
