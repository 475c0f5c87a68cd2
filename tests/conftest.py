"""The real parts that several folders of tests share."""

import os
from collections.abc import Iterator

import pytest

from tools.kafka.broker import Broker

# What a killed process left open ends when its time is up, and not up to ten seconds later.
_PROMPT = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Kafka: the one that STREAMER_KAFKA names, or our own for this run."""
    address = os.environ.get("STREAMER_KAFKA")
    if address:
        yield address
        return
    with Broker(settings=_PROMPT) as broker:
        yield broker.bootstrap
