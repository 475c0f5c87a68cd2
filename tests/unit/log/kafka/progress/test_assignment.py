"""The partitions that this process owns, as another thread reads them."""

from streamer.events import Partition
from streamer.log.kafka.parked_index import ParkedIndex
from streamer.log.kafka.progress.assignment import AssignedPartition, AssignedPartitions

OURS, OTHER = (Partition(topic="salesforce.cdc.Account", number=number) for number in range(2))


def assigned(number: int = 1) -> AssignedPartition:
    """Return a partition whose offsets 3 and 5 are parked."""
    parked = ParkedIndex({"lane": {3: (30,), 5: (50, 51)}})
    return AssignedPartition(partition=OURS, assignment=number, settled_above=frozenset(), parked=parked)


def test_parked_events_are_found_in_the_order_in_which_they_are_asked_for() -> None:
    """Events that are not parked are left out."""
    partitions = AssignedPartitions()
    partitions.add(assigned())

    assert list(partitions.parked(OURS, [5, 4, 3]).items()) == [(5, (50, 51)), (3, (30,))]


def test_nothing_is_parked_of_what_is_not_ours() -> None:
    """Be it another's, or given up."""
    partitions = AssignedPartitions()
    partitions.add(assigned())
    partitions.drop([OURS, OTHER])

    assert (partitions.parked(OURS, [3]), partitions.parked(OTHER, [3]), len(partitions)) == ({}, {}, 0)


def test_partition_that_is_given_back_is_known_by_its_new_number() -> None:
    """Settlements under the former number no longer count."""
    partitions = AssignedPartitions()
    partitions.add(assigned(1))
    partitions.drop([OURS])
    partitions.add(assigned(2))

    assert [partitions[each].assignment for each in partitions] == [2]
