"""A page that shows one of several processes says so, names what is missing, and links to the others."""

import pytest

from streamer.settings import AdminSettings, Settings
from tests.unit.admin.world import SETTINGS
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

OTHER = "https://streamer-1.example.com/console"
OF_ONE_PROCESS = {
    "": "the rates, the waiting events and the parked keys of their partitions",
    "/charts": "the events, the deliveries and the waiting events of their partitions",
    "/subscribers": "the deliveries, the waiting events and the parked keys of their partitions",
    f"/subscribers/{TARGET}": "the deliveries, the waiting events and the parked keys of their partitions",
    "/problems": "the parked keys, the targets that are down and the refused channels of their partitions",
    "/parked": "the parked keys of their partitions",
}


def share(world: World, *others: str) -> None:
    """Let the daemon's log be in Kafka, and its configuration name the consoles of other processes."""
    settings = SETTINGS.model_dump(mode="python")
    settings["log"] = {"kafka": {"bootstrap_servers": "kafka:9092"}}
    settings["admin"] = {"console": {"others": others}}
    world.api.daemon.plan.settings = Settings.model_validate(settings)


@pytest.mark.parametrize("path", OF_ONE_PROCESS)
async def test_page_names_its_process_and_what_is_missing(world: World, browser: Browser, path: str) -> None:
    """And leads to the consoles that are configured."""
    world.api.daemon.dispatchers[TARGET] = world.api.dispatch.dispatcher()
    alone = (await browser.get(path)).text
    share(world)
    unlinked = (await browser.get(path)).text
    share(world, OTHER)
    linked = (await browser.get(path)).text

    assert "This page shows one process" not in alone
    for text in (unlinked, linked):
        assert f"This page shows one process: {browser.context.flow.process.name}." in text
        assert OF_ONE_PROCESS[path] in text
    assert "set <code>admin.console.others</code>" in unlinked
    assert f'<a href="{OTHER}">{OTHER}</a>' in linked


async def test_verdict_is_that_of_this_process(world: World, browser: Browser) -> None:
    """Something can be broken in another process."""
    share(world)

    assert "Everything flows in this process" in (await browser.get("")).text


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example", "https://a b", 'https://a"x'])
def test_other_console_is_an_address_of_the_web(address: str) -> None:
    """It stands in a link."""
    with pytest.raises(ValueError, match="others"):
        AdminSettings.model_validate({"console": {"others": [address]}})
