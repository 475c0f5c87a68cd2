"""The reader waits for a batch and for other work at the same time, and loses no batch."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from streamer.errors import SalesforceUnavailable
from streamer.events import Batch
from streamer.ingest.reading.message_reader import BatchReader
from tests.messages import batch
from tests.waiting import limited


class Source:
    """Batches that come when a test wants; it tells how often it was asked, and whether it was closed."""

    def __init__(self) -> None:
        """Begin without any."""
        self.coming: asyncio.Queue[Batch | Exception | None] = asyncio.Queue()
        self.asked = 0
        self.ended_in: asyncio.Task[None] | None = None

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what comes, and end with `None`."""
        try:
            while True:
                self.asked += 1
                found = await self.coming.get()
                if found is None:
                    return
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            self.ended_in = asyncio.current_task()


async def test_batches_come_one_for_each_request() -> None:
    """The source is asked for no more than its reader was."""
    source = Source()
    first, second = batch(at=1.0), batch(at=2.0)
    for each in (first, second, None):
        source.coming.put_nowait(each)
    async with BatchReader(source.batches()) as reader:
        await asyncio.sleep(0)
        assert source.asked == 0
        reader.ask()
        assert await reader.batch() is first
        await asyncio.sleep(0)
        assert (source.asked, reader.has_come) == (1, True)
        reader.ask()
        assert await reader.batch() is second
        reader.ask()
        assert await reader.batch() is None


async def test_turn_ends_with_a_batch_or_an_interruption() -> None:
    """Nothing of the batch is lost by one."""
    source = Source()
    async with BatchReader(source.batches()) as reader:
        reader.ask()
        turn = asyncio.create_task(reader.turn())
        await asyncio.sleep(0)
        assert not turn.done()
        reader.interrupt()
        await turn
        assert not reader.has_come
        source.coming.put_nowait(batch(at=1.0))
        await reader.turn()
        assert reader.has_come
        assert await reader.batch() == batch(at=1.0)


async def test_reader_that_is_broken_off_keeps_the_batch() -> None:
    """The later answer belongs to the same request."""
    source = Source()
    async with BatchReader(source.batches()) as reader:
        reader.ask()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await reader.batch()
        source.coming.put_nowait(batch(at=1.0))
        assert await reader.batch() == batch(at=1.0)
        assert source.asked == 1


async def test_error_of_the_source_is_raised() -> None:
    """The waiting caller gets it; without a caller it makes no noise."""
    source = Source()
    source.coming.put_nowait(ValueError("gone"))
    async with BatchReader(source.batches()) as reader:
        reader.ask()
        with pytest.raises(ValueError, match="gone"):
            await reader.batch()


async def test_source_is_closed_by_the_task_that_has_read_it() -> None:
    """A generator can hold what only one task may enter and leave."""
    source = Source()
    source.coming.put_nowait(batch())
    async with BatchReader(source.batches()) as reader:
        reader.ask()
        await reader.batch()

    assert source.ended_in is not None
    assert source.ended_in is not asyncio.current_task()
    assert source.ended_in.get_name() == "batches"


async def test_source_that_is_cancelled_within_ends_with_an_error() -> None:
    """The channel begins again; it does not wait for ever for a task that has ended."""

    async def batches() -> AsyncGenerator[Batch, None]:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner
        yield batch()

    async with limited("the batch"), BatchReader(batches()) as reader:
        reader.ask()
        await reader.turn()
        with pytest.raises(SalesforceUnavailable):
            await reader.batch()
