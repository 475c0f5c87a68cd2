"""Code that blocks the event loop is named, with its line."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from streamer.clock import SystemClock
from streamer.events import Delivered, Delivery, Outcome
from streamer.observe.metrics import Metrics
from streamer.supervision.loop_sampler import LoopSampler
from tests.unit.dispatch.world import TARGET, ScriptedTarget, World

LIMIT_S = 0.1
BLOCKED = "streamer_event_loop_blocked_total"


class Blocking(ScriptedTarget):
    """A plugin that calls a blocking library."""

    async def deliver(self, _: Delivery, /) -> Outcome:
        """Sleep as `requests` would wait."""
        time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the very mistake
        return Delivered()


@pytest.fixture
async def metrics() -> AsyncIterator[Metrics]:
    """Metrics of the watched loop."""
    metrics = Metrics(clock=SystemClock())
    task = asyncio.create_task(LoopSampler(metrics=metrics, limit_s=LIMIT_S).run())
    await asyncio.sleep(0)
    yield metrics
    task.cancel()


def counted(metrics: Metrics, subscriber: str) -> float | None:
    """Return how often it blocked the loop."""
    return metrics.registry.get_sample_value(BLOCKED, {"subscriber": subscriber})


async def test_plugin_that_blocks_is_named_with_its_line(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """And counted by its subscriber."""
    world = World(target=Blocking())
    async with world.running():
        await world.append(1)
        await world.quiet()
        await asyncio.sleep(LIMIT_S)

    blamed = f"subscriber={TARGET}"
    # A busy machine can hold up other code too.
    said = capsys.readouterr().out.splitlines()
    [line] = [each for each in said if "loop.blocked" in each and blamed in each]
    assert re.search(r"at=\['[^']*test_loop_sampler\.py:\d+ in deliver'\]", line)
    assert counted(metrics, TARGET) == 1


class SlowAnswer(ScriptedTarget):
    """A plugin whose answer takes long to be read."""

    async def deliver(self, _: Delivery, /) -> Outcome:
        """Return an answer that is not a mapping."""
        return Delivered(answer=cast("Any", self))

    def __repr__(self) -> str:
        """Return a text, as a lazy object of a library would."""
        time.sleep(5 * LIMIT_S)
        return "slow"


async def test_value_of_a_plugin_that_blocks_is_named_with_its_line(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code that reads the value does not hide it."""
    world = World(target=SlowAnswer())
    async with world.running():
        await world.append(1)
        await world.quiet()
        await asyncio.sleep(LIMIT_S)

    assert re.search(
        r"loop\.blocked .*at=\['[^']*test_loop_sampler\.py:\d+ in __repr__'\]", capsys.readouterr().out
    )
    assert counted(metrics, TARGET) == 1


class Spawning(ScriptedTarget):
    """A plugin whose own task calls a blocking library."""

    async def deliver(self, _: Delivery, /) -> Outcome:
        """Deliver by a task of its own."""

        async def block() -> None:
            time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the very mistake

        await asyncio.create_task(block(), name="task of the plugin")
        return Delivered()


async def test_task_of_a_plugin_is_attributed_to_its_subscriber(metrics: Metrics) -> None:
    """Its name says nothing, but it inherits the context of the attempt that started it."""
    world = World(target=Spawning())
    async with world.running():
        await world.append(1)
        await world.quiet()
        await asyncio.sleep(LIMIT_S)

    assert counted(metrics, TARGET) == 1


async def test_name_of_a_task_accuses_no_subscriber(metrics: Metrics) -> None:
    """Any code can name its task as an attempt is named."""

    async def block() -> None:
        time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the very mistake

    await asyncio.create_task(block(), name=f"attempt {TARGET}")
    await asyncio.sleep(LIMIT_S)

    assert not counted(metrics, TARGET)
    assert counted(metrics, "") == 1


async def test_other_code_that_blocks_is_named_by_its_task(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """No subscriber is blamed for it."""

    async def block() -> None:
        time.sleep(5 * LIMIT_S)  # noqa: ASYNC251 - the very mistake

    await asyncio.create_task(block(), name="odd job")
    await asyncio.sleep(LIMIT_S)

    assert "task='odd job'" in capsys.readouterr().out
    assert counted(metrics, "") == 1


async def test_blocks_that_follow_are_a_number_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A machine without processor time blocks the loop all the time, and the log must stay readable."""
    sampler = LoopSampler(metrics=Metrics(clock=SystemClock()), limit_s=LIMIT_S, quiet_s=10 * LIMIT_S)
    task = asyncio.create_task(sampler.run())
    for _ in range(5):
        await asyncio.sleep(LIMIT_S)
        time.sleep(2 * LIMIT_S)  # noqa: ASYNC251 - the very mistake
    await asyncio.sleep(10 * LIMIT_S)
    task.cancel()

    lines = capsys.readouterr().out.splitlines()
    again = [each for each in lines if "loop.blocked_again" in each]
    assert len([each for each in lines if "loop.blocked " in each]) == 1
    assert sum(int(found[1]) for each in again if (found := re.search(r"times=(\d+)", each))) >= 4
    assert not [each for each in again if "at=[" in each]


async def test_loop_that_turns_is_left_alone(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    """However long its tasks take together."""
    for _ in range(10):
        await asyncio.sleep(LIMIT_S / 5)

    assert "loop.blocked" not in capsys.readouterr().out
    assert counted(metrics, "") == 0
