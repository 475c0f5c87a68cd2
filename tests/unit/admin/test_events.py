"""The API finds events, and tells what happened to each event."""

from contextlib import ExitStack
from dataclasses import replace

from streamer.admin.context import MOST_SEARCHES
from streamer.app.chains.verdicts import RouteVerdict
from streamer.controls import AuditRecord
from streamer.events import Reject, Retry, Stage, SubscriberName
from tests.contracts.values import a_dead_letter, a_receipt, an_event
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET

IDLE = SubscriberName("idle")


async def test_events_are_listed_newest_first(world: World, ask: Asking) -> None:
    """By the filters of the query, with their places and without their data."""
    await world.deliver(1, 2, key="001000000000001AAA")
    await world.deliver(3, key="001000000000002AAB")
    _, every = await ask.get("/events")
    _, some = await ask.get("/events?record=001000000000001&type=salesforce.cdc.*&order=oldest&limit=1")
    _, more = await ask.get(
        f"/events?record=001000000000001&type=salesforce.cdc.*&order=oldest&cursor={some['cursor']}"
    )

    assert {each["id"] for each in every["events"]} == {"1", "2", "3"}
    assert (every["is_whole"], every["cursor"], every["scanned"]) == (True, None, 3)
    assert [each["id"] for each in (*some["events"], *more["events"])] == ["1", "2"]
    assert (some["is_whole"], more["is_whole"]) == (False, True)
    first = some["events"][0]
    assert (first["topic"], first["offset"], "data" in first) == ("salesforce.cdc.Account", 0, False)


async def test_mistakes_of_a_search_are_named(ask: Asking) -> None:
    """Before anything is read."""
    for query, word in (
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("since=2020-01-01", "since"),
        ("x=1", "x"),
    ):
        status, body = await ask.get(f"/events?{query}")
        assert (status, word in body["error"]) == (400, True), query


async def test_searches_at_a_time_are_few(world: World, ask: Asking) -> None:
    """Each takes memory of the daemon until it ends, and its client need not wait for that."""
    with ExitStack() as under_way:
        for _ in range(MOST_SEARCHES):
            under_way.enter_context(world.context.searching())
        for path in ("/events", "/events/1"):
            status, body = await ask.get(path)
            assert (status, "searches, which is the limit" in body["error"]) == (409, True)
    assert (await ask.get("/events"))[0] == 200


async def test_search_at_the_end_of_time_is_answered(world: World, ask: Asking) -> None:
    """A time in UTC can lie outside of the years that there are."""
    await world.deliver(1)
    for query in ("until=9999-12-31T23:59:59-23:00", "since=0001-01-01T00:00:00%2B23:00"):
        assert (await ask.get(f"/events?{query}"))[0] == 200
        assert (await ask.get(f"/events/none?{query}"))[0] == 404


async def test_story_of_a_dead_letter(world: World, ask: Asking) -> None:
    """The log holds the event, its letter and its place; the other subscriber does not select it."""
    world.dispatch.target.answers["1"].append(Reject(reason="422 no such field"))
    world.daemon.verdicts[IDLE, "1"] = RouteVerdict(
        subscriber=IDLE, matches=False, why="on matches only these types: x"
    )
    await world.deliver(1)
    status, story = await ask.get("/events/1")

    target, idle = story["subscribers"]
    assert (status, story["event"]["id"], story["log"]["offset"]) == (200, "1", 0)
    assert (target["state"], idle["state"]) == ("dead_letter", "filtered")
    assert "422 no such field" in target["said"][0]
    assert "on matches only these types: x" in idle["said"][0]
    assert any("time of the append" in each for each in story["not_kept"])
    assert any("without `receipts`: target, idle" in each for each in story["not_kept"])


async def test_story_of_a_parked_event_and_the_one_behind_it(world: World, ask: Asking) -> None:
    """The second names the first."""
    world.dispatch.target.answers["1"] += [Retry(reason="answered 503")] * 20
    await world.dispatch.append(1, 2, key="k")
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.turn(30)
        _, first = await ask.get("/events/1")
        _, second = await ask.get("/events/2")

    assert [each["subscribers"][0]["state"] for each in (first, second)] == ["parked", "parked"]
    assert "answered 503" in first["subscribers"][0]["said"][0]
    assert second["subscribers"][0]["parked"]["head_id"] == "1"
    assert "parked behind event 1 " in second["subscribers"][0]["said"][0]


async def test_story_without_the_event(world: World, ask: Asking) -> None:
    """Retention has deleted it; its letter tells what is known."""
    world.keep(
        a_dead_letter("7:target", stage=Stage.DISPATCH),
        event=an_event("7"),
        subscriber=TARGET,
        partition=None,
    )
    status, story = await ask.get("/events/7")

    assert (status, story["log"]) == (200, None)
    assert "no longer holds the event" in " ".join(story["said"])
    assert [each["state"] for each in story["subscribers"]] == ["dead_letter", "filtered"]


async def test_story_of_what_could_not_be_read(world: World, ask: Asking) -> None:
    """Found by the id that came beside it; its bytes are shown by the dead letter alone."""
    letter = replace(a_dead_letter("/data/ChangeEvents:17"), event=None)
    world.keep(letter)
    status, story = await ask.get(f"/events/{letter.event_uuid}")

    assert (status, story["event"], story["subscribers"]) == (200, None, [])
    [aside] = story["set_aside_by_ingest"]
    assert (aside["reason"], "raw" in aside) == ("unreadable", False)
    assert "Ingest set the event aside" in story["said"][0]


async def test_unknown_event_is_not_found(ask: Asking) -> None:
    """With what can be the reason."""
    status, body = await ask.get("/events/nothing:1:001000000000001AAA")
    assert (status, "its retention is over" in body["error"]) == (404, True)


async def test_redrives_that_can_have_covered_it_are_told(world: World, ask: Asking) -> None:
    """Those of other keys, other letters and other subscribers are not."""
    await world.deliver(1, key="k")
    world.log.receipts.append(replace(a_receipt("1"), subscriber=TARGET))
    for id_, subscriber, meant in (
        ("r1", TARGET, {}),
        ("r2", TARGET, {"key": "other"}),
        ("r3", TARGET, {"ids": ["1:target"]}),
        ("r4", TARGET, {"ids": ["2:target"]}),
        ("r5", IDLE, {}),
    ):
        detail = {"id": id_, "meant": meant}
        at = world.clock.now()
        await world.log.controls.note(
            AuditRecord(at=at, what="redrive.ordered", by="anna", subscriber=subscriber, detail=detail)
        )
    _, story = await ask.get("/events/1")

    target = story["subscribers"][0]
    assert target["state"] == "delivered"
    assert [each["id"] for each in target["redrives"]] == ["r1", "r3"]


async def test_log_that_is_down_is_told(world: World, ask: Asking) -> None:
    """As for every other resource."""
    world.log.faults.down = True
    for path in ("/events", "/events/1"):
        status, body = await ask.get(path)
        assert (status, "the log is down" in body["error"]) == (503, True)
