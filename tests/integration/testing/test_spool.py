"""A plugin that does not speak HTTP keeps the part of the contract that is for all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import pytest
from pydantic import BaseModel

from streamer.events import Delivered, Delivery, Outcome, Retry
from streamer.ports import PluginContext
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

    plugin = Spool
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

    with pytest.raises(ContractBrokenError, match="there is no target: Delivered"):
        Mistaken().test_missing_target_is_tried_again()
