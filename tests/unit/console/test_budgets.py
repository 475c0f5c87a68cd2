"""No page of the console is heavy, however many subscribers there are: in bytes and in the server's time."""

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from streamer.console.application import PAGES
from tests.unit.console.busy_world import BusyWorld
from tests.unit.dispatch.world import TARGET

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_BYTES = 150_000
MOST_CPU_S = 0.2
_TRIES = 3
# CPU time of `reference_work` on the machine for which the budget is meant. A slower machine gets more.
_REFERENCE_S = 0.06
# Pages that need more than their path. `NO_PAGES` has a stream and a redirect.
NEEDS: dict[str, dict[str, str]] = {
    "/subscribers/{name}": {"name": TARGET},
    "/events/{id:.+}": {"id": "event"},
    "/dead-letters/letter": {"id": "letter"},
    "/channels/position": {"channel": "/data/ChangeEvents"},
    "/channels/position/preview": {"channel": "/data/ChangeEvents", "place": "latest"},
    "/search": {"q": "several words"},
}
NO_PAGES = {"/tail/rows", "/parked/story"}


def routes() -> list[str]:
    """Return the paths of all pages, from the console's own routes."""
    found = [route for each in PAGES for route in each(context=cast("Any", None)).routes()]
    return sorted({route.path for route in found if route.method == "GET"} - NO_PAGES)


def reference_work() -> int:
    """Return a number that takes some time."""
    return sum(number * number for number in range(1_000_000))


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU time of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy() -> AsyncIterator[BusyWorld]:
    """One busy daemon for all pages."""
    async with BusyWorld.opened() as found:
        yield found


def address(path: str, busy: BusyWorld) -> str:
    """Return the address of a page, with all that the page needs."""
    values = {name: getattr(busy, value, value) for name, value in NEEDS.get(path, {}).items()}
    inside = {name: values.pop(name) for name in re.findall(r"{(\w+)", path)}
    filled = re.sub(r"{(\w+)[^}]*}", lambda match: inside[match[1]], path)
    return f"{filled}?{urlencode(values)}" if values else filled


async def weight(busy: BusyWorld, text: str) -> int:
    """Return the size of a page with all files that it loads."""
    files = set(re.findall(r'(?:href|src)="/console(/static/[^"]+)"', text))
    sizes = [len((await busy.browser.get(each)).text.encode()) for each in files]
    return len(text.encode()) + sum(sizes)


@pytest.mark.parametrize("path", routes())
async def test_page_is_within_its_budgets(busy: BusyWorld, path: str) -> None:
    """With sixty subscribers, and as much on the page as the page ever shows at once."""
    page, took = address(path, busy), []
    for _ in range(_TRIES):
        began = time.process_time()
        answer = await busy.browser.get(page)
        took.append(time.process_time() - began)

    assert answer.status == 200, answer.text
    found = await weight(busy, answer.text)
    assert found < MOST_BYTES
    slowness = max(1.0, min(cpu_s(reference_work) for _ in range(_TRIES)) / _REFERENCE_S)
    assert min(took) < MOST_CPU_S * slowness
