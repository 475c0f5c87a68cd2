"""What a subscriber is done with, in memory."""

from collections.abc import AsyncGenerator, Mapping

from streamer.events import Entry, Partition
from streamer.log.memory.feed import Shared
from streamer.log.patterns import wants
from streamer.ports import Subscription


async def settled_events(
    log: Shared, subscription: Subscription, begin: Mapping[Partition, int]
) -> AsyncGenerator[Entry, None]:
    """Yield the entries of `log` that a subscriber is done with, from the offsets in `begin` on."""
    log.check_up()
    subscriber, wanted = subscription.subscriber, wants(subscription.patterns)
    settled = log.settled.get(subscriber, {})
    for partition in begin.keys() & settled.keys():
        progress = settled[partition]
        parked = {offset for lane in log.parked(subscriber, partition) for offset in lane.offsets}
        for entry in log.partition(partition)[begin[partition] :]:
            is_finished = progress.covers(entry.offset) and entry.offset not in parked
            if is_finished and wanted(entry.event.type):
                yield entry
