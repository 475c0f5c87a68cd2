"""Subscribers are seen, paused, resumed and tried out over the API."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from streamer.admin.subscribers import DeliveryState, delivery_state
from streamer.clock import SystemClock
from streamer.controls import Switch
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.events import Delivered, FailureClass, Hold, Reject, Retry, SubscriberName
from streamer.known_secrets import KNOWN
from streamer.observe.subscriber_status import LastFailure, SubscriberStatus
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.lookups.world import Counted, HeldRecords, account_id, an_enrichment
from tests.unit.dispatch.world import TARGET, route
from tests.waiting import awaited

FAILURE = LastFailure(error="answered 503", failure=FailureClass.HTTP_5XX, since=1.0, at=2.0, count=3)


async def test_every_configured_subscriber_is_listed(world: World, ask: Asking) -> None:
    """Those that this process does not deliver to as well, which others may."""
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        status, body = await ask.get("/subscribers")

    here, elsewhere = body["subscribers"]
    assert (status, here["name"], here["uses"], here["switch"]) == (200, TARGET, "slack", "running")
    assert here["here"] == {
        "held": "", "breaker": "closed", "down_since": None, "lag": 0, "oldest_waits_s": 0.0, "late": "",
        "waiting": 0, "parked": 0, "in_flight": 0, "limit": 8, "failing": None, "next_try": None,
    }  # fmt: skip
    assert (elsewhere["name"], elsewhere["here"]) == ("idle", None)


async def test_what_is_in_hand_is_shown(world: World, ask: Asking) -> None:
    """Attempts under way, and events that wait behind them."""
    world.dispatch.target.hang()
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1, 2, key="k")
        await world.dispatch.quiet()
        _, body = await ask.get("/subscribers")
        world.dispatch.target.release()

    assert body["subscribers"][0]["here"] == {
        "held": "", "breaker": "closed", "down_since": None, "lag": 2, "oldest_waits_s": 0.0, "late": "",
        "waiting": 2, "parked": 0, "in_flight": 1, "limit": 8, "failing": None, "next_try": None,
    }  # fmt: skip


async def test_list_says_why_deliveries_fail_and_when_the_next_is_tried(world: World, ask: Asking) -> None:
    """The last error with its class, its time and the number of failures."""
    world.dispatch.target.answers["1"] += [Retry(reason="answered 503", failure=FailureClass.HTTP_5XX)]
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1)
        await world.dispatch.quiet()
        _, body = await ask.get("/subscribers")

    here = body["subscribers"][0]["here"]
    assert body["subscribers"][0]["state"] == "failing"
    assert here["failing"] == {
        "error": "answered 503",
        "class": "http_5xx",
        "since": "2025-01-01T00:00:00.000000Z",
        "at": "2025-01-01T00:00:00.000000Z",
        "count": 1,
    }
    assert here["next_try"] == "2025-01-01T00:00:01.000000Z"


async def test_state_is_one_word_for_the_api_the_command_and_the_console(world: World, ask: Asking) -> None:
    """The list that a script reads and the list that a person reads agree."""
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        _, before = await ask.get("/subscribers")
        await ask.post(f"/subscribers/{TARGET}/pause")
        _, after = await ask.get("/subscribers")
        said = await ask.command("subscribers", "list")

    assert [each["state"] for each in before["subscribers"]] == ["delivering", "not here"]
    assert [each["state"] for each in after["subscribers"]] == ["paused", "not here"]
    assert "paused" in said.stdout
    assert "not here" in said.stdout


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, DeliveryState.DELIVERING),
        ({"last_failure": FAILURE}, DeliveryState.DELIVERING),
        ({"last_failure": FAILURE, "lag": 1}, DeliveryState.FAILING),
        ({"last_failure": FAILURE, "parked": 1}, DeliveryState.FAILING),
        ({"last_failure": FAILURE, "lag": 1, "is_held": True}, DeliveryState.FAILING),
        ({"is_held": True}, DeliveryState.HELD),
        ({"at": 99.0, "oldest_at": 1.0, "deliver_within_s": 9.0, "is_held": True}, DeliveryState.LATE),
        ({"is_held": True, "is_down": True}, DeliveryState.TARGET_DOWN),
    ],
)
def test_subscriber_fails_only_while_an_event_waits(change: dict[str, Any], state: DeliveryState) -> None:
    """After its only failing event became a dead letter, it delivers whatever comes."""
    status = SubscriberStatus(
        lag=0, waiting=0, parked=0, in_flight=0, limit=8, hindrance="", is_held=False, is_down=False
    )

    assert delivery_state(replace(status, **change)) is state
    assert delivery_state(None, is_paused=True, is_blocked=True) is DeliveryState.PAUSED
    assert delivery_state(None, is_blocked=True) is DeliveryState.CANT_START


async def test_pause_is_kept_in_the_log_with_who_and_why(world: World, ask: Asking) -> None:
    """Every process obeys it, and the audit names the operator."""
    status, body = await ask.post(f"/subscribers/{TARGET}/pause", reason="ERP is upgraded", by="anna")

    control = (await world.context.control_state()).controls[TARGET]
    [record] = await world.log.controls.audit(last=9)
    assert (status, body["switch"], body["reason"], body["by"]) == (200, "paused", "ERP is upgraded", "anna")
    assert (control.switch, control.by, control.reason) == (Switch.PAUSED, "anna", "ERP is upgraded")
    assert (record.what, record.by, record.detail) == (
        "subscriber.paused", "anna", {"reason": "ERP is upgraded"}
    )  # fmt: skip


async def test_secret_that_an_operator_pastes_is_not_kept(world: World, ask: Asking) -> None:
    """The audit keeps words for months, and every operator reads them."""
    KNOWN.configure(["hunter-of-secrets"])
    words = "the token hunter-of-secrets is wrong"
    _, body = await ask.post(f"/subscribers/{TARGET}/pause", reason=words, by="hunter-of-secrets")

    control = (await world.context.control_state()).controls[TARGET]
    [record] = await world.log.controls.audit(last=9)
    assert (body["reason"], body["by"]) == ("the token *** is wrong", "***")
    assert "hunter" not in f"{control}{record}"


async def test_second_pause_keeps_the_reason_of_the_first(world: World, ask: Asking) -> None:
    """The reason for which events wait still holds; the audit has both."""
    _, first = await ask.post(f"/subscribers/{TARGET}/pause", reason="ERP is upgraded", by="anna")
    status, second = await ask.post(f"/subscribers/{TARGET}/pause", reason="me too", by="ben")

    control = (await world.context.control_state()).controls[TARGET]
    records = await world.log.controls.audit(last=9)
    assert (status, first["was_paused"], second["was_paused"]) == (200, False, True)
    assert (second["by"], second["reason"], second["since"]) == ("anna", "ERP is upgraded", first["since"])
    assert (control.by, control.reason) == ("anna", "ERP is upgraded")
    assert [(each.by, each.detail["reason"]) for each in records] == [
        ("anna", "ERP is upgraded"),
        ("ben", "me too"),
    ]


async def test_resume_undoes_a_pause(world: World, ask: Asking) -> None:
    """Whoever does not say who it is, is an operator."""
    await ask.post(f"/subscribers/{TARGET}/pause")
    _, body = await ask.post(f"/subscribers/{TARGET}/resume")

    assert (body["switch"], body["by"]) == ("running", "operator")
    assert not (await world.context.control_state()).pauses(TARGET)
    assert (await world.log.controls.audit(last=1))[0].what == "subscriber.resumed"


async def test_probe_ends_a_hold_at_once(world: World, ask: Asking) -> None:
    """An operator who has mended the target does not wait for the hour that it asked for."""
    world.dispatch.target.answers["1"].append(Hold(reason="401 bad key", after_s=3600.0))
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1)
        await world.dispatch.quiet()
        assert world.dispatch.target.delivered == []
        status, body = await ask.post(f"/subscribers/{TARGET}/probe", by="anna")
        await world.dispatch.quiet()

    [record] = await world.log.controls.audit(last=9)
    assert (status, body["was_held"]) == (200, "401 bad key")
    assert world.dispatch.target.delivered == ["1"]
    assert (record.what, record.by, record.detail) == ("subscriber.probed", "anna", {"reason": "401 bad key"})


async def test_probe_tries_a_target_that_was_down_at_once(world: World, ask: Asking) -> None:
    """The breaker does not wait for its time."""
    world.dispatch.breaker = BreakerLimits(minimum=3, open_s=600.0, max_open_s=600.0)
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        world.dispatch.target.down = True
        await world.dispatch.append(*range(3))
        await world.dispatch.quiet()
        world.dispatch.target.down = False
        await world.dispatch.turn(60)
        assert world.dispatch.target.delivered == []
        _, body = await ask.post(f"/subscribers/{TARGET}/probe")
        await world.dispatch.turn(10)

    assert "of the last 3 attempts failed" in body["was_held"]
    assert sorted(world.dispatch.target.delivered) == ["0", "1", "2"]


async def test_probe_of_what_can_not_be_tried_is_refused(ask: Asking) -> None:
    """With what to do instead."""
    elsewhere = await ask.post("/subscribers/idle/probe")
    await ask.post(f"/subscribers/{TARGET}/pause")
    paused = await ask.post(f"/subscribers/{TARGET}/probe")

    assert (elsewhere[0], "This process does not deliver to" in elsewhere[1]["error"]) == (409, True)
    assert (paused[0], "resume the subscriber instead" in paused[1]["error"]) == (409, True)


@pytest.mark.parametrize("what", ["pause", "resume", "probe", "test"])
async def test_unknown_subscriber_is_refused_with_the_known_names(ask: Asking, what: str) -> None:
    """A typing mistake must not look like a pause."""
    status, body = await ask.post(f"/subscribers/sales/{what}")

    assert status == 404
    assert body["error"] == "No configured subscriber has this name; configured subscribers: idle, target."


@pytest.mark.parametrize(
    ("body", "place"), [({"reson": "x"}, "reson"), ({"reason": 1}, "reason"), ({"by": ""}, "by")]
)
async def test_mistake_in_a_body_is_named(
    world: World, ask: Asking, body: dict[str, object], place: str
) -> None:
    """And nothing is switched."""
    status, answer = await ask.post(f"/subscribers/{TARGET}/pause", **body)

    assert (status, answer["error"].split(":")[0]) == (400, place)
    assert not (await world.context.control_state()).controls


async def test_test_event_is_delivered_once_and_enters_no_log(world: World, ask: Asking) -> None:
    """Whatever `when` says; it is marked as a test, and the audit knows of it."""
    world.daemon.plan.routes = {
        TARGET: route(when="data.never", body={"kind": "type", "is_test": "data.test"})
    }
    status, body = await ask.post(f"/subscribers/{TARGET}/test", by="anna")

    [record] = await world.log.controls.audit(last=9)
    assert (status, body["outcome"]) == (200, "delivered")
    [sent] = world.tried.deliveries
    assert (sent.event.id, sent.event.type) == (body["event"], "streamer.test")
    assert sent.body == {"kind": "streamer.test", "is_test": True}
    assert (world.log.events, world.log.letters, world.tried.entered) == ([], [], 0)
    assert (record.what, record.by, record.detail) == ("subscriber.tested", "anna", {"event": body["event"]})


async def test_test_event_carries_the_data_that_it_is_given(world: World, ask: Asking) -> None:
    """A template that needs a field can be tried; what says that it is a test can't be overruled."""
    world.daemon.plan.routes = {TARGET: route(text="{{ data.fields.Amount }} {{ data.test }}", strict=True)}
    broken = await ask.post(f"/subscribers/{TARGET}/test")
    given = await ask.post(f"/subscribers/{TARGET}/test", data={"fields": {"Amount": 7}, "test": False})

    assert broken[1]["outcome"] == "reject"
    assert "text fails on this event" in broken[1]["reason"]
    assert (given[1]["outcome"], world.tried.deliveries[0].text) == ("delivered", "7 True")


