"""Probes, and the endpoint that answers them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError
from streamer.observe.metrics import Metrics
from streamer.supervision.endpoint import Exposition, serving
from streamer.supervision.health import Health, Heartbeat, ProbeKind, ProbeResult
from streamer.web import guard
from tests.waiting import until

AWAY = ProbeResult(ok=False, sentence="The broker at kafka:9092 does not answer; check that it runs.")


@pytest.fixture
def health() -> Health:
    """No probes yet."""
    return Health()


@asynccontextmanager
async def asking(health: Health, metrics: Metrics) -> AsyncIterator[Any]:
    """A function that asks the endpoint for a path and returns status and body."""
    async with (
        serving(health, Exposition(metrics.registry, TurnedClock()), host="localhost", port=0) as port,
        aiohttp.ClientSession(f"http://localhost:{port}") as session,
    ):

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(path) as response:
                text = response.content_type == "text/plain"
                return response.status, await (response.text() if text else response.json())

        yield ask


async def test_failed_readiness_names_what_is_wrong(health: Health, metrics: Metrics) -> None:
    """`/readyz` answers 503 with the sentence of each probe that failed."""
    health.register(ProbeKind.READINESS, "log", lambda: AWAY)
    health.register(ProbeKind.READINESS, "salesforce", lambda: ProbeResult(ok=True, sentence="Subscribed."))

    async with asking(health, metrics) as ask:
        status, body = await ask("/readyz")

    assert status == 503
    assert body["status"] == "failing"
    assert body["problems"] == [f"log: {AWAY.sentence}"]
    assert body["checks"]["salesforce"] == {"ok": True, "says": "Subscribed."}


async def test_broker_that_is_away_never_fails_liveness(health: Health, metrics: Metrics) -> None:
    """A restart would not bring it back."""
    health.register(ProbeKind.READINESS, "log", lambda: AWAY)

    async with asking(health, metrics) as ask:
        assert (await ask("/healthz"))[0] == 200


async def test_readiness_follows_its_component(health: Health, metrics: Metrics) -> None:
    """Each request asks again."""
    found = [AWAY, ProbeResult(ok=True, sentence="Writable.")]
    health.register(ProbeKind.READINESS, "log", lambda: found.pop(0))

    async with asking(health, metrics) as ask:
        assert [(await ask("/readyz"))[0], (await ask("/readyz"))[0]] == [503, 200]


async def test_probe_that_raises_has_failed(health: Health, metrics: Metrics) -> None:
    """A bug in a probe is reported by its type, not by its text, and the endpoint goes on."""

    def broken() -> ProbeResult:
        raise KeyError("secret")

    health.register(ProbeKind.READINESS, "log", broken)
    async with asking(health, metrics) as ask:
        status, body = await ask("/readyz")

    assert status == 503
    assert "KeyError" in body["problems"][0]
    assert "secret" not in body["problems"][0]


class HeldPage(Collector):
    """Page of metrics that waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def collect(self) -> Iterator[Metric]:
        """Return no metrics, after the wait."""
        self.begun.set()
        self.go.wait()
        yield from ()


async def test_probes_are_answered_while_no_other_request_is(
    health: Health, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapers that take all the room there is cause no restart."""
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 1)
    page = HeldPage()
    metrics.registry.register(page)
    async with asking(health, metrics) as ask:
        scrape = asyncio.create_task(ask("/metrics"))
        await until(page.begun.is_set)
        try:
            assert [(await ask(path))[0] for path in ("/metrics", "/healthz", "/readyz")] == [503, 200, 200]
        finally:
            page.go.set()
        assert (await scrape)[0] == 200


async def test_metrics_are_served(health: Health, metrics: Metrics) -> None:
    """`/metrics` shows what was counted."""
    metrics.session.handshaken()

    async with asking(health, metrics) as ask:
        status, body = await ask("/metrics")

    assert status == 200
    assert "streamer_session_handshakes_total 1.0" in body


async def test_address_in_use_is_one_sentence(health: Health, metrics: Metrics) -> None:
    """A second process on the same port is told which setting to change."""
    async with serving(health, Exposition(metrics.registry, TurnedClock()), host="127.0.0.1", port=0) as port:
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port} .*observe\.port"):
            async with serving(
                health, Exposition(metrics.registry, TurnedClock()), host="127.0.0.1", port=port
            ):
                pass


async def test_loop_that_beats_is_alive(clock: TurnedClock, metrics: Metrics) -> None:
    """The probe passes for as long as the heartbeat's task runs."""
    heartbeat = Heartbeat(clock=clock, metrics=metrics, limit_s=30.0)
    beating = asyncio.create_task(heartbeat.run())
    await clock.turn(120)
    beating.cancel()

    assert heartbeat.probe().ok


async def test_loop_that_stopped_beating_fails_liveness(clock: TurnedClock, metrics: Metrics) -> None:
    """The probe says for how long the loop has not turned."""
    heartbeat = Heartbeat(clock=clock, metrics=metrics, limit_s=30.0)
    await clock.turn(31)

    assert heartbeat.probe() == ProbeResult(
        ok=False, sentence="The event loop has not run for 31 s; the limit is 30 s."
    )


def test_name_is_registered_once(health: Health) -> None:
    """Two components can't hide each other's probe."""
    health.register(ProbeKind.READINESS, "log", lambda: AWAY)
    with pytest.raises(ValueError, match="'log' is already registered"):
        health.register(ProbeKind.READINESS, "log", lambda: AWAY)
