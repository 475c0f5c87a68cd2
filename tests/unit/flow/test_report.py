"""The report gathers the map from the daemon's parts and from the log."""

from dataclasses import replace
from os import getpid
from socket import gethostname

import pytest

from streamer.admin.problems.findings import ProcessCondition
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.events import Channel, FailureClass, HoleCause, Repair, Retry, SubscriberName
from streamer.flow.flow_map import MAP_JSON, Level
from streamer.flow.report import FlowReport
from streamer.settings import Settings
from tests.unit.admin.test_problem_findings import HOLE
from tests.unit.admin.world import SETTINGS, Asking, World
from tests.unit.dispatch.world import TARGET


async def test_dead_letters_are_counted_at_their_subscriber(world: World, report: FlowReport) -> None:
    """All of them, and the latest are listed."""
    for number in range(8):
        await world.fail(number)
        await world.clock.turn(1)
    facts = await report.facts()
    target, idle = facts.map.subscribers

    assert (target.name, target.dead_letters, idle.dead_letters) == (TARGET, 8, 0)
    assert [each["event_id"] for each in facts.letters] == ["7", "6", "5", "4", "3"]
    assert [each.page for each in facts.map.troubles] == [f"/dead-letters?subscriber={TARGET}"]


async def test_waiting_events_are_shown_with_their_age(world: World, report: FlowReport) -> None:
    """And the reason for which they wait."""
    world.dispatch.target.answers["1"] += [Retry(reason="answered 503", failure=FailureClass.HTTP_5XX)] * 9
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1)
        await world.dispatch.quiet()
        target, idle = (await report.facts()).map.subscribers

    assert (target.lag, target.state.word, target.state.reason) == (1, "failing", "answered 503")
    assert (idle.lag, idle.state.word, idle.per_second) == (None, "not here", None)


async def test_target_that_is_down_says_since_when(world: World, report: FlowReport) -> None:
    """On the map, in the API, and in words."""
    world.dispatch.target.down = True
    world.dispatch.breaker = BreakerLimits(minimum=3)
    down_at = world.clock.now()
    await world.dispatch.append(*"abcde")
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.turn(720)
        state = (await report.facts()).map.subscribers[0].state
        served = MAP_JSON.validate_python(await report.as_json()).subscribers[0].state

    assert (state.word, state.since, served) == ("target down", down_at, state)
    assert state.headline == "target down since 00:00 UTC (12 min)"


async def test_hole_that_problems_no_longer_show_is_not_on_the_map(world: World, report: FlowReport) -> None:
    """One rule decides for both: a complete snapshot of the object has filled the hole."""
    path, now = "/data/ChangeEvents", world.clock.now()
    lost = replace(HOLE, channel=Channel(org=HOLE.channel.org, path=path), recorded_at=now - 100)
    world.log.continuity.append(lost)
    before = (await report.facts()).map.channels[0].lasting_holes
    filled = replace(lost, id="2", cause=HoleCause.SNAPSHOT, state=Repair.FULL, recorded_at=now - 50)
    world.log.continuity.append(filled)
    await world.clock.turn(31)
    after = (await report.facts()).map.channels[0].lasting_holes

    assert (before, after) == (1, 0)


async def test_plugin_that_can_not_open_is_broken(world: World, report: FlowReport) -> None:
    """It is not the subscriber of another process."""
    blocked = {SubscriberName("idle"): "no such file"}
    world.context.views.condition = lambda: ProcessCondition(blocked_plugins=blocked)
    _, idle = (await report.facts()).map.subscribers

    assert (idle.state.word, idle.state.level, idle.state.reason) == (
        "can't start",
        Level.BAD,
        "no such file",
    )


async def test_log_that_is_away_leaves_the_map(world: World, report: FlowReport) -> None:
    """The parts of the configuration stay, and the log says what is wrong."""
    world.context._log = None
    found = (await report.facts()).map

    assert [each.name for each in found.subscribers] == [TARGET, "idle"]
    assert {each.state.word for each in found.subscribers} == {"unknown"}
    assert (found.log.state.word, found.log.state.level) == ("unavailable", Level.BAD)
    assert "The log is not open" in found.problem
    assert found.troubles[0].name == "SQLite log"


@pytest.mark.usefixtures("report")
async def test_api_serves_the_map(ask: Asking) -> None:
    """For programs, and for `streamer flow --live`."""
    status, found = await ask.get("/flow")

    assert status == 200
    assert found["org"] == {"host": "acme.my.salesforce.com", "kind": "production"}
    assert [each["path"] for each in found["channels"]] == ["/data/ChangeEvents"]
    assert [each["name"] for each in found["subscribers"]] == [TARGET, "idle"]
    assert found["log"]["state"] == {
        "word": "available", "level": "good", "reason": "", "since": None, "lasts_s": 0.0
    }  # fmt: skip


async def test_daemon_that_does_not_serve_the_map_yet_says_so(ask: Asking) -> None:
    """As for a support bundle."""
    status, answer = await ask.get("/flow")

    assert (status, "try again later" in answer["error"]) == (503, True)


async def test_map_names_its_process(world: World, report: FlowReport) -> None:
    """A log in SQLite has one process, and a log in Kafka can have more, with consoles of their own."""
    alone = (await report.facts()).map.process
    kafka = {**SETTINGS.model_dump(mode="python"), "log": {"kafka": {"bootstrap_servers": "kafka:9092"}}}
    kafka["admin"] = {"console": {"others": ["https://streamer-1.example.com/console"]}}
    world.daemon.plan.settings = Settings.model_validate(kafka)
    shared = (await report.facts()).map.process

    assert alone.name == f"{gethostname()} pid {getpid()}"
    assert alone.names == f"1 process: {alone.name} (this one)"
    assert (alone.is_shared, shared.is_shared) == (False, True)
    assert shared.consoles == ("https://streamer-1.example.com/console",)
