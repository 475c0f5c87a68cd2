"""Where events lie in a log in memory."""

from collections.abc import Sequence
from datetime import datetime

from streamer.events import Entry, Partition, Start
from streamer.log.starts import as_event_time


def partition_of(event_type: str) -> Partition:
    """Return where events of a type go: one partition for an entity, whatever the kind of change."""
    return Partition(topic=".".join(event_type.split(".", 3)[:3]), number=0)


def first_offset(entries: Sequence[Entry], start: Start | datetime) -> int:
    """Return where a subscriber begins in a partition that holds `entries`."""
    if isinstance(start, datetime):
        begin = as_event_time(start)
        later = (entry.offset for entry in entries if entry.event.time >= begin)
        return next(later, len(entries))
    return 0 if start is Start.EARLIEST else len(entries)
