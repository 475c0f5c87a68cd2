"""Positions in the API: listing them, previewing a change, and ordering a new position."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from streamer.admin.checkpoints import replay_id_of
from streamer.admin.schemas import ApiError
from streamer.controls import AuditRecord, ChannelPosition, PositionOrder
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    EventId,
    HoleCause,
    OrgId,
    Repair,
    ReplayId,
)
from streamer.settings import Transport
from tests.contracts.values import an_event
from tests.unit.admin.world import Asking, World

CHANNEL = Channel(org=OrgId("00DXX0000000001EAA"), path="/data/ChangeEvents")
HOUR_S = 3600.0


@pytest.fixture
def known(world: World) -> Checkpoint:
    """The position of the channel, an hour old."""
    verified_at = world.clock.now() - HOUR_S
    checkpoint = Checkpoint(
        channel=CHANNEL,
        replay_id=ReplayId(b"41"),
        verified_at=verified_at,
        appended=(EventId("e"),),
        open_replay_id=ReplayId(b"42"),
        positioned_at=verified_at,
    )
    world.log.checkpoints[CHANNEL] = checkpoint
    return checkpoint


async def test_list_shows_every_channel(world: World, known: Checkpoint, ask: Asking) -> None:
    """Also those without a checkpoint, and those that are not configured any more."""
    old = Channel(org=OrgId("00DXX0000000001EAA"), path="/event/Old__e")
    world.log.checkpoints[old] = replace(known, channel=old, open_replay_id=ReplayId(b"\x01\x02"))
    _, body = await ask.get("/checkpoints")
    first, second = body["checkpoints"]

    assert (first["channel"], first["replay_id"], first["complete_replay_id"]) == (CHANNEL.path, "42", "41")
    assert (first["org"], first["transport"], first["configured"]) == (CHANNEL.org, "pubsub", True)
    assert first["expires_at"] > first["verified_at"]
    shown = (second["replay_id"], second["transport"], second["configured"])
    assert shown == ("base64:AQI=", "pubsub", False)
    world.log.checkpoints.clear()
    _, body = await ask.get("/checkpoints")
    assert [(each["channel"], each["replay_id"]) for each in body["checkpoints"]] == [(CHANNEL.path, None)]


async def sentences(ask: Asking, **asked: object) -> str:
    """Return what a dry run says."""
    status, body = await ask.post("/checkpoints", channel=CHANNEL.path, dry_run=True, **asked)
    assert status == 200, body
    return " ".join(body["effect"]["sentences"])


async def test_effects_are_told_in_words(world: World, known: Checkpoint, ask: Asking) -> None:
    """The effects name repeated events, lost events and the cost."""
    world.log.keep([an_event("001A"), an_event("001B")], known, (), ())
    back = await sentences(ask, place="earliest")
    assert "Repeated: nothing. Streamer skips events that the log already holds. Lost: nothing." in back
    assert "counts against the org's daily limit of delivered events" in back
    again = await sentences(ask, place="earliest", repeat=True)
    assert "already holds, at most 2 events" in again
    skip = await sentences(ask, place="latest")
    assert "Lost: events between " in skip
    assert "`streamer snapshot start` publishes the records' present state" in skip
    assert "Streamer can't compare replay ids" in await sentences(
        ask, place="replay_id", replay_id="base64:Bw=="
    )
    assert "with new events" in await sentences(ask, place="start")
    await world.clock.turn(100 * HOUR_S)
    late = await sentences(ask, place="earliest")
    assert "Salesforce keeps only 72 hours. A continuity record describes the loss" in late
    assert "Streamer then reads from the org the records that have changed since the loss." in late


@pytest.mark.usefixtures("known")
async def test_effects_are_told_in_numbers(world: World, ask: Asking) -> None:
    """For scripts."""
    asked = {"channel": CHANNEL.path, "place": "latest", "dry_run": True}
    _, body = await ask.post("/checkpoints", **asked)
    effect = body["effect"]
    assert effect["repeats"] is None
    assert effect["loses"]["state"] == "none"
    assert effect["loses"]["from"] < effect["loses"]["until"]
    assert not (await world.context.control_state()).positions


@pytest.mark.usefixtures("known")
async def test_order_is_written_with_its_audit_and_replaces_the_former(world: World, ask: Asking) -> None:
    """One order waits for a channel at most."""
    status, first = await ask.post("/checkpoints", channel=CHANNEL.path, place="latest", by="ada", wait_s=0)
    assert status == 202
    _, second = await ask.post(
        "/checkpoints",
        channel=CHANNEL.path,
        place="replay_id",
        replay_id="base64:Bw==",
        by="bob",
        wait_s=0,
    )
    orders = (await world.context.control_state()).positions

    assert [(each.place, each.replay_id, each.by) for each in orders.values()] == [
        (ChannelPosition.REPLAY_ID, ReplayId(b"\x07"), "bob")
    ]
    _, listed = await ask.get("/checkpoints")
    assert listed["checkpoints"][0]["order"]["id"] == second["id"]
    status, gone = await ask.post("/checkpoints/cancel", channel=CHANNEL.path, by="eve")
    assert [each["id"] for each in gone["cancelled"]] == [second["id"]]
    audit = [(each.what, each.by, each.detail["id"]) for each in await world.log.controls.audit(last=9)]
    assert audit == [
        ("position.ordered", "ada", first["id"]),
        ("position.cancelled", "bob", first["id"]),
        ("position.ordered", "bob", second["id"]),
        ("position.cancelled", "eve", second["id"]),
    ]
    assert (await ask.post("/checkpoints/cancel", channel=CHANNEL.path))[0] == 404


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"place": "since"}, "since: is required if `place` is since"),
        ({"place": "latest", "since": "2025-01-01T00:00:00Z"}, "since: is required if `place` is since"),
        ({"place": "since", "since": "2999-01-01T00:00:00Z"}, "not in the future"),
        ({"place": "replay_id"}, "replay_id: is required if `place` is replay_id"),
        ({"place": "replay_id", "replay_id": "ü"}, "must be base64:… with 1 to 256 bytes"),
        ({"place": "replay_id", "replay_id": "hello"}, "`streamer checkpoint list` shows the stored ids"),
        ({"place": "replay_id", "replay_id": "base64:!"}, "must be base64:…"),
        ({"place": "replay_id", "replay_id": "base64:"}, "must be base64:…"),
        ({"place": "replay_id", "replay_id": f"base64:{'A' * 344}"}, "must be base64:…"),
        ({"place": "replay_id", "replay_id": "AAAAAAEEtnQAAA=="}, "write base64:AAAAAAEEtnQAAA=="),
        ({"place": "replay_id", "replay_id": "base64:NDI="}, "the digits of a CometD replay id"),
        ({"place": "replay_id", "replay_id": "7"}, "the channel uses the Pub/Sub API"),
        ({"place": "latest", "repeat": True}, "repeat: works only if"),
        ({"place": "nowhere"}, "place: "),
        ({"place": "latest", "channel": "/data/Nope"}, "configured channels: /data/ChangeEvents"),
        ({"place": "latest", "channel": "/outbound/X"}, "A channel of outbound messages has no position"),
    ],
)
async def test_mistake_in_an_order_is_refused(
    world: World, ask: Asking, asked: dict[str, object], sentence: str
) -> None:
    """Before anything is written."""
    status, answer = await ask.post("/checkpoints", **{"channel": CHANNEL.path, "wait_s": 0, **asked})

    assert (status in {400, 404}, sentence in answer["error"]) == (True, True), answer
    assert not (await world.context.control_state()).positions


@pytest.mark.parametrize(
    ("text", "taken"),
    [("0", True), ("17086068", True), ("9" * 19, True)]
    + [(each, False) for each in ("9" * 20, "007", "-1", "-2", "1.5", "hello", "base64:NDI=", "٣")],
)
def test_replay_id_of_cometd_is_an_integer(*, text: str, taken: bool) -> None:
    """Text that can't be an id never reaches Salesforce."""
    if taken:
        assert replay_id_of(text, Transport.COMETD) == text.encode()
        return
    with pytest.raises(ApiError, match="over CometD"):
        replay_id_of(text, Transport.COMETD)


