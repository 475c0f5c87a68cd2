"""Opening of the configured log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from streamer.clock import Clock
from streamer.observe.pulse import Pulses
from streamer.ports import ControlledLog, EventLog, Ownership
from streamer.settings import Settings, SqliteLogSettings
from streamer.supervision.status import LogCondition


class Log(EventLog, Ownership, ControlledLog, LogCondition, Protocol):
    """Every port of a log in one."""


@asynccontextmanager
async def open_log(settings: Settings, clock: Clock, pulses: Pulses) -> AsyncIterator[Log]:
    """Open the configured log, Kafka or SQLite, inside the context; the other one is not imported."""
    if settings.log.kafka:
        from streamer.log.kafka import KafkaLog  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaLog.open(settings.log.kafka, clock, pulses) as kafka:
            yield kafka
    else:
        from streamer.log.sqlite import SqliteLog  # noqa: PLC0415 - not needed beside Kafka

        async with SqliteLog.open(settings.log.sqlite or SqliteLogSettings(), clock, pulses) as sqlite:
            yield sqlite
