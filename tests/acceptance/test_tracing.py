"""One trace shows an event from Salesforce's answer to the target, across all processes."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from streamer.sandbox import Sandbox
from tests.acceptance.kept import KeptInSqlite
from tests.collector import Collector
from tests.configuration import over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

CONSUMER, PRODUCER, INTERNAL, CLIENT = 5, 4, 1, 3


@dataclass
class Target:
    """A webhook that fails `failures` times, and notes the header traceparent of each request."""

    failures: int = 0
    port: int = 0
    parents: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.parents.append(request.headers["traceparent"])
        return web.Response(status=503 if len(self.parents) <= self.failures else 200)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Target"]:
        """Listen on loopback inside the context."""
        app = web.Application()
        app.router.add_post("/", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "localhost", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that takes all spans."""
    async with Collector().serving() as collector:
        yield collector


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """A webhook."""
    async with Target().serving() as target:
        yield target


@pytest.fixture
def configured(sandbox: Sandbox, target: Target, tmp_path: Path) -> Callable[[str], Path]:
    """Return a maker of configurations, by the collector's address."""

    def configured(endpoint: str) -> Path:
        subscriber = {
            "uses": "webhook",
            "on": "salesforce.cdc.Account.created",
            "start": "earliest",
            "retry": {"first_delay_s": 0.05},
            "settings": {"url": f"http://localhost:{target.port}/"},
        }
        otlp = {"endpoint": endpoint, "headers": {"x-tenant": "acme"}, "timeout_s": 1}
        configuration = sandbox_configuration(
            sandbox.url,
            log=KeptInSqlite(tmp_path).configuration,
            subscribers={"copy": subscriber},
            tracing={"ratio": 1, "otlp": otlp},
        )
        return written(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))

    return configured


async def test_one_trace_from_receipt_to_the_second_attempt(
    sandbox: Sandbox, collector: Collector, target: Target, configured: Callable[[str], Path]
) -> None:
    """Each request carries the span of its attempt, and all of them descend from the receipt."""
    target.failures = 1
    _create(sandbox)
    async with Daemon.running(configured(collector.url)) as daemon:
        await until(lambda: _has(collector, "deliver copy"))
        page = await _open_metrics(daemon)
        assert await daemon.stop() == 0

    [receipt], [append] = collector.named("receive "), collector.named("append")
    [delivery], [failed, worked] = collector.named("deliver copy"), collector.named("attempt copy")
    spans = [receipt, append, delivery, failed, worked]
    assert len(collector.spans) == len(spans)
    assert {span.trace_id for span in spans} == {receipt.trace_id}
    assert [span.parent_id for span in spans] == [
        *("", receipt.span_id, append.span_id, delivery.span_id, delivery.span_id)
    ]
    assert [span.kind for span in spans] == [CONSUMER, PRODUCER, INTERNAL, CLIENT, CLIENT]
    assert target.parents == [f"00-{receipt.trace_id}-{span.span_id}-01" for span in (failed, worked)]
    assert [span.is_error for span in spans] == [False, False, False, True, False]
    assert failed.attributes["error.type"] == "http_5xx"
    assert [span.attributes["streamer.attempt"] for span in (failed, worked)] == [1, 2]
    assert receipt.began <= append.began <= append.ended <= delivery.ended
    assert delivery.began <= failed.began <= failed.ended <= worked.began
    assert receipt.attributes["cloudevents.event_type"] == "salesforce.cdc.Account.created"
    assert receipt.resource["service.name"] == "streamer"
    assert collector.requests[0]["x-tenant"] == "acme"
    assert f'trace_id="{receipt.trace_id}"' in page


async def test_trace_goes_on_in_another_process_after_a_kill(
    sandbox: Sandbox, collector: Collector, target: Target, configured: Callable[[str], Path]
) -> None:
    """An event that one process appends and another delivers has one trace, though they never talk."""
    config = configured(collector.url)
    _create(sandbox)
    async with Daemon.running(config, "--role", "ingest") as ingest:
        await until(lambda: _has(collector, "append"))
        await ingest.kill()
    assert not target.parents
    async with Daemon.running(config, "--role", "dispatch") as dispatch:
        await until(lambda: _has(collector, "deliver copy"))
        assert await dispatch.stop() == 0

    [append], [delivery] = collector.named("append"), collector.named("deliver copy")
    [attempt] = collector.named("attempt copy")
    assert delivery.parent_id == append.span_id
    assert target.parents == [f"00-{append.trace_id}-{attempt.span_id}-01"]
    assert [span.resource["streamer.role"] for span in (append, delivery)] == ["ingest", "dispatch"]


async def test_dead_collector_costs_spans_and_no_event(
    sandbox: Sandbox, target: Target, configured: Callable[[str], Path]
) -> None:
    """Everything is delivered, the spans are counted, and one line reports it."""
    with socket.create_server(("localhost", 0)) as closed:
        port = closed.getsockname()[1]
    for number in range(3):
        _create(sandbox, f"Acme {number}")
    async with Daemon.running(configured(f"http://localhost:{port}")) as daemon:
        await daemon.ready()

        async def has_failed() -> Any:
            return await daemon.metric("streamer_trace_spans_total", result="failed") >= 12

        await until(has_failed, every_s=0.1)
        assert await daemon.stop() == 0

    assert len(target.parents) == 3
    [line] = daemon.logged("tracing.unavailable")
    assert line["level"] == "warning"
    assert "acme" not in str(line)


def _create(sandbox: Sandbox, name: str = "Acme") -> None:
    with sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": name})


async def _has(collector: Collector, name: str) -> bool:
    return bool(collector.named(name))


async def _open_metrics(daemon: Daemon) -> str:
    await daemon.started()
    port = daemon.logged("daemon.started")[0]["port"]
    accepted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        aiohttp.ClientSession(headers=accepted) as http,
        http.get(f"http://localhost:{port}/metrics") as response,
    ):
        return await response.text()
