"""A position is changed after a preview that says what is repeated or lost, and audited."""

import asyncio
import re
from dataclasses import replace

import pytest

from streamer.controls import AuditRecord, ChannelPosition
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
from tests.unit.console.test_pages import EVIL
from tests.unit.console.world import Browser, World

CHANNEL = Channel(org=OrgId("00DXX0000000001EAA"), path="/data/ChangeEvents")
POSITION = "/channels/position"
QUERY = "?channel=/data/ChangeEvents"


@pytest.fixture(autouse=True)
def known(world: World) -> None:
    """The channel has a position of an hour ago."""
    verified_at = world.api.clock.now() - 3_600
    world.api.log.checkpoints[CHANNEL] = Checkpoint(
        channel=CHANNEL,
        replay_id=ReplayId(b"41"),
        verified_at=verified_at,
        appended=(EventId("e"),),
        open_replay_id=ReplayId(b"\x01\x02"),
        positioned_at=verified_at,
    )


async def positions(world: World) -> list[tuple[ChannelPosition, bool]]:
    """Return the orders that wait."""
    return [
        (each.place, each.repeat) for each in (await world.api.context.control_state()).positions.values()
    ]


async def test_stored_position_is_shown(browser: Browser) -> None:
    """Among the channels, and on its own page."""
    channels, position = await browser.get("/channels"), await browser.get(POSITION + QUERY)

    for page in (channels, position):
        assert "base64:AQI=" in page.text
    assert "<dd>41</dd>" in position.text
    assert (await browser.get(f"{POSITION}?channel={EVIL}")).status == 404


async def test_preview_tells_what_is_lost_and_changes_nothing(world: World, browser: Browser) -> None:
    """Without a name there is no form; with one it holds what was previewed."""
    path = f"{POSITION}/preview{QUERY}&place=latest"
    reader = await browser.get(path)
    await browser.signed_in()
    preview = await browser.get(path)

    assert "Lost: events between" in reader.text
    assert 'method="post" action="/console/channels/position"' not in reader.text
    assert "next=/console/channels/position/preview%3Fchannel%3D" in reader.text
    assert 'class="danger">Set the position of /data/ChangeEvents' in preview.text
    assert await positions(world) == []


async def test_order_is_audited_shown_and_cancelled(world: World, browser: Browser) -> None:
    """Under the name of the operator who has signed in, whatever the form says."""
    csrf = await browser.signed_in("Anna")
    await browser.get("/channels")
    form = {
        "csrf": csrf,
        "channel": CHANNEL.path,
        "place": "earliest",
        "repeat": "true",
        "by": "Bert",
        "wait_s": "0",
    }
    ordered = await browser.post(POSITION, form)
    waiting = await positions(world)
    channels, position = await browser.get("/channels"), await browser.get(POSITION + QUERY)
    cancelled = await browser.post(f"{POSITION}/cancel", {"csrf": csrf, "channel": CHANNEL.path})
    records = await world.api.log.controls.audit(last=5)

    assert ordered.place == "/console/channels?done=position-ordered"
    assert waiting == [(ChannelPosition.EARLIEST, True)]
    assert "earliest, by Anna" in channels.text
    assert "Waiting order" in position.text
    assert cancelled.place == "/console/channels?done=position-cancelled"
    assert await positions(world) == []
    assert [(each.what, each.by) for each in records] == [
        ("position.ordered", "Anna"),
        ("position.cancelled", "Anna"),
    ]
    assert "earliest, by Anna" not in (await browser.get("/channels")).text


async def test_form_of_another_place_or_without_its_token_changes_nothing(
    world: World, browser: Browser
) -> None:
    """As for every change."""
    csrf = await browser.signed_in()
    form = {"channel": CHANNEL.path, "place": "latest"}
    answers = [
        await browser.post(POSITION, form),
        await browser.post(POSITION, {**form, "csrf": csrf + "x"}),
        await browser.post(POSITION, {**form, "csrf": csrf}, Origin="https://attacker.example"),
        await browser.post(f"{POSITION}/cancel", {"channel": CHANNEL.path}),
    ]

    assert [each.status for each in answers] == [403] * 4
    assert await positions(world) == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"place": "latest", "repeat": "true"}, 400),
        ({"place": "since"}, 400),
        ({"place": "since", "since": "2999-01-01T00:00"}, 400),
        ({"place": "replay_id", "replay_id": "base64:<script>"}, 400),
        ({"place": "replay_id", "replay_id": "41"}, 400),
        ({"place": "replay_id", "replay_id": "9" * 401}, 400),
        ({"place": EVIL}, 400),
        ({"place": "latest", "channel": EVIL}, 404),
        ({}, 400),
    ],
)
async def test_mistake_in_an_order_is_told(
    world: World, browser: Browser, fields: dict[str, str], status: int
) -> None:
    """By the preview, and by the form as well."""
    csrf = await browser.signed_in()
    form = {"channel": CHANNEL.path, **fields}
    preview = await browser.send("GET", f"{POSITION}/preview", params=form)
    ordered = await browser.post(POSITION, {**form, "csrf": csrf})

    assert (preview.status, ordered.status) == (status, status)
    assert "<script>alert" not in preview.text + ordered.text
    assert await positions(world) == []


async def test_since_is_taken_in_utc(world: World, browser: Browser) -> None:
    """And comes back in the form as it was previewed."""
    csrf = await browser.signed_in()
    form = {"channel": CHANNEL.path, "place": "since", "since": "2024-12-31T23:30", "repeat": "true"}
    preview = await browser.send("GET", f"{POSITION}/preview", params=form)
    previewed = dict(re.findall('name="([a-z_]+)" value="([^"]+)"', preview.text))
    await browser.post(POSITION, {**previewed, "csrf": csrf, "wait_s": "0"})
    [order] = (await world.api.context.control_state()).positions.values()

    assert previewed["since"] == "2024-12-31T23:30:00Z"
    assert order.repeat
    assert order.since == world.api.clock.now() - 1_800


async def test_form_waits_for_the_outcome_of_its_order(world: World, browser: Browser) -> None:
    """A replay id that Salesforce refuses is told at once, with its words."""
    csrf = await browser.signed_in()
    form = {"csrf": csrf, "channel": CHANNEL.path, "place": "replay_id", "replay_id": "base64:Bw=="}
    posting = asyncio.create_task(browser.post(POSITION, form))
    [order] = (await world.api.context.control_state(lambda board: bool(board.positions))).positions.values()
    refusal = ContinuityRecord(
        id=order.id,
        channel=CHANNEL,
        cause=HoleCause.POSITION_REFUSED,
        detail="Salesforce refused it",
        recorded_at=order.at,
        state=Repair.FULL,
    )
    world.api.log.keep([], world.api.log.checkpoints[CHANNEL], (), [refusal])
    audit = AuditRecord(at=order.at, what="position.refused", by="streamer")
    await world.api.log.controls.order_position(replace(order, ended_at=order.at), audit)
    answer = await posting

    assert answer.status == 409
    assert "Salesforce refused it" in answer.text
