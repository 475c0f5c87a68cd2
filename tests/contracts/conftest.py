"""The logs that every contract test runs on."""

from collections.abc import Iterator

import pytest

from tests.contracts.kafka_world import KafkaWorlds
from tests.contracts.worlds import WORLDS, SqliteWorld, World
from tests.schemas import checked_records


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One kind of log, empty; what the test records in it must keep the published schemas."""
    made = WORLDS[request.param](request)
    yield made
    if isinstance(made, SqliteWorld):
        assert checked_records(made.path).mistakes == []


@pytest.fixture(scope="session")
def kafka_worlds(kafka: str) -> Iterator[KafkaWorlds]:
    """Topics of each test on a broker that all share; all that they hold is checked at the end."""
    worlds = KafkaWorlds(kafka)
    yield worlds
    assert worlds.checked().mistakes == []
