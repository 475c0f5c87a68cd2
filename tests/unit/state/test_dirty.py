"""Records that must be read again, in a process that reads some partitions."""

from streamer.clock import TurnedClock
from streamer.events import Partition
from streamer.state.dirty import DirtyRecords

KEY, HERE = ("Account", "001"), Partition("salesforce.cdc.Account", 0)


async def late_record() -> DirtyRecords:
    """Return a record in a partition that this process reads, whose row has not arrived in time."""
    clock = TurnedClock()
    dirty = DirtyRecords(clock=clock)
    dirty.assign([HERE])
    dirty.ordered(KEY)
    dirty.locate(KEY, HERE)
    await clock.turn(1000)
    return dirty


async def test_record_is_overdue_only_while_its_partition_is_read() -> None:
    """After a new beginning, another process can read the partition."""
    dirty = await late_record()
    assert (dirty.overdue(), dirty.is_awaited) == ([KEY], True)

    dirty.reopen()
    assert (dirty.overdue(), dirty.is_awaited) == ([], False)

    dirty.assign([HERE])
    assert dirty.overdue() == [KEY]


async def test_record_of_a_revoked_partition_is_forgotten() -> None:
    """The next owner finds its order in the log."""
    dirty = await late_record()

    dirty.revoke([Partition("salesforce.cdc.Account", 1)])
    assert len(dirty) == 1
    dirty.revoke([HERE])
    assert not len(dirty)
