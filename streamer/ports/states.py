"""Contract of the record states that the log keeps."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import Partition, RecordState, SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRebuild:
    """Reading of a state topic into local copies, since the start of this process.

    `records` is the number of records that were read. `remaining` is the number of
    offsets that are still to be read before this process can keep the states.
    """

    topic: str
    records: int
    remaining: int


class RecordStates(Protocol):
    """Newest state of each record of some entities.

    Settlements write the states (`Settlement.states`). Each method raises
    `LogUnavailable`.
    """

    @property
    def rebuilds(self) -> Sequence[StateRebuild]:
        """Readings of state topics into local copies; empty if the log needs no copies."""
        ...

    async def origins(self, entities: Collection[str], /) -> Mapping[str, str]:
        """Return an id of each entity's store of states; a store that is created again has another id.

        An id has only letters, digits, `-` and `_`. The stores exist while a feed with
        `Subscription.states` is open.
        """
        ...

    async def of(self, entity: str, record_ids: Collection[str], /) -> Mapping[str, RecordState]:
        """Return the states of those records that have one, by record id.

        The states of deleted records are included until the log forgets them. The
        result has all states that were settled before, for the records whose change
        events are in the partitions that this process owns.
        """
        ...

    async def ends(self, entity: str, /) -> Mapping[Partition, int]:
        """Return an offset above all change events of an entity that are in the log now, by partition."""
        ...

    async def settled(
        self, subscriber: SubscriberName, partitions: Collection[Partition], /
    ) -> Mapping[Partition, int]:
        """Return the offset below which `subscriber` has settled all events, by partition.

        Partitions without progress are left out. After this call, `of` finds the states
        that were settled below these offsets in partitions of other processes.
        """
        ...
