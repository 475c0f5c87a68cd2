"""The API adds up what the processes of one log report, and names those that do not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from streamer.admin.processes.reports import OwnReports, ProcessReports
from streamer.errors import LogUnavailable
from streamer.ports import ProcessRecord, ProcessRecordKind
from tests.unit.admin.processes.others import a_key, a_share, failing, tell
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET


@pytest.fixture
def world() -> World:
    """One subscriber at work in this process."""
    return World()


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asking]:
    """An operator who asks the API of this process."""
    async with world.asking() as asking:
        yield asking


async def subscriber(ask: Asking) -> Any:
    """Return the first subscriber of the API."""
    return (await ask.get("/subscribers"))[1]["subscribers"][0]


async def test_waiting_events_of_all_processes_are_added_up(world: World, ask: Asking) -> None:
    """The oldest event counts, and this process's share stays visible."""
    world.daemon.dispatchers[TARGET] = world.dispatch.dispatcher()
    tell(world, "streamer-1", {"subscribers": a_share(lag=3, oldest_waits_s=40.0, parked=1)})
    tell(world, "streamer-2", {"subscribers": a_share(lag=4, oldest_waits_s=90.0)})
    found = await subscriber(ask)

    assert (found["here"]["lag"], found["state"]) == (0, "delivering")
    total = found["total"]
    assert (total["lag"], total["oldest_waits_s"], total["parked"], total["limit"]) == (
        7,
        90.0,
        1,
        20 + found["here"]["limit"],
    )


async def test_worst_state_counts_since_its_beginning(world: World, ask: Asking) -> None:
    """A target that one process finds down is down, since the first failure in any process."""
    tell(world, "streamer-1", {"subscribers": a_share("failing", failing=failing("10:00:00", "10:09:00"))})
    down = failing("10:05:00", "10:20:00", count=3, error="answered 500")
    tell(
        world,
        "streamer-2",
        {
            "subscribers": a_share(
                "target down", breaker="open", down_since="2025-01-01T10:05:00Z", failing=down
            )
        },
    )
    found = await subscriber(ask)
    total = found["total"]

    assert (found["state"], found["here"], total["breaker"]) == ("target down", None, "open")
    assert total["down_since"] == "2025-01-01T10:05:00Z"
    assert total["failing"] == failing("10:00:00", "10:20:00", count=4, error="answered 500")


async def test_pause_is_not_taken_from_a_report(world: World, ask: Asking) -> None:
    """The log tells every process at once, and a report can be older than the order."""
    world.daemon.dispatchers[TARGET] = world.dispatch.dispatcher()
    tell(world, "streamer-1", {"subscribers": a_share("paused")})

    assert (await subscriber(ask))["state"] == "delivering"


async def test_parked_keys_of_all_processes_are_listed(world: World, ask: Asking) -> None:
    """In the order of their next attempt, each with its process; a filter admits some of them."""
    first, second = a_key("a", "10:00:00"), a_key("b", "09:00:00")
    tell(world, "streamer-1", {"parked_keys": {TARGET: 70}, "parked": [first]})
    tell(world, "streamer-2", {"parked_keys": {TARGET: 1}, "parked": [second]})
    _, every = await ask.get("/parked")
    _, one = await ask.get(f"/parked?subscriber={TARGET}&key=a")
    _, none = await ask.get("/parked?subscriber=idle")

    assert [(each["key"], each["process"]) for each in every["parked"]] == [
        ("b", "streamer-2"),
        ("a", "streamer-1"),
    ]
    assert (every["total"], every["by_subscriber"], every["not_here"]) == (71, {TARGET: 71}, ["idle"])
    assert (one["total"], [each["key"] for each in one["parked"]]) == (1, ["a"])
    assert (none["total"], none["parked"]) == (0, [])


async def test_problems_of_all_processes_are_grouped(world: World, ask: Asking) -> None:
    """One target that is down in two processes is one problem with the events of both."""
    down = {"kind": "target_down", "error": "answered 503", "subscriber": TARGET, "count": 2}
    tell(world, "streamer-1", {"problems": [down]})
    tell(world, "streamer-2", {"problems": [down, {"kind": "process_waits", "error": "no login"}]})
    problems = (await ask.get("/problems"))[1]["problems"]

    assert sorted((each["kind"], each["error"], each["count"]) for each in problems) == [
        ("process_waits", "streamer-2: no login", 1),
        ("target_down", "answered 503", 4),
    ]


async def test_silent_process_is_missing_and_not_counted(world: World, ask: Asking) -> None:
    """Its last numbers are no longer true, and the sentence says how old they are."""
    tell(world, "streamer-1", {"subscribers": a_share(lag=3)}, age_s=120)
    tell(world, "streamer-2", {"subscribers": a_share(lag=4)}, age_s=44)
    found = await subscriber(ask)

    assert found["total"]["lag"] == 4
    missing = ["streamer-1 has gone or does not answer: its last report is 2 min old."]
    assert world.context.reports.missing == missing
    for path in ("/subscribers", "/parked", "/problems"):
        assert (await ask.get(path))[1]["missing"] == missing


async def test_process_that_started_again_is_not_missing(world: World, ask: Asking) -> None:
    """Its name is the former one, as that of a pod is."""
    tell(world, "streamer-1", {"subscribers": a_share(lag=3)}, age_s=120)
    tell(world, "streamer-1", {"subscribers": a_share(lag=1)})
    world.log.processes.records[0] = replace(world.log.processes.records[0], instance="former")

    assert (await subscriber(ask))["total"]["lag"] == 1
    assert world.context.reports.missing == []


