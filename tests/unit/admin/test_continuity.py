"""Continuity records are listed over the API, and by the command that asks it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
import typer
from typer.main import get_command
from typer.testing import Result

from streamer.cli import app
from streamer.cli.operating.api_command import channels_with_holes
from streamer.events import Channel, ContinuityRecord, HoleCause, Repair
from tests.contracts.values import CHANGES, ORG, a_hole
from tests.unit.admin.world import Asking, World

HOUR_S = 3600.0
ORDERS = Channel(org=ORG, path="/event/Order__e")
LOST = replace(a_hole("\x1b[31mlost\x1b[0m"), id="lost", state=Repair.NONE, until=None)


@pytest.fixture(autouse=True)
def holes(world: World) -> list[ContinuityRecord]:
    """Return three holes of the last three hours; the log has the second in two states."""
    now = world.clock.now()
    gap = ContinuityRecord(
        id="gap:1",
        channel=ORDERS,
        cause=HoleCause.GAP_EVENT,
        detail="GAP_UPDATE of Order 001A",
        recorded_at=now - 2 * HOUR_S,
        state=Repair.OPEN,
    )
    begun = replace(gap, found=2, published=1, updated_at=now)
    last = replace(gap, id="gap:2", recorded_at=now - HOUR_S)
    world.log.continuity.extend([replace(LOST, recorded_at=now - 3 * HOUR_S), gap, begun, last])
    return world.log.continuity


async def run(ask: Asking, *arguments: str) -> Result:
    """Call the command that lists continuity records."""
    return await ask.command("continuity", "list", *arguments)


async def test_last_states_are_listed_the_newest_last(ask: Asking) -> None:
    """With all that an operator needs; a repair's own position is not shown."""
    status, body = await ask.get("/continuity")

    lost, gap, last = body["records"]
    assert (status, gap["id"], gap["state"], gap["found"], gap["published"]) == (200, "gap:1", "open", 2, 1)
    assert (lost["channel"], lost["org"], lost["after"]) == (CHANGES.path, ORG, "17")
    assert (lost["from"], lost["until"]) == ("2024-12-31T21:20:00.000000Z", None)
    assert (last["id"], last["updated_at"]) == ("gap:2", None)
    assert all("progress" not in each for each in body["records"])


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (f"channel={CHANGES.path}", ["lost"]),
        ("cause=gap_event", ["gap:1", "gap:2"]),
        ("state=none", ["lost"]),
        ("state=open&last=1", ["gap:2"]),
        ("state=full", []),
    ],
)
async def test_filters_pick_what_is_meant(ask: Asking, query: str, ids: list[str]) -> None:
    """Each of them, and several together."""
    _, body = await ask.get(f"/continuity?{query}")

    assert [each["id"] for each in body["records"]] == ids


@pytest.mark.parametrize(
    ("query", "place"),
    [("last=0", "last"), ("cause=x", "cause"), ("state=x", "state"), ("since=2025-01-01T00:00:00", "since")],
)
async def test_mistake_in_a_query_is_named(ask: Asking, query: str, place: str) -> None:
    """A filter that is not understood must not mean all of them."""
    status, body = await ask.get(f"/continuity?{query}")

    assert (status, body["error"].split(":")[0]) == (400, place)


async def test_log_that_is_down_is_told(world: World, ask: Asking) -> None:
    """The caller tries again."""
    world.log.faults.down = True

    assert (await ask.get("/continuity"))[0] == 503


async def test_command_shows_a_table(ask: Asking) -> None:
    """Text from Salesforce neither colours nor controls the terminal."""
    shown = await run(ask)

    assert shown.exit_code == 0, shown.output
    heading, lost, *_ = shown.stdout.splitlines()
    assert heading.split() == [
        "RECORDED", "CHANNEL", "CAUSE", "STATE", "FROM", "UNTIL", "FOUND", "PUBLISHED", "DETAIL", "ID"
    ]  # fmt: skip
    assert "/data/ChangeEvents  replay_id_refused  none   2024-12-31 21:20:00Z" in lost
    assert "\x1b" not in shown.stdout
    assert shown.stdout.splitlines()[-1] == "3 shown: open 2, none 1"


async def test_command_passes_its_filters_on_and_prints_json(ask: Asking, world: World) -> None:
    """The answer of the API as it came."""
    since = datetime.fromtimestamp(world.clock.now() - 1.5 * HOUR_S, UTC).isoformat()
    filters = ("--channel", ORDERS.path, "--cause", "gap_event", "--state", "open", "--since", since)
    answer = await run(ask, *filters, "--json")
    nothing = await run(ask, "--state", "partial")

    assert [each["id"] for each in orjson.loads(answer.stdout)["records"]] == ["gap:2"]
    assert (nothing.exit_code, nothing.stdout) == (0, "No continuity records.\n")


async def test_shell_completes_the_channels_with_holes(ask: Asking) -> None:
    """Each once."""
    context = typer.Context(get_command(app))
    context.params = {"url": str(ask.client.make_url("/"))}

    assert await asyncio.to_thread(channels_with_holes, context, "/event") == [ORDERS.path]
    assert await asyncio.to_thread(channels_with_holes, context, "/") == [CHANGES.path, ORDERS.path]


REASON = "the owners of the targets know it"


async def test_operator_acknowledges_a_hole(ask: Asking, world: World) -> None:
    """With a name and a reason, which the list and the audit keep."""
    body = {"id": "lost", "by": "anna", "reason": REASON}
    status, answer = await ask.post("/continuity/acknowledge", **body)
    _, listed = await ask.get("/continuity")
    _, problems = await ask.get("/problems")
    [audit] = await world.log.controls.audit(last=10)

    assert (status, answer["acknowledged"]["by"], answer["acknowledged"]["reason"]) == (200, "anna", REASON)
    assert [each["acknowledged"] for each in listed["records"]] == [answer["acknowledged"], None, None]
    assert not [each for each in problems["problems"] if each["kind"] == "hole"]
    assert (audit.what, audit.by, audit.detail["id"], audit.detail["reason"]) == (
        "hole.acknowledged", "anna", "lost", REASON
    )  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "reason", "status"), [("gap:1", REASON, 409), ("none", REASON, 404), ("lost", " ", 400)]
)
async def test_hole_that_can_be_repaired_is_not_acknowledged(
    ask: Asking, world: World, id_: str, reason: str, status: int
) -> None:
    """Nor is an unknown one, and nothing is acknowledged without a reason."""
    body = {"id": id_, "by": "anna", "reason": reason}

    assert (await ask.post("/continuity/acknowledge", **body))[0] == status
    assert await world.log.controls.audit(last=10) == []


async def test_hole_is_acknowledged_once(ask: Asking) -> None:
    """The answer names the first operator."""
    for by, expected in (("anna", 200), ("ben", 409)):
        status, answer = await ask.post("/continuity/acknowledge", id="lost", by=by, reason=REASON)
        assert status == expected

    assert "anna" in answer["error"]


async def test_command_acknowledges_a_hole(ask: Asking) -> None:
    """The list then says who and why."""
    done = await ask.command("continuity", "acknowledge", "lost", "--reason", REASON, "--by", "anna")
    listed = await run(ask)

    assert (done.exit_code, "is acknowledged" in done.output) == (0, True)
    assert f"Acknowledged by anna: {REASON}" in listed.output