@pytest.mark.parametrize("size", [1, 8, 10, 12, 256])
def test_replay_id_of_the_pubsub_api_is_bytes(size: int) -> None:
    """Two lengths have been seen, and no guide says that there are no others."""
    text = "base64:" + base64.b64encode(bytes(size)).decode()

    assert replay_id_of(text, Transport.PUBSUB) == bytes(size)


def record_of(order: PositionOrder, cause: HoleCause) -> ContinuityRecord:
    """Return the record of an order that was carried out."""
    return ContinuityRecord(
        id=order.id,
        channel=CHANNEL,
        cause=cause,
        detail="what came of it",
        recorded_at=order.at,
        state=Repair.FULL,
    )


async def answered(world: World, ask: Asking, cause: HoleCause | None) -> tuple[int, dict[str, Any]]:
    """Order, let the owner of the channel carry it out or drop it, and return what the operator is told."""
    asking = asyncio.create_task(ask.post("/checkpoints", channel=CHANNEL.path, place="latest"))
    [order] = (await world.context.control_state(lambda board: bool(board.positions))).positions.values()
    if cause is not None:
        world.log.keep([], world.log.checkpoints[CHANNEL], (), [record_of(order, cause)])
    ended = AuditRecord(at=order.at, what="position.ended", by="streamer")
    await world.log.controls.order_position(replace(order, ended_at=order.at), ended)
    return await asking


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("cause", "status", "said"),
    [
        (HoleCause.POSITION_SET, 200, None),
        (HoleCause.POSITION_REFUSED, 409, "what came of it"),
        (None, 409, "cancelled or replaced the order"),
    ],
)
async def test_answer_waits_for_the_outcome(
    world: World, ask: Asking, cause: HoleCause | None, status: int, said: str | None
) -> None:
    """An operator who has mistyped an id learns that from the command."""
    got, answer = await answered(world, ask, cause)

    assert got == status
    if said is None:
        assert (answer["outcome"]["cause"], answer["outcome"]["state"]) == ("position_set", "full")
    else:
        assert said in answer["error"]


@pytest.mark.usefixtures("known")
async def test_answer_that_has_waited_long_enough_says_that_the_order_waits(
    world: World, ask: Asking
) -> None:
    """No process reads the channel, or it is quiet."""
    asking = asyncio.create_task(ask.post("/checkpoints", channel=CHANNEL.path, place="latest"))
    await world.context.control_state(lambda board: bool(board.positions))
    while not asking.done():
        await world.clock.turn(1)
    status, answer = asking.result()

    assert (status, answer["outcome"]) == (202, None)