async def test_test_event_is_enriched_as_others_are(world: World, ask: Asking) -> None:
    """By the records that its data name."""
    records = RecordLookups(HeldRecords(), SystemClock(), LookupLimits(), Counted())
    enrich = {"account": {"sobject": "Account", "id": "data.fields.AccountId", "fields": ["Name"]}}
    world.daemon.enriches = lambda: an_enrichment(records, enrich, world.clock)
    world.daemon.plan.routes = {TARGET: route(text="{{ account.Name }}")}
    data = {"fields": {"AccountId": account_id(1)}}

    assert (await ask.post(f"/subscribers/{TARGET}/test", data=data))[1]["outcome"] == "delivered"
    assert world.tried.deliveries[0].text == "No 1"


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        (Delivered(answer={"id": "INV-1"}), "delivered", {"answer": '{"id":"INV-1"}'}),
        (
            Reject(reason="422", hint="mend it", answer="x" * 9_000),
            "reject",
            {"reason": "422", "hint": "mend it", "answer": "x" * 2_000},
        ),
        (Hold(reason="busy", after_s=60), "hold", {"reason": "busy", "after_s": 60, "answer": ""}),
        (ZeroDivisionError("oh"), "retry", {"reason": "the plugin raised ZeroDivisionError: oh"}),
    ],
)
async def test_what_came_of_a_test_event_is_told(
    world: World, ask: Asking, answer: Delivered | Exception, outcome: str, said: dict[str, object]
) -> None:
    """With the target's answer, cut where it is long."""
    world.tried.always = answer
    _, body = await ask.post(f"/subscribers/{TARGET}/test")

    assert body["outcome"] == outcome
    assert {name: body[name] for name in said} == said


