"""Dead letters are listed, shown and discarded over the API."""

from datetime import UTC, datetime
from typing import Any

import pytest

from streamer.admin import dead_letters
from streamer.admin.schemas import MOST_LETTERS
from streamer.events import Stage
from tests.contracts.values import a_dead_letter
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET


def iso(at: float) -> str:
    """Return a moment as a request writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


@pytest.fixture
async def failed(world: World) -> float:
    """Three events failed, a minute passed at the returned moment, and two more failed."""
    await world.fail(1, 2, 3, reason="422 no such Field")
    await world.clock.turn(60)
    between = world.clock.now()
    await world.clock.turn(60)
    await world.fail(4, 5, key="k", reason="409 exists")
    return between


@pytest.mark.usefixtures("failed")
async def test_latest_are_listed_with_the_count_of_all(ask: Asking) -> None:
    """The newest last, as a terminal shows it best."""
    status, body = await ask.get("/dead-letters?last=3")

    assert (status, body["total"], body["by_reason"]) == (200, 5, {"rejected": 5})
    assert body["by_subscriber"] == {TARGET: 5}
    assert [each["id"] for each in body["letters"]] == ["3:target", "4:target", "5:target"]
    assert body["letters"][0]["error"] == "422 no such Field"


async def test_filters_pick_what_is_meant(failed: float, ask: Asking) -> None:
    """Each of them, and all together."""

    async def found(query: str) -> list[str]:
        status, body = await ask.get(f"/dead-letters?{query}")
        assert status == 200, body
        return [each["id"].split(":")[0] for each in body["letters"]]

    between = iso(failed).replace("+", "%2B")
    assert await found(f"subscriber={TARGET}") == ["1", "2", "3", "4", "5"]
    assert await found("subscriber=other") == []
    assert await found("key=k") == ["4", "5"]
    assert await found("reason=exhausted") == []
    assert await found("error=NO+SUCH+FIELD") == ["1", "2", "3"]
    assert await found(f"since={between}") == ["4", "5"]
    assert await found(f"until={between}&key=2") == ["2"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("last=0", "last"),
        (f"last={MOST_LETTERS + 1}", "last"),
        ("since=yesterday", "since"),
        ("since=2025-01-01T00:00:00", "since"),
        ("subscribr=x", "subscribr"),
    ],
)
async def test_mistake_in_a_query_is_named(ask: Asking, query: str, place: str) -> None:
    """A filter that is not understood must not mean all of them."""
    status, body = await ask.get(f"/dead-letters?{query}")

    assert (status, body["error"].split(":")[0]) == (400, place)


async def test_list_stays_small_whatever_the_letters_hold(world: World, ask: Asking) -> None:
    """Neither the raw bytes nor long errors are in it."""
    world.keep(a_dead_letter("a", error="x" * 5_000), raw=b"y" * 1_000_000)
    await world.clock.turn(1)
    _, body = await ask.get("/dead-letters")

    assert (body["total"], len(str(body)) < 1_500) == (1, True)


async def test_whole_letter_is_shown_with_its_event(world: World, ask: Asking) -> None:
    """All that is known of it, whatever characters its id has."""
    world.keep(a_dead_letter("a/b:c%d", stage=Stage.DISPATCH), subscriber=TARGET)
    status, body = await ask.get("/dead-letters/a%2Fb:c%25d")

    assert (status, body["id"], body["stage"], body["subscriber"]) == (200, "a/b:c%d", "dispatch", TARGET)
    assert (body["answer"], body["hint"], body["offset"], body["raw"]) == (
        "400",
        "check the schema",
        17,
        "AP9yYXc=",
    )
    assert (body["schema_id"], body["replay_id"]) == ("Zx81QmVqT0aPq2n7kLw3Yg", "base64:AQI=")
    assert body["event"]["data"]["fields"] == {"Name": "Ünal & Söhne", "Zero": None}
    assert body["failed_at"] == "2025-01-01T00:00:00.500000Z"


async def test_letter_that_is_gone_is_not_found(ask: Asking) -> None:
    """It may have been redriven in the meantime."""
    assert (await ask.get("/dead-letters/none"))[0] == 404


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize(
    ("asked", "total", "left"),
    [
        ({"key": "k"}, 2, {"1", "2", "3"}),
        ({"ids": ["1:target", "4:target", "none"]}, 2, {"2", "3", "5"}),
        ({"ids": ["1:target", "4:target"], "key": "k"}, 1, {"1", "2", "3", "5"}),
        ({}, 5, set()),
        ({"key": "k", "dry_run": True}, 2, {"1", "2", "3", "4", "5"}),
    ],
)
async def test_what_is_meant_is_discarded(
    world: World, ask: Asking, asked: dict[str, Any], total: int, left: set[str]
) -> None:
    """By a filter, by ids or by both, and nothing by a dry run; the others stay."""
    status, body = await ask.post("/dead-letters/discard", **asked)

    assert (status, body["total"]) == (200, total)
    assert {letter.id.split(":")[0] for letter in world.log.letters} == left


@pytest.mark.usefixtures("failed")
async def test_discarding_is_in_the_audit(ask: Asking) -> None:
    """Who did it, how many there were, and which were meant; a dry run is not."""
    await ask.post("/dead-letters/discard", key="k", dry_run=True)
    await ask.post("/dead-letters/discard", key="k", by="anna")

    [record] = (await ask.get("/audit"))[1]["records"]
    assert (record["what"], record["by"]) == ("deadletters.discarded", "anna")
    assert (record["detail"]["letters"], record["detail"]["meant"]["key"]) == (2, "k")


@pytest.mark.usefixtures("failed")
async def test_audit_says_how_many_ids_it_does_not_name(ask: Asking) -> None:
    """A thousand would drown it."""
    await ask.post("/dead-letters/discard", ids=["1:target", *(f"{n:03}" for n in range(30))])

    [record] = (await ask.get("/audit"))[1]["records"]
    meant = record["detail"]["meant"]
    assert (meant["ids"], meant["further_ids"]) == ([f"{n:03}" for n in range(20)], 11)


@pytest.mark.usefixtures("failed")
async def test_discarding_means_what_was_counted(world: World, ask: Asking) -> None:
    """A letter that fails between the counts and the answer to the question stays."""
    counts = (await ask.post("/dead-letters/discard", dry_run=True))[1]
    await world.clock.turn(1)
    await world.fail(6)
    await ask.post("/dead-letters/discard", until=counts["until"])

    assert [letter.id for letter in world.log.letters] == ["6:target"]


@pytest.mark.usefixtures("failed")
async def test_what_an_open_redrive_means_is_not_discarded(world: World, ask: Asking) -> None:
    """It may be on its way to the target; whatever else there is, and counting, is no matter."""
    [redrive] = (await ask.post("/dead-letters/redrive", ids=["4:target"]))[1]["redrives"]
    counted, _ = await ask.post("/dead-letters/discard", dry_run=True)
    refused, body = await ask.post("/dead-letters/discard", key="k")
    others, _ = await ask.post("/dead-letters/discard", error="no such field")

    assert (counted, refused, others) == (200, 409, 200)
    assert f"`streamer deadletters cancel {redrive}`" in body["error"]
    assert [letter.id for letter in world.log.letters] == ["4:target", "5:target"]
    await ask.post(f"/redrives/{redrive}/cancel")
    assert (await ask.post("/dead-letters/discard", key="k"))[0] == 200


@pytest.mark.usefixtures("failed")
async def test_many_are_discarded_a_part_at_a_time(
    world: World, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log takes only so many at once; each part has its record."""
    monkeypatch.setattr(dead_letters, "_DISCARDED_AT_ONCE", 2)
    _, body = await ask.post("/dead-letters/discard")

    records = await world.log.controls.audit(last=9)
    assert (body["total"], world.log.letters) == (5, [])
    assert [record.detail["letters"] for record in records] == [2, 2, 1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("what=subscriber", ["subscriber.paused", "subscriber.resumed", "subscriber.paused"]),
        ("what=subscriber.paused", ["subscriber.paused", "subscriber.paused"]),
        ("what=sub", []),
        ("by=ANNA", ["subscriber.paused", "redrive.ordered"]),
        (f"subscriber={TARGET}&what=redrive", ["redrive.ordered"]),
        ("subscriber=idle", ["subscriber.paused"]),
        ("since=2025-01-01T00:01:00Z", ["subscriber.paused"]),
        ("until=2025-01-01T00:01:00Z&last=1", ["redrive.ordered"]),
    ],
)
async def test_audit_is_filtered(world: World, ask: Asking, query: str, found: list[str]) -> None:
    """By the kind of the change, the operator, the subscriber and the time."""
    await world.fail(1)
    await ask.post(f"/subscribers/{TARGET}/pause", by="anna")
    await ask.post(f"/subscribers/{TARGET}/resume", by="bert")
    await ask.post("/dead-letters/redrive", by="anna")
    world.clock.jump(60.0)
    await ask.post("/subscribers/idle/pause", by="bert")
    status, body = await ask.get(f"/audit?{query}")

    assert (status, [each["what"] for each in body["records"]]) == (200, found)


