"""Snapshots are ordered, listed, watched and ended over the API, and by the commands that ask it."""

import asyncio
import os
import pty
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from select import select

import orjson
import pytest
from typer.testing import CliRunner, Result

from streamer.admin.continuity import snapshot_channel
from streamer.admin.schemas import ApiError
from streamer.cli import app
from streamer.cli.operating.api import Api, ApiRefused
from streamer.cli.operating.snapshot_watch import watched
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord, SnapshotOrder, Wanted
from streamer.events import ContinuityRecord, HoleCause, Repair
from tests.contracts.values import CHANGES
from tests.unit.admin.world import Asking, World
from tests.waiting import until

WAITING = SnapshotOrder(id="snapshot:b", channel=CHANGES.path, entity="Lead", by="otto", at=2.0)
ORDER = replace(WAITING, id="snapshot:a", entity="Contact", where="Name != ''", fields=("Name",), at=1.0)
RECORD = ContinuityRecord(
    id=ORDER.id,
    channel=CHANGES,
    cause=HoleCause.SNAPSHOT,
    detail="otto ordered a snapshot of Contact",
    recorded_at=1.0,
    state=Repair.OPEN,
    entity="Contact",
    found=2_000,
    published=500,
    updated_at=3.0,
)


async def put(world: World, *orders: SnapshotOrder) -> None:
    """Write orders into the log."""
    for order in orders:
        await world.log.controls.order_snapshot(order, AuditRecord(at=1.0, what="snapshot.ordered", by="x"))


async def run(ask: Asking, *arguments: str) -> Result:
    """Call a command about snapshots."""
    return await ask.command("snapshot", *arguments)


@pytest.mark.parametrize(
    ("entity", "asked", "paths", "found"),
    [
        ("Account", None, ["/data/ChangeEvents", "/data/AccountChangeEvent"], "/data/AccountChangeEvent"),
        ("account", None, ["/data/AccountChangeEvent"], "/data/AccountChangeEvent"),
        ("Invoice__c", None, ["/data/Invoice__ChangeEvent"], "/data/Invoice__ChangeEvent"),
        ("Lead", None, ["/data/AccountChangeEvent", "/data/ChangeEvents"], "/data/ChangeEvents"),
        ("Lead", "/data/Sales__chn", ["/data/ChangeEvents", "/data/Sales__chn"], "/data/Sales__chn"),
    ],
)
def test_channel_is_that_of_the_entity(entity: str, asked: str | None, paths: list[str], found: str) -> None:
    """Or the one that an operator names."""
    assert snapshot_channel(entity, asked, paths) == found


@pytest.mark.parametrize(
    ("asked", "paths", "sentence"),
    [
        (
            None,
            ["/data/AccountChangeEvent", "/event/Order__e"],
            "the object's channel. Configured channels of changes: /data/Acc",
        ),
        (None, ["/event/Order__e"], "Configured channels of changes: none"),
        (None, ["/data/Sales__chn"], "publishes the records, one of /data/Sales__chn"),
        ("/data/X__chn", ["/data/ChangeEvents"], "this path; configured channels: /data/ChangeEvents"),
        ("/event/Order__e", ["/event/Order__e"], "/event/Order__e carries no changes of records"),
        ("/topic/Leads", ["/topic/Leads"], "Platform events, PushTopics, generic channels"),
        ("/data/AccountChangeEvent", ["/data/AccountChangeEvent"], "carries only the changes of Account"),
    ],
)  # fmt: skip
def test_entity_without_a_channel_is_refused(asked: str | None, paths: list[str], sentence: str) -> None:
    """With what to do."""
    with pytest.raises(ApiError) as refused:
        snapshot_channel("Lead", asked, paths)

    assert sentence in str(refused.value)


async def test_order_is_written_with_its_audit(world: World, ask: Asking) -> None:
    """A dry run only finds the channel."""
    asked = {"entity": "Lead", "where": "Name != ''", "fields": ["Name"], "by": "anna"}
    asked["since"] = "2025-01-01T01:00:00+01:00"
    dry, _ = await ask.post("/snapshots", **asked, dry_run=True)
    assert not (await world.context.control_state()).snapshots
    status, body = await ask.post("/snapshots", **asked)

    [order] = (await world.context.control_state()).snapshots.values()
    assert (dry, status, body["id"], body["state"]) == (200, 202, order.id, "waiting")
    assert order == SnapshotOrder(
        id=order.id,
        channel=CHANGES.path,
        entity="Lead",
        where="Name != ''",
        fields=("Name",),
        since=1_735_689_600.0,
        by="anna",
        at=world.clock.now(),
    )
    [audit] = await world.log.controls.audit(last=9)
    assert (audit.what, audit.by, audit.detail["id"]) == ("snapshot.ordered", "anna", order.id)
    assert audit.detail["since"] == body["since"] == "2025-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            {"entity": "Lead", "where": "Name = 'x"},
            "Streamer can't make this snapshot: the condition has a text",
        ),
        ({"entity": "Lead; x"}, "is not the name of an object or of a field"),
        ({"entity": "Lead", "fields": ["Name", "name"]}, "a field is named twice"),
        ({}, "entity: "),
    ],
)
async def test_mistake_in_an_order_is_refused(ask: Asking, body: dict[str, object], sentence: str) -> None:
    """Before anything is written."""
    status, answer = await ask.post("/snapshots", **body)

    assert (status, sentence in answer["error"]) == (400, True), answer


