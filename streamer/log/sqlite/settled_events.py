"""Settled events of a subscriber, read from a log file."""

import sqlite3
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from functools import partial

from streamer.events import Entry, Partition
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.pages import PARTITION, OffsetRange, read_page
from streamer.log.sqlite.rows.parked import parked_among
from streamer.log.sqlite.rows.subscribers import StoredPosition, known_place, window_of
from streamer.ports import Subscription


async def settled_events(
    reader: Worker, subscription: Subscription, begin: Mapping[Partition, int]
) -> AsyncGenerator[Entry, None]:
    """Yield a subscriber's settled entries, a page at a time, so that its feed can read in between."""
    place = await reader.submit(partial(known_place, name=subscription.subscriber))
    if place is None or PARTITION not in begin:
        return
    window = window_of(subscription, begin=begin[PARTITION], end=place.progress.end)
    while window.begin < window.end:
        entries, through = await reader.submit(partial(_read, window=window, place=place))
        for entry in entries:
            yield entry
        window = replace(window, begin=through)


def _read(
    connection: sqlite3.Connection, window: OffsetRange, place: StoredPosition
) -> tuple[list[Entry], int]:
    entries, through = read_page(connection, window)
    # Read after the progress: an event that was parked at that time, and no longer is, has been delivered.
    parked = parked_among(connection, place.subscriber, window.begin, through)
    finished = [
        entry
        for entry in entries
        if place.progress.covers(entry.offset)
        and entry.offset not in parked
        and entry.event.time >= place.not_before
    ]
    return finished, through
