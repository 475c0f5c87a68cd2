"""Page of metrics that Prometheus scrapes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamer.clock import Clock

FRESH_S = 1.0
"""Time for which one page answers all scrapes."""

_Encoder: TypeAlias = Callable[[CollectorRegistry], bytes]


class Exposition:
    """Renders the metrics of `registry` in a thread of its own, once a second at most.

    With ten subscribers, a page takes a tenth of a second on a slow processor,
    which would hold up the event loop. Any number of scrapers cost one page a
    second in each format.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._pages: dict[str, tuple[float, asyncio.Future[bytes]]] = {}

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, in the format that an `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        # A scrape that goes away must not cancel the page of the others.
        return await asyncio.shield(self._rendered(content_type, encode)), content_type

    def close(self) -> None:
        """End the thread after the page that it renders."""
        self._thread.shutdown(wait=False)

    def _rendered(self, content_type: str, encode: _Encoder) -> asyncio.Future[bytes]:
        now = self._clock.monotonic()
        begun_at, page = self._pages.get(content_type, (now - FRESH_S, None))
        if page is None or (page.done() and now - begun_at >= FRESH_S):
            page = asyncio.get_running_loop().run_in_executor(self._thread, encode, self._registry)
            self._pages[content_type] = (now, page)
        return page