async def test_two_live_processes_of_one_name_both_count(world: World, ask: Asking) -> None:
    """Two pods in the network of one node have its name; neither has replaced the other."""
    tell(world, "node", {"subscribers": a_share(lag=3)}, age_s=9)
    tell(world, "node", {"subscribers": a_share(lag=1)})
    world.log.processes.records[0] = replace(world.log.processes.records[0], instance="another")

    assert (await subscriber(ask))["total"]["lag"] == 4


async def test_process_whose_clock_is_ahead_is_named(world: World, ask: Asking) -> None:
    """Otherwise it would count for an hour after its end."""
    tell(world, "streamer-1", {"subscribers": a_share(lag=3)}, age_s=-3_600)

    assert (await subscriber(ask))["total"] is None
    (missing,) = world.context.reports.missing
    assert missing.startswith("streamer-1 is not counted, because its clock is 60 min ahead: ")


@pytest.mark.parametrize(
    "body",
    [
        {"subscribers": {TARGET: {"state": "delivering", "here": {"lag": "many"}}}},
        {"subscribers": [1]},
        {"parked": [{}]},
        {"problems": [{"kind": "unheard of"}]},
        {"problems": [{"kind": "target_down"}]},
        {"problems": [{"kind": "hole", "subscriber": TARGET}]},
    ],
)
async def test_damaged_report_is_named_and_left_out(world: World, ask: Asking, body: Any) -> None:
    """The reports of the others count."""
    tell(world, "streamer-1", body)
    tell(world, "streamer-2", {"subscribers": a_share(lag=4)})

    assert (await subscriber(ask))["total"]["lag"] == 4
    assert world.context.reports.missing == [
        "streamer-1 reports in a form that this version of Streamer can't read."
    ]


async def test_process_reads_its_own_report_from_nobody(world: World, ask: Asking) -> None:
    """It knows better, and would count itself twice."""
    await world.context.reports.own.report(ProcessRecordKind.STATE, {"subscribers": a_share(lag=4)})

    assert len(world.log.processes.records) == 1
    assert (await subscriber(ask))["total"] is None


async def test_page_waits_a_second_for_the_reports(world: World) -> None:
    """And then shows this process with a sentence about the others."""
    reports = ProcessReports(own=OwnReports(clock=world.clock, records=lambda: Stuck(world)))
    refreshing = asyncio.create_task(reports.refresh())
    await world.clock.turn(1.5)
    await refreshing

    assert reports.answering == []
    assert reports.missing == ["Reading the reports of the processes from the log took longer than 1 s."]


async def test_slow_reading_is_on_the_next_page(world: World) -> None:
    """A Kafka that needs two seconds for each answer hides no process."""
    tell(world, "streamer-1", {"subscribers": a_share(lag=4)})
    reports = ProcessReports(own=OwnReports(clock=world.clock, records=lambda: Stuck(world)))
    for _ in range(2):
        refreshing = asyncio.create_task(reports.refresh())
        await world.clock.turn(8.0)
        await refreshing

    assert [name for name, _ in reports.answering] == ["streamer-1"]
    assert reports.missing == []


async def test_quiet_console_accuses_nobody(world: World) -> None:
    """Nobody looked for a minute, and the log is slow now: that says nothing about the others."""
    records = Stuck(world)
    reports = ProcessReports(own=OwnReports(clock=world.clock, records=lambda: records))
    tell(world, "streamer-1", {"subscribers": a_share(lag=4)})
    for pause_s in (8.0, 60.0, 1.5):
        refreshing = asyncio.create_task(reports.refresh())
        await world.clock.turn(pause_s)
        await refreshing

    assert reports.answering == []
    assert reports.missing == ["Reading the reports of the processes from the log took longer than 1 s."]


async def test_process_that_leaves_is_not_missed(world: World, ask: Asking) -> None:
    """A rollout must not look like an outage; nothing follows the farewell."""
    reports = OwnReports(clock=world.clock, records=lambda: world.log.processes, name="streamer-1")
    await reports.report(ProcessRecordKind.STATE, {"subscribers": a_share(lag=4)})
    await reports.leave()
    await reports.report(ProcessRecordKind.STATE, {"subscribers": a_share(lag=4)})

    assert ((await subscriber(ask))["total"], world.context.reports.missing) == (None, [])


async def test_leaving_ends_while_the_log_is_away(world: World) -> None:
    """A stop must not wait for an outage."""
    reports = OwnReports(clock=world.clock, records=lambda: world.log.processes)
    await reports.report(ProcessRecordKind.STATE, {})
    world.log.faults.down = True

    await reports.leave()


async def test_subscriber_without_a_report_is_as_it_was(world: World, ask: Asking) -> None:
    """A log with one process costs nothing and shows the same as before."""
    world.daemon.dispatchers[TARGET] = world.dispatch.dispatcher()
    found = await subscriber(ask)

    assert found["total"] == found["here"] is not None


class Stuck:
    """Records of a log that answers each reader after two seconds."""

    def __init__(self, world: World) -> None:
        """Answer from the log of `world`."""
        self._world = world

    async def report(self, record: ProcessRecord, /) -> None:  # noqa: ARG002 - the port's shape
        """Refuse."""
        raise LogUnavailable("down")

    async def newest(self, *, since: float) -> list[ProcessRecord]:
        """Take longer than a page waits."""
        await self._world.clock.sleep(2.0)
        return [*await self._world.log.processes.newest(since=since)]

    async def samples(self, *, since: float) -> list[ProcessRecord]:
        """Answer as slowly."""
        return await self.newest(since=since)
