"""The stacks of all threads and tasks, without secrets."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

from streamer.supervision.stacks import stacks


async def wait_inside(gate: asyncio.Event, token: str) -> None:
    """Wait with a secret in a variable."""
    secret = token + "-kept"
    await gate.wait()
    assert secret


async def wait_outside(gate: asyncio.Event) -> None:
    """Wait for somebody who waits."""
    await wait_inside(gate, "sesame")


async def read_batches(gate: asyncio.Event) -> None:
    """Wait for a generator that waits."""

    async def batches() -> AsyncIterator[int]:
        await gate.wait()
        yield 1

    async for _ in batches():
        pass


async def test_task_shows_the_whole_way_to_what_it_waits_for() -> None:
    """Each step with its line, and no variable of any."""
    gate = asyncio.Event()
    task = asyncio.create_task(wait_outside(gate), name="deliver sales 1")
    await asyncio.sleep(0)
    [stack] = [stack for stack in stacks() if stack.startswith("task deliver sales 1:")]
    gate.set()
    await task

    steps = ["in wait_outside", "in wait_inside", "await gate.wait()", "in wait\n"]
    assert [stack.index(step) for step in steps] == sorted(stack.index(step) for step in steps)
    assert "sesame-kept" not in stack


async def test_task_inside_a_generator_shows_at_least_who_asked_it() -> None:
    """Sources are asynchronous generators."""
    gate = asyncio.Event()
    task = asyncio.create_task(read_batches(gate), name="ingest")
    await asyncio.sleep(0)
    [stack] = [stack for stack in stacks() if stack.startswith("task ingest:")]
    gate.set()
    await task

    assert "async for _ in batches()" in stack


async def test_thread_is_shown_where_it_stands() -> None:
    """By its name."""
    gate = threading.Event()

    def hang_in_here() -> None:
        gate.wait()

    thread = threading.Thread(target=hang_in_here, name="kafka-ownership")
    thread.start()
    try:
        [stack] = [stack for stack in stacks() if stack.startswith("thread kafka-ownership:")]
    finally:
        gate.set()
        thread.join()

    assert "in hang_in_here" in stack


async def test_many_that_wait_in_one_place_are_shown_once() -> None:
    """A subscriber's workers do not hide the rest."""
    gate = asyncio.Event()
    tasks = [asyncio.create_task(wait_outside(gate), name=f"worker {n}") for n in range(40)]
    await asyncio.sleep(0)
    found = [stack for stack in stacks() if stack.startswith("task worker ")]
    gate.set()
    await asyncio.gather(*tasks)

    assert len(found) == 1
    assert "and 35 more" in found[0]


_STUCK_LOOP = """
import sys, time
from streamer.supervision.health import Watchdog
watchdog = Watchdog(sys.stderr)
watchdog.rearm(0.3)
def hangs(token):
    secret = token
    time.sleep(0.9)
hangs("sesame")
watchdog.disarm()
"""


def test_watchdog_tells_where_a_loop_hangs() -> None:
    """Without variables, and while it hangs."""
    ran = subprocess.run([sys.executable, "-c", _STUCK_LOOP], check=True, capture_output=True, text=True)

    assert "Timeout (0:00:00.300000)!" in ran.stderr
    assert "in hangs" in ran.stderr
    assert "sesame" not in ran.stderr
