"""Opening of the configured log for reading, beside the processes that own it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamer.clock import Clock
from streamer.ports import EventHistory
from streamer.settings import LogSettings, SqliteLogSettings


@asynccontextmanager
async def open_history(settings: LogSettings, clock: Clock) -> AsyncIterator[EventHistory]:
    """Open the configured log, Kafka or SQLite, inside the context; the other one is not imported."""
    if settings.kafka:
        from streamer.log.kafka import KafkaHistory  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaHistory.open(settings.kafka) as kafka:
            yield kafka
    else:
        from streamer.log.sqlite import SqliteHistory  # noqa: PLC0415 - not needed beside Kafka

        async with SqliteHistory.open(settings.sqlite or SqliteLogSettings(), clock) as sqlite:
            yield sqlite
