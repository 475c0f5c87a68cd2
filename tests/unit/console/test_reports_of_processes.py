"""The reports of several processes count once each, and say which process is missing."""

from dataclasses import replace

import pytest

from streamer.errors import LogMisconfigured
from streamer.ports import ProcessRecord
from tests.unit.admin.processes.others import a_share, failing, tell
from tests.unit.admin.world import Asking
from tests.unit.console.test_several_processes import share, words
from tests.unit.console.topic_of_processes import CHANNEL, STATE, answers, pages, read_from_topic, subscriber
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET


@pytest.fixture(autouse=True)
def shared(world: World, browser: Browser) -> None:
    """Let the log be in Kafka, and the API have the map."""
    share(world)
    world.api.context.views.flow = browser.context.flow.as_json


async def test_subscriber_elsewhere_in_every_process(world: World, browser: Browser) -> None:
    """No process delivers, so nothing is known, which is not the same as zero."""
    for number in range(3):
        body = {
            "subscribers": {TARGET: {"state": "not here", "blocked": "", "per_second": None, "here": None}}
        }
        read_from_topic(world, f"p{number}", body)
    found = await answers(browser)

    assert found["/subscribers"]["subscribers"][0]["total"] is None
    assert found["/subscribers"]["subscribers"][0]["state"] == "not here"
    assert found["/flow"]["subscribers"][0]["lag"] is None
    assert TARGET in found["/parked"]["not_here"]
    await pages(browser)


async def test_worst_of_two_states(world: World, browser: Browser) -> None:
    """A plugin that only one process can't open, and attempts that fail in one process."""
    world.api.daemon.dispatchers[TARGET] = world.api.dispatch.dispatcher()
    read_from_topic(
        world, "fails", {"subscribers": a_share("failing", lag=2, failing=failing("10:00:00", "10:05:00"))}
    )
    first = await answers(browser)
    blocked = {
        TARGET: {"state": "can't start", "blocked": "no <b>token</b>", "per_second": None, "here": None}
    }
    read_from_topic(world, "blocked", {"subscribers": blocked})
    world.api.clock.jump(6.0)
    second = await answers(browser)

    assert first["/subscribers"]["subscribers"][0]["state"] == "failing"
    assert first["/flow"]["subscribers"][0]["state"]["since"] == 1_735_725_600.0
    assert second["/subscribers"]["subscribers"][0]["state"] == "can't start"
    assert second["/subscribers"]["subscribers"][0]["total"]["lag"] == 2
    assert "no <b>token</b>" in second["/flow"]["subscribers"][0]["state"]["reason"]
    assert not any("<b>token" in page for page in (await pages(browser)).values())


async def test_pause_comes_from_the_log(world: World, browser: Browser) -> None:
    """Reports from before the pause and from before the resumption change nothing."""
    ask = Asking(browser.client)
    world.api.daemon.dispatchers[TARGET] = world.api.dispatch.dispatcher()
    read_from_topic(world, "stale", {"subscribers": a_share("delivering", lag=1)})
    await ask.post(f"/subscribers/{TARGET}/pause", by="Anna", reason="maintenance")
    paused = await answers(browser)
    read_from_topic(world, "stale", {"subscribers": a_share("paused", lag=1)})
    await ask.post(f"/subscribers/{TARGET}/resume", by="Anna")
    world.api.clock.jump(6.0)
    resumed = await answers(browser)

    assert paused["/subscribers"]["subscribers"][0]["state"] == "paused"
    assert paused["/flow"]["subscribers"][0]["state"]["word"] == "paused"
    assert resumed["/subscribers"]["subscribers"][0]["state"] == "delivering"
    assert resumed["/flow"]["subscribers"][0]["state"]["word"] == "delivering"


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_two_owners_of_one_channel(world: World, browser: Browser, order: tuple[str, str]) -> None:
    """The newest owner counts, and a process that does not read the channel hides no owner."""
    owners = {
        "a": {"word": "reading", "level": "good", "per_second": 12.0, "verified_at": 1.0},
        "b": {"word": "reading", "level": "good", "per_second": 5.0, "verified_at": 2.0},
    }
    for name in order:
        read_from_topic(world, name, {"channels": {CHANNEL: owners[name]}})
    elsewhere = {"word": "elsewhere", "level": "quiet", "per_second": None, "verified_at": None}
    read_from_topic(world, "c", {"channels": {CHANNEL: elsewhere}})
    channel = (await answers(browser))["/flow"]["channels"][0]

    assert channel["state"]["word"] == "reading"
    assert channel["per_second"] == 5.0


async def test_age_of_a_report(world: World, browser: Browser) -> None:
    """A clock may be ahead; a silent process is missing, and later forgotten."""
    for age_s in (-30, -20, 0, 39, 44, 46, 590, 620):
        read_from_topic(world, f"p{age_s}", STATE, age_s=age_s)
    found = await answers(browser)

    assert (await subscriber(browser))["total"]["lag"] == 3 * 5
    assert sorted(found["/flow"]["process"]["others"]) == ["p-20", "p-30", "p0", "p39", "p44"]
    assert [each.split()[0] for each in found["/flow"]["process"]["missing"]] == ["p46", "p590"]
    await pages(browser)


async def test_process_that_crashed_and_came_back_counts_once(world: World, browser: Browser) -> None:
    """The new process has the work of the former one, whose last report is still young."""
    tell(world.api, "streamer-1", STATE, age_s=20)
    records = world.api.log.processes.records
    records[0] = replace(records[0], instance="former")
    tell(world.api, "streamer-1", {"subscribers": a_share(lag=1)})
    found = await answers(browser)

    assert found["/flow"]["process"]["others"] == ["streamer-1"]
    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 1
    assert found["/flow"]["process"]["missing"] == []


async def test_process_that_left_comes_back(world: World, browser: Browser) -> None:
    """A farewell ends the process, and a later start counts."""
    read_from_topic(world, "p", STATE, age_s=30)
    read_from_topic(world, "p", None, age_s=20)
    gone = await subscriber(browser)
    tell(world.api, "p", {"subscribers": a_share(lag=1)})
    world.api.clock.jump(6.0)

    assert gone["total"] is None
    assert (await subscriber(browser))["total"]["lag"] == 1


async def test_log_that_fails_shows_the_last_reports(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers can be 15 s old; each page then says why, and 45 seconds later nobody answers."""
    read_from_topic(world, "streamer-1", STATE)
    await answers(browser)
    monkeypatch.setattr(world.api.log.processes, "newest", broken)
    world.api.clock.jump(16.0)
    found = await answers(browser)
    shown = await pages(browser)
    world.api.clock.jump(60.0)
    late = await answers(browser)

    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 3
    assert any("has no partitions" in each for each in found["/flow"]["process"]["missing"])
    assert all("has no partitions" in words(page) for page in shown.values())
    assert late["/subscribers"]["subscribers"][0]["total"] is None


async def broken(*, since: float) -> list[ProcessRecord]:
    """Find a topic that is not as it must be."""
    raise LogMisconfigured(f"the topic has no partitions since {since}")
