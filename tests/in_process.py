"""Daemons that run in the process of a test."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from streamer.app import plugins
from streamer.app.daemon import App
from streamer.app.plan import plan
from streamer.app.supervising import DaemonOptions
from streamer.clock import SystemClock
from streamer.configuration import Document, load_document
from tests.waiting import until


def offer_plugins(monkeypatch: pytest.MonkeyPatch, **classes: str) -> None:
    """Offer plugins by name, `module:Class` each, however the package was installed."""
    points = [EntryPoint(name=name, value=value, group=plugins.GROUP) for name, value in classes.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda **_: points)


@asynccontextmanager
async def running(*paths: Path, environment: Mapping[str, str] = os.environ) -> AsyncIterator[App]:
    """Run the daemon of a configuration in these files, which it follows, from the time when it is ready."""

    def read() -> Document:
        return load_document(paths, environment)

    async with serving(read(), reread=read) as app:
        yield app


@asynccontextmanager
async def serving(document: Document, *, reread: Callable[[], Document] | None = None) -> AsyncIterator[App]:
    """Run the daemon of a configuration, from the time when it is ready and waits for nothing."""
    clock = SystemClock()
    app = App.of(plan(document, clock), clock, options=DaemonOptions(reread=reread))
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(stopping), name="daemon")
        try:
            await until(lambda: app.status.is_complete and not app.status.waits)
            yield app
        finally:
            stopping.set()
