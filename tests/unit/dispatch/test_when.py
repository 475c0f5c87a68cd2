"""The route's `when` is evaluated once, by the process that reads the event."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from streamer.dispatch.delivery.route import Route
from streamer.events import Retry
from tests.unit.dispatch.world import TARGET, World

FAILS = Retry(reason="503")


@dataclass
class Predicate:
    """A `when` that holds for all events but those in `excluded`, and knows which it was asked about."""

    excluded: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def __call__(self, document: dict[str, Any]) -> bool:
        """Answer, and note the event."""
        self.asked.append(document["id"])
        return document["id"] not in self.excluded


@pytest.fixture
def predicate() -> Predicate:
    """Every event is for the target."""
    return Predicate()


@pytest.fixture
def world(predicate: Predicate) -> World:
    """A subscriber with that `when`."""
    return World(route=Route(name=TARGET, when=predicate))


async def test_event_is_judged_once_however_often_it_is_tried(world: World, predicate: Predicate) -> None:
    """The attempts in memory rely on the judgement at the intake."""
    predicate.excluded = {"2"}
    world.target.answers["1"].append(FAILS)
    await world.append(1, 2, 3)
    async with world.running():
        await world.turn(3)
        assert sorted(world.target.delivered) == ["1", "3"]
    assert sorted(predicate.asked) == ["1", "2", "3"]


async def test_parked_event_is_judged_by_the_process_that_recalls_it(
    world: World, predicate: Predicate
) -> None:
    """The configuration can be another one by then."""
    world.target.answers["1"] += [FAILS] * 3
    await world.append(1)
    async with world.running():
        await world.turn(2)
    predicate.excluded = {"1"}
    predicate.asked.clear()
    async with world.running():
        await world.turn(600)
    assert world.target.delivered == []
    assert predicate.asked == ["1"]