async def test_audit_tells_the_latest(world: World, ask: Asking) -> None:
    """At most as many as are asked for, the newest last."""
    for number in range(3):
        await ask.post(f"/subscribers/{TARGET}/pause", reason=str(number))
    status, body = await ask.get("/audit?last=2")

    assert (status, [each["detail"]["reason"] for each in body["records"]]) == (200, ["1", "2"])
    assert body["records"][0]["at"] == iso(world.clock.now())[:19] + ".000000Z"


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("change", ["redrive", "discard"])
@pytest.mark.parametrize("ids", [("nonsense",), ("1:target", "nonsense")])
async def test_unknown_id_ends_a_change_with_its_remedy(
    world: World, ask: Asking, change: str, ids: tuple[str, ...]
) -> None:
    """A mistyped id changes nothing, and the exit status tells a script."""
    answer = await ask.command("deadletters", change, *ids, "--yes")

    assert answer.exit_code == 1
    assert "No dead letter has the id nonsense." in " ".join(answer.stderr.split())
    assert len(world.log.letters) == 5
    assert not (await world.context.control_state()).redrives


@pytest.mark.usefixtures("failed")
async def test_known_id_that_a_filter_excludes_is_no_mistake(ask: Asking) -> None:
    """The command says that no dead letter matches, and exits 0."""
    answer = await ask.command("deadletters", "discard", "1:target", "--key", "k", "--yes")

    assert (answer.exit_code, "No dead letters match." in answer.stdout) == (0, True)