async def test_snapshot_of_the_same_records_is_refused_while_one_is_under_way(
    world: World, ask: Asking
) -> None:
    """It would only cost the org's requests; a cancelled or ended snapshot does not prevent it."""
    await put(world, ORDER)
    same = {"entity": "Contact", "where": "Name != ''", "fields": ["Name"]}
    status, answer = await ask.post("/snapshots", **same)
    assert (status, "snapshot:a" in answer["error"]) == (409, True)
    assert (await ask.post("/snapshots", entity="Contact"))[0] == 202
    world.log.continuity.append(replace(RECORD, state=Repair.FULL))

    assert (await ask.post("/snapshots", **same))[0] == 202


async def test_list_joins_orders_and_their_progress(world: World, ask: Asking) -> None:
    """Ended ones have no order any more, and those that wait no record yet."""
    world.log.continuity.extend(
        [replace(RECORD, id="snapshot:0", state=Repair.FULL, recorded_at=0.0), RECORD]
    )
    await put(world, ORDER, WAITING)
    _, body = await ask.get("/snapshots")

    shown = [(each["id"], each["state"], each["published"], each["by"]) for each in body["snapshots"]]
    assert shown == [
        ("snapshot:0", "full", 500, None),
        ("snapshot:a", "running", 500, "otto"),
        ("snapshot:b", "waiting", 0, "otto"),
    ]
    assert [each["id"] for each in (await ask.get("/snapshots?last=1"))[1]["snapshots"]] == ["snapshot:b"]
    assert (await ask.get("/snapshots/snapshot:a"))[1]["where"] == "Name != ''"
    assert (await ask.get("/snapshots/snapshot:x"))[0] == 404


async def test_changes_are_written_with_their_audit(world: World, ask: Asking) -> None:
    """Who wants it so is known to all; what is cancelled or has ended can't be changed."""
    await put(world, ORDER)
    world.log.continuity.append(RECORD)
    changes = [("pause", "paused"), ("resume", "running"), ("cancel", "cancelling")]
    for change, state in changes:
        status, body = await ask.post(f"/snapshots/{ORDER.id}/{change}", by="anna")
        assert (status, body["state"]) == (202, state)

    order = (await world.context.control_state()).snapshots[ORDER.id]
    assert (order.wanted, order.by, order.where) == (Wanted.CANCELLED, "anna", ORDER.where)
    audit = [each.what for each in await world.log.controls.audit(last=3)]
    assert audit == ["snapshot.paused", "snapshot.resumed", "snapshot.cancelled"]
    assert (await ask.post(f"/snapshots/{ORDER.id}/resume"))[0] == 409
    assert (await ask.post("/snapshots/snapshot:x/pause"))[0] == 404
    world.log.continuity.append(replace(RECORD, state=Repair.PARTIAL))
    status, body = await ask.post(f"/snapshots/{ORDER.id}/pause")
    assert (status, "has already ended" in body["error"]) == (409, True)


async def test_commands_order_list_and_end(world: World, ask: Asking) -> None:
    """With the questions and the answers of an operator."""
    refused = await run(ask, "start", "Lead", "--channel", "/event/x")
    assert (refused.exit_code, "No configured channel has this path" in refused.output) == (1, True)
    asked = await run(ask, "start", "Lead")
    assert (asked.exit_code, "add --yes" in asked.output) == (2, True)
    assert "Publish the records of Lead in /data/ChangeEvents?" in asked.output
    done = await run(ask, "start", "Lead", "--where", "Name != ''", "--fields", "Name, Company", "--yes")
    assert done.exit_code == 0, done.output
    [order] = (await world.context.control_state()).snapshots.values()
    assert (order.where, order.fields) == ("Name != ''", ("Name", "Company"))

    for change in ("pause", "resume", "cancel"):
        changed = await run(ask, change, order.id, "--by", "anna")
        assert (changed.exit_code, order.id in changed.output) == (0, True), changed.output
    listed = await run(ask, "list")
    assert "cancelling" in listed.stdout
    as_json = await run(ask, "list", "--json")
    assert orjson.loads(as_json.stdout)["snapshots"][0]["by"] == "anna"