async def test_plugin_that_can_not_be_opened_is_told(world: World, ask: Asking) -> None:
    """Such as one whose login is refused."""
    world.tried.opens = False
    status, body = await ask.post(f"/subscribers/{TARGET}/test")

    assert (status, body["outcome"]) == (200, "unopened")
    assert "can't be opened: OSError: no route" in body["reason"]


async def test_target_that_does_not_answer_ends_the_test(world: World, ask: Asking) -> None:
    """The limit is the subscriber's own."""
    world.tried.closed = True
    asked = asyncio.create_task(ask.post(f"/subscribers/{TARGET}/test"))
    await awaited(world.tried.has_begun.wait())
    await world.clock.turn(31)

    assert (await asked)[1]["reason"] == "the plugin did not return within 30 s"


async def test_subscriber_that_is_gone_is_not_listed(world: World, ask: Asking) -> None:
    """The configuration in effect counts, which may change while we run."""
    gone = {name: each for name, each in world.daemon.plan.settings.subscribers.items() if name != TARGET}
    world.daemon.plan.settings = world.daemon.plan.settings.model_copy(update={"subscribers": gone})

    assert [each["name"] for each in (await ask.get("/subscribers"))[1]["subscribers"]] == [
        SubscriberName("idle")
    ]


async def test_parked_keys_are_listed_with_their_errors(world: World, ask: Asking) -> None:
    """Those due first, of all subscribers of this process or of one; the total counts all of them."""
    error = "the target answered 503: " + "x" * 1_000
    for name in ("1", "2"):
        world.dispatch.target.answers[name].extend([Retry(reason=error)] * 100)
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append("1", key="k1")
        await world.dispatch.append("2", "3", key="k2")
        await world.dispatch.turn(20)
        status, body = await ask.get("/parked?first=1")
        _, one = await ask.get(f"/parked?subscriber={TARGET}&key=k2")

    assert (status, body["total"], len(body["parked"])) == (200, 2, 1)
    assert (body["by_subscriber"], body["not_here"]) == ({TARGET: 2}, ["idle"])
    [parked] = one["parked"]
    assert (parked["subscriber"], parked["key"], parked["events"]) == (TARGET, "k2", 2)
    assert (parked["attempts"], parked["state"]) == (max(world.dispatch.target.attempts), "waiting")
    assert parked["due_at"] > parked["first_failed_at"] == "2025-01-01T00:00:00.000000Z"
    assert parked["error"] == error[:300]
    assert (one["total"], one["not_here"]) == (1, [])


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        (
            "subscriber=sales",
            404,
            "No configured subscriber has this name; configured subscribers: idle, target.",
        ),
        ("first=0", 400, "first: must be at least 1"),
        ("first=100000", 400, "first: must be at most 1000"),
        ("last=1", 400, "last: no such key"),
    ],
)
async def test_mistake_in_a_request_for_parked_keys_is_named(
    ask: Asking, query: str, status: int, sentence: str
) -> None:
    """The list is bounded, whatever is asked."""
    answer = await ask.get(f"/parked?{query}")

    assert answer == (status, {"error": sentence})
