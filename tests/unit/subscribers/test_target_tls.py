"""TLS contexts of targets: loaded off the loop, shared, and only where TLS is used."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError
from subscribers.http import tls
from subscribers.http.tls import TargetTls
from subscribers.webhook import Webhook
from tests.deliveries import context, delivery, opened
from tests.keys import certificate_pem


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """The threads on which contexts were loaded."""
    threads: list[threading.Thread] = []
    load = ssl.create_default_context

    def counted(*arguments: object, **named: object) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return load(*arguments, **named)  # type: ignore[arg-type] # handed on

    tls._of_system.cache_clear()
    monkeypatch.setattr("subscribers.http.tls.ssl.create_default_context", counted)
    yield threads
    tls._of_system.cache_clear()


async def test_targets_share_one_context_that_a_thread_loads(loads: list[threading.Thread]) -> None:
    """Ten subscribers would hold the loop for half a second at each start."""
    targets = [TargetTls(None, None, TurnedClock()) for _ in range(10)]
    for target in targets:
        await target.check()
    assert loads == []

    contexts = {id(await target.context()) for target in targets}

    assert len(contexts) == len(loads) == 1
    assert threading.main_thread() not in loads


async def test_file_is_loaded_at_the_start_on_a_thread(loads: list[threading.Thread], tmp_path: Path) -> None:
    """So that a mistake is told at once, and the loop goes on."""
    await TargetTls(certificate_pem(tmp_path), None, TurnedClock()).check()
    with pytest.raises(ConfigurationError, match="can't be read as PEM"):
        await TargetTls(tmp_path / "none.pem", None, TurnedClock()).check()

    assert len(loads) == 2
    assert threading.main_thread() not in loads


async def test_target_without_tls_loads_nothing(loads: list[threading.Thread]) -> None:
    """Its address is http."""

    async def taken(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/", taken)
    async with TestServer(app) as server:
        settings = Webhook.Settings.model_validate({"url": f"http://localhost:{server.port}/"})
        async with opened(Webhook, settings, context(TurnedClock())) as subscriber:
            await subscriber.deliver(delivery())

    assert loads == []
