"""A plugin without HTTP keeps the general part of the contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import pytest
from pydantic import BaseModel

from streamer.events import Delivered, Delivery, Outcome, Retry, Skip
from streamer.ports import Plugin, PluginContext
from streamer.testing import ContractBrokenError, SubscriberContract


class SpoolSettings(BaseModel):
    """Where the files go."""

    folder: Path


class Spool:
    """Writes each event into a file of its own."""

    Settings = SpoolSettings

    def __init__(self, settings: SpoolSettings, context: PluginContext) -> None:
        """Prepare; no I/O happens yet."""
        self._folder = settings.folder
        self.name = context.name

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write the file."""
        try:
            await asyncio.to_thread(self._write, delivery)
        except OSError as error:
            return Retry(reason=f"the folder can't be written to: {error.strerror}")
        return Delivered()

    def _write(self, delivery: Delivery) -> None:
        name = delivery.event.id.replace("/", "_")
        (self._folder / name).write_text(json.dumps([delivery.event.data, delivery.body], default=str))


class TestSpool(SubscriberContract):
    """A folder is the target."""

    plugin: Plugin = Spool
    nowhere = "/nowhere/at/all"

    def settings(self, address: str) -> dict[str, Any]:
        """Return those of a folder at `address`."""
        return {"folder": address}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Make a folder that lasts as long as the context."""
        with TemporaryDirectory() as folder:
            yield folder


class Forgetful(Spool):
    """Says Delivered of what it could not write."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Believe that all is well."""
        await super().deliver(delivery)
        return Delivered()


def test_mistake_is_found() -> None:
    """The smaller part looks at outcomes as well."""

    class Mistaken(TestSpool):
        """The contract of the plugin with the mistake."""

        plugin = Forgetful

    with pytest.raises(ContractBrokenError, match="there is no target: the outcome is Delivered"):
        Mistaken().test_missing_target_is_tried_again()


class Together(Spool):
    """Writes the files of several events in one call."""

    batch_size = 3

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Write each."""
        return [await self._judged(each) for each in deliveries]

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write one."""
        return await self._judged(delivery)

    async def _judged(self, delivery: Delivery) -> Outcome:
        if delivery.body == {}:
            return Skip(reason="nothing to write", sent=False)
        return await super().deliver(delivery)


class TestTogether(TestSpool):
    """A plugin that takes batches."""

    plugin = Together


class TestBlockingTogether(TestSpool):
    """One that blocks."""

    class _Blocking:
        Settings = SpoolSettings
        batch_size = 3
        batch_wait_s = 0.01

        def __init__(self, settings: SpoolSettings, context: PluginContext) -> None:
            """Prepare."""
            self._spool = Spool(settings, context)

        def deliver(self, delivery: Delivery, /) -> Outcome:
            """Write one."""
            [outcome] = self.deliver_many([delivery])
            return outcome

        def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
            """Write each."""
            try:
                for each in deliveries:
                    self._spool._write(each)
            except OSError as error:
                return [Retry(reason=str(error))] * len(deliveries)
            return [Delivered()] * len(deliveries)

    plugin = _Blocking


class AnswersOne(Together):
    """Returns an outcome for the first alone."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Forget the others."""
        return [await self.deliver(deliveries[0])]


class Shuffles(Together):
    """Returns the outcomes in another order."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Turn them around."""
        return [await self.deliver(each) for each in deliveries][::-1]


class AllOrNothing(Together):
    """Fails the whole batch for one of its events."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer all as the worst."""
        outcomes = [await self.deliver(each) for each in deliveries]
        skipped = [outcome for outcome in outcomes if isinstance(outcome, Skip)]
        return skipped[:1] * len(outcomes) if skipped else outcomes


class Boundless(Together):
    """Takes batches of no size."""

    batch_size = 0


class Hopeful(Together):
    """Says Delivered of what it could not write."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Believe that all is well."""
        await super().deliver_many(deliveries)
        return [Delivered()] * len(deliveries)


@pytest.mark.parametrize(
    ("mistaken", "check", "words"),
    [
        (AnswersOne, TestSpool.test_takes_batches_of_any_size, "returned 1 for 3 deliveries"),
        (
            Shuffles,
            TestSpool.test_batch_has_the_outcomes_of_its_events,
            "delivered alone, has the outcome Skip",
        ),
        (
            AllOrNothing,
            TestSpool.test_batch_has_the_outcomes_of_its_events,
            "delivered alone, has the outcome Skip",
        ),
        (Boundless, TestSpool.test_delivers, "the plugin's batch_size must be a whole number"),
        (
            Hopeful,
            TestSpool.test_missing_target_fails_a_batch,
            "there is no target: the outcome is Delivered",
        ),
    ],
)
def test_mistake_in_batches_is_found(
    mistaken: type[Together], check: Callable[[TestSpool], None], words: str
) -> None:
    """The contract covers `deliver_many`."""

    class Mistaken(TestSpool):
        """The contract of the plugin with the mistake."""

        plugin = mistaken

    with pytest.raises(ContractBrokenError, match=words):
        check(Mistaken())
