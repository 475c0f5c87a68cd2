"""Opening of the configured log, for its owner or beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.events import Event
from streamer.observe.pulse import Pulses
from streamer.ports import (
    ControlledLog,
    EventHistory,
    EventLog,
    KnownOrgs,
    Ownership,
    RecordedHoles,
    RecordedPositions,
    Tracer,
)
from streamer.settings import LogSettings, Settings, SqliteLogSettings
from streamer.supervision.status import LogCondition

_log = structlog.get_logger()


class Log(
    EventLog, RecordedHoles, RecordedPositions, KnownOrgs, Ownership, ControlledLog, LogCondition, Protocol
):
    """Every port of a log in one."""


@asynccontextmanager
async def open_log(
    settings: Settings, clock: Clock, pulses: Pulses, tracer: Tracer | None = None
) -> AsyncIterator[Log]:
    """Open the configured log, Kafka or SQLite, inside the context; the other one is not imported."""
    traceparent = None if tracer is None else partial(_traceparent, tracer)
    if settings.log.kafka:
        from streamer.log.kafka.log import KafkaLog  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaLog.open(settings.log.kafka, clock, pulses, traceparent=traceparent) as kafka:
            _log.info(
                "log.opened",
                kafka=settings.log.kafka.bootstrap_servers,
                prefix=settings.log.kafka.prefix,
            )
            yield kafka
    else:
        from streamer.log.sqlite import SqliteLog  # noqa: PLC0415 - not needed beside Kafka

        file = settings.log.sqlite or SqliteLogSettings()
        async with SqliteLog.open(file, clock, pulses) as sqlite:
            _log.info("log.opened", sqlite=str(file.path.absolute()))
            yield sqlite


def _traceparent(tracer: Tracer, event: Event) -> str:
    return tracer.trace_of(event).traceparent


@asynccontextmanager
async def open_history(settings: LogSettings, clock: Clock) -> AsyncIterator[EventHistory]:
    """Open the configured log inside the context, for reading beside the processes that own it."""
    if settings.kafka:
        from streamer.log.kafka.history.history import KafkaHistory  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaHistory.open(settings.kafka) as kafka:
            yield kafka
    else:
        from streamer.log.sqlite import SqliteHistory  # noqa: PLC0415 - not needed beside Kafka

        async with SqliteHistory.open(settings.sqlite or SqliteLogSettings(), clock) as sqlite:
            yield sqlite