async def watching(ask: Asking, clock: TurnedClock, looks: int) -> "asyncio.Task[bool]":
    """Watch a snapshot, for so many looks that come 5 s apart."""
    task = asyncio.create_task(watched(Api(url=str(ask.client.make_url("/"))), ORDER.id, clock))
    for look in range(looks):
        if look:
            await clock.turn(5)
        await until(lambda: clock.waiting or task.done(), every_s=0)
    return task


@pytest.mark.parametrize(
    ("state", "detail", "is_full"),
    [(Repair.FULL, "", True), (Repair.PARTIAL, "; cancelled by [b]anna", False)],
)
async def test_watch_tells_rows_rate_and_time_left(
    world: World,
    ask: Asking,
    capsys: pytest.CaptureFixture[str],
    state: Repair,
    detail: str,
    is_full: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """In plain lines where there is no terminal, until the end."""
    await put(world, ORDER)
    clock = TurnedClock()
    task = await watching(ask, clock, 1)
    world.log.continuity.append(RECORD)
    await clock.turn(5)
    await until(lambda: clock.waiting, every_s=0)
    world.log.continuity.append(replace(RECORD, state=state, published=2_000, detail=RECORD.detail + detail))
    await clock.turn(5)

    assert await task is is_full
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "waiting: Streamer has not counted the rows yet",
        "running: 500 of 2,000 rows, 100 rows/s, 0:00:15 left",
    ]
    ends = {
        True: "is complete: 2,000 rows published.",
        False: "has ended with 2,000 rows published: otto ordered a snapshot of Contact; "
        "cancelled by [b]anna",
    }
    assert lines[2:] == [f"Snapshot {ORDER.id} {ends[is_full]}"]


WAITS = replace(RECORD, progress={"parts": None, "waits": "[b]19% of the requests are left"})


async def test_reason_why_one_waits_is_shown(
    world: World, ask: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lists and a watching command show it, but not while the snapshot is paused or at its end."""
    world.log.continuity.append(WAITS)
    await put(world, ORDER)
    reason = "it waits: [b]19% of the requests are left"
    assert reason in (await run(ask, "list")).stdout
    url = str(ask.client.make_url("/"))
    listed = await asyncio.to_thread(CliRunner().invoke, app, ["continuity", "list", "--url", url])
    assert reason in listed.stdout
    task = await watching(ask, TurnedClock(), 1)
    task.cancel()
    await asyncio.wait([task])
    assert capsys.readouterr().out.splitlines()[0] == f"running: 500 of 2,000 rows; {reason}"
    await put(world, replace(ORDER, wanted=Wanted.PAUSED))
    assert (await ask.get("/snapshots/snapshot:a"))[1]["waits"] == ""
    world.log.continuity.append(replace(WAITS, state=Repair.FULL))
    assert (await ask.get("/continuity"))[1]["records"][-1]["waits"] == ""


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Let the output go to a terminal inside the context; yields what reads it up to a text."""
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    with (
        os.fdopen(theirs, "w", encoding="utf-8") as screen,
        os.fdopen(ours, "rb", buffering=0) as shown,
        redirect_stdout(screen),
    ):

        def read(end: str) -> str:
            drawn = ""
            while end not in drawn:
                assert select([shown], [], [], 30)[0], drawn
                drawn += shown.read(100_000).decode(errors="replace")
            return drawn

        yield read


async def test_watch_shows_a_bar_on_a_terminal(
    world: World, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason above it while it waits, and the end in its place."""
    world.log.continuity.append(WAITS)
    clock = TurnedClock()
    with terminal(monkeypatch) as read:
        task = await watching(ask, clock, 2)
        world.log.continuity.append(replace(RECORD, published=1_000))
        await clock.turn(5)
        await until(lambda: clock.waiting, every_s=0)
        # The bar is drawn by a thread of its own.
        drawn = await asyncio.to_thread(read, "1,000 of 2,000 rows, 50 rows/s, 0:00:20 left")
        world.log.continuity.append(replace(RECORD, state=Repair.FULL, published=2_000))
        await clock.turn(5)
        assert await task
        await asyncio.to_thread(read, f"Snapshot {ORDER.id} is complete: 2,000 rows published.")

    assert drawn.count("running; it waits: [b]19% of the requests are left") == 1
    assert "━" in drawn


async def test_watch_of_an_unknown_snapshot_is_refused(ask: Asking) -> None:
    """With the place where the known ones are."""
    with pytest.raises(ApiRefused, match="streamer snapshot list"):
        await watched(Api(url=str(ask.client.make_url("/"))), "snapshot:x", TurnedClock())


async def test_watch_command_tells_the_end_by_its_status(world: World, ask: Asking) -> None:
    """For scripts."""
    world.log.continuity.append(replace(RECORD, state=Repair.FULL))
    assert (await run(ask, "watch", ORDER.id)).exit_code == 0
    world.log.continuity.append(replace(RECORD, state=Repair.NONE))

    assert (await run(ask, "watch", ORDER.id)).exit_code == 1
