"""Rendering of the metrics page: off the event loop, and once a second at most."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from streamer.clock import TurnedClock
from streamer.supervision.endpoint import FRESH_S, Exposition

TEXT = ""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class SlowCollector(Collector):
    """Collector that waits until it is let go, and notes the threads that ask it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[threading.Thread] = []

    def collect(self) -> Iterator[Metric]:
        """Return no metrics, after the wait."""
        self.threads.append(threading.current_thread())
        self.go.wait()
        yield from ()


@pytest.fixture
def collector() -> SlowCollector:
    """A collector that no page has asked yet."""
    return SlowCollector()


@pytest.fixture
async def exposition(collector: SlowCollector, clock: TurnedClock) -> AsyncIterator[Exposition]:
    """Pages with everything that the collector has."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    made = Exposition(registry, clock)
    yield made
    collector.go.set()
    made.close()


async def test_event_loop_goes_on_while_a_page_is_rendered(
    exposition: Exposition, collector: SlowCollector
) -> None:
    """A page that would block the loop could never be let go here."""
    page = asyncio.create_task(exposition.page(TEXT))
    await asyncio.sleep(0)
    collector.go.set()

    await page
    assert threading.main_thread() not in collector.threads


async def test_scrapes_at_the_same_time_share_one_page(
    exposition: Exposition, collector: SlowCollector
) -> None:
    """Ten scrapes that wait for a slow page cost one page."""
    scrapes = [asyncio.create_task(exposition.page(TEXT)) for _ in range(10)]
    await asyncio.sleep(0)
    collector.go.set()

    await asyncio.gather(*scrapes)
    assert len(collector.threads) == 1


async def test_page_serves_for_a_second(
    exposition: Exposition, collector: SlowCollector, clock: TurnedClock
) -> None:
    """The next page is rendered when the last one is older."""
    collector.go.set()
    for _ in range(5):
        await exposition.page(TEXT)
    assert len(collector.threads) == 1

    await clock.turn(FRESH_S)
    await exposition.page(TEXT)
    assert len(collector.threads) == 2


async def test_scrape_that_goes_away_leaves_the_page_to_the_others(
    exposition: Exposition, collector: SlowCollector
) -> None:
    """Prometheus gives up after its timeout; another scrape still gets the page."""
    hasty, patient = (asyncio.create_task(exposition.page(TEXT)) for _ in range(2))
    await asyncio.sleep(0)
    hasty.cancel()
    collector.go.set()

    body, _ = await patient
    assert body == b""


async def test_each_format_has_a_page_of_its_own(exposition: Exposition, collector: SlowCollector) -> None:
    """A browser's page is not what Prometheus asked for."""
    collector.go.set()

    assert (await exposition.page(TEXT))[1].startswith("text/plain")
    body, content_type = await exposition.page(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert body == b"# EOF\n"


async def test_page_that_failed_is_rendered_again(clock: TurnedClock) -> None:
    """A collector's failure is that scrape's, not every later one's."""

    class Failing(Collector):
        fails = True

        def collect(self) -> Iterator[Metric]:
            if self.fails:
                raise RuntimeError
            yield from ()

    registry, failing = CollectorRegistry(auto_describe=False), Failing()
    registry.register(failing)
    exposition = Exposition(registry, clock)
    with pytest.raises(RuntimeError):
        await exposition.page(TEXT)
    failing.fails = False
    await clock.turn(FRESH_S)

    assert (await exposition.page(TEXT))[0] == b""
    exposition.close()
