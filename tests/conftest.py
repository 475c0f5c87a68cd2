"""The real parts that several folders of tests share."""

import os
from collections.abc import Iterator

import pytest

from tools.kafka.broker import Broker


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Kafka: the one that STREAMER_KAFKA names, or our own for this run."""
    address = os.environ.get("STREAMER_KAFKA")
    if address:
        yield address
        return
    with Broker() as broker:
        yield broker.bootstrap
