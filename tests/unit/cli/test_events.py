"""`streamer events` and `streamer tail` show the API's answers, and report a daemon that is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from streamer.cli.events import _bounds, _line, story_tree
from streamer.cli.operating.api import Api, ApiRefused
from streamer.cli.tail import Following
from streamer.clock import TurnedClock
from streamer.events import JsonObject
from tests.waiting import limited

EVENT = {
    "id": "1",
    "type": "salesforce.cdc.Account.updated",
    "subject": "001000000000001AAA",
    "key": "001000000000001AAA",
    "time": "2025-01-01T00:00:00.000Z",
    "data": {"changed_fields": ["Name", "Phone"]},
}
Answers = list[list[JsonObject] | int]


def account(name: str, state: str, *after: str, **more: Any) -> JsonObject:
    """Return what the API says of an event at a subscriber."""
    said = {"said": [f"what became of it at {name}"], "next_steps": [], "receipts": []}
    return {"name": name, "uses": "erp", "state": state, "after": list(after), **said, **more}


def drawn(story: JsonObject) -> list[str]:
    """Return the lines of the tree."""
    written = StringIO()
    Console(width=120, no_color=True, file=written).print(story_tree(story))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_tree_tells_what_happened_in_order() -> None:
    """Each step has its time, the time since the step before, and what an attempt took."""
    step = {"at": None, "since_s": None, "subscriber": None, "seconds": None, "detail": ""}
    failed = {
        **step,
        "at": "2025-01-01T00:00:01.250000Z",
        "since_s": 1.25,
        "subscriber": "shipment",
        "said": "Attempt fails (http_5xx).",
        "seconds": 0.75,
    }
    story = {
        "event": None,
        "said": [],
        "timeline": [
            {**step, "at": "2025-01-01T00:00:00.000000Z", "said": "Committed."},
            failed,
            {**step, "said": "2 more."},
        ],
        "subscribers": [],
        "not_kept": [],
    }

    assert drawn(story)[1:] == [
        "└── Steps, in order:",
        f"    ├── 2025-01-01 00:00:00.000 {'':12}  Committed.",
        "    ├── 2025-01-01 00:00:01.250      +1.25 s  shipment: Attempt fails (http_5xx). It took 0.750 s.",
        f"    └── time not kept           {'':12}  2 more.",
    ]


def test_tree_has_those_downstream_below_the_first_upstream() -> None:
    """In whichever order the configuration names them."""
    story = {
        "event": EVENT,
        "said": ["appended"],
        "subscribers": [
            account("sales", "waiting", "shipment", "invoice"),
            account("shipment", "dead_letter", "invoice", next_steps=["redrive it"]),
            account("invoice", "delivered", receipts=[{"answer": {"number": "R-1\x1b[31m"}}]),
            account("orphan", "not_forwarded", "gone"),
        ],
        "not_kept": ["the weather"],
    }
    lines = drawn(story)

    assert lines[0] == "salesforce.cdc.Account.updated 001000000000001AAA"
    assert lines[1:] == [
        "├── id 1",
        "├── appended",
        "├── invoice (erp): delivered",
        "│   ├── what became of it at invoice",
        "│   ├── The target's answer: number R-1 [31m",
        "│   └── shipment (erp): dead letter",
        "│       ├── what became of it at shipment",
        "│       ├── → redrive it",
        "│       └── sales (erp): waiting",
        "│           └── what became of it at sales",
        "├── orphan (erp): not forwarded",
        "│   └── what became of it at orphan",
        "└── The log does not keep these facts:",
        "    └── the weather",
    ]


def test_event_that_could_not_be_read_is_drawn() -> None:
    """With what ingest says of it."""
    assert drawn({"event": None, "said": ["set aside"], "subscribers": [], "not_kept": []}) == [
        "unreadable event",
        "└── set aside",
    ]


def test_search_says_how_to_go_on() -> None:
    """With the cursor, or how to do without."""
    answer = {"is_whole": False, "scanned": 100_000, "reached": "2025-01-01T00:00:00Z", "cursor": "abc"}

    assert _bounds(answer, oldest_first=False) == [
        "\nThe search read only a part of the log: 100,000 offsets, back to 2025-01-01 00:00:00Z.",
        "To continue, repeat the command with --cursor abc",
    ]
    assert "up to" in _bounds(answer, oldest_first=True)[0]
    assert "narrow the search" in _bounds(answer | {"cursor": None}, oldest_first=False)[1]
    assert _bounds(answer | {"is_whole": True}, oldest_first=False) == []


@asynccontextmanager
async def answering(answers: Answers) -> AsyncIterator[Api]:
    """Serve one answer after the other: lines that end, or a status; then lines that never end."""

    async def tail(request: web.Request) -> web.StreamResponse:
        answer = answers.pop(0) if answers else None
        if isinstance(answer, int):
            return web.json_response({"error": f"refused with {answer}"}, status=answer)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in answer or [{"following": "now"}]:
            await response.write(orjson.dumps(line) + b"\n")
        if answer is None:
            await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/events/tail", tail)
    async with TestServer(app) as server:
        yield Api(url=str(server.make_url("/")))


async def followed(
    answers: Answers, capsys: pytest.CaptureFixture[str], *, as_json: bool, until: Callable[[str], bool]
) -> tuple[str, str]:
    """Follow until the messages hold what is asked for; return output and messages."""
    clock, output, messages = TurnedClock(), "", ""
    async with answering(answers) as api:
        following = Following(api=api, query={}, as_json=as_json, clock=clock)
        task = asyncio.create_task(following.run())
        async with limited("the messages"):
            while not until(messages) and not task.done():
                await clock.turn(1)
                await asyncio.sleep(0.01)
                captured = capsys.readouterr()
                output, messages = output + captured.out, messages + captured.err
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
    return output, messages


def test_found_event_has_its_outcome_at_each_subscriber_that_selects_it() -> None:
    """A list without the filter has no such column, because outcomes cost further reads."""
    outcomes = {"invoice": "dead", "slack": "skipped", "shipment": "delivered"}

    assert _line({**EVENT, "outcomes": outcomes})["OUTCOME"] == "invoice dead, shipment delivered"
    assert _line({**EVENT, "outcomes": {"slack": "skipped"}})["OUTCOME"] == "slack skipped"
    assert "OUTCOME" not in _line(EVENT)


def test_search_for_an_outcome_tells_how_many_events_it_compared() -> None:
    """A search that stops early can be continued, and a whole one says what it covered."""
    answer = {"is_whole": True, "examined": 1_000}

    assert _bounds(answer, oldest_first=False) == ["\nCompared the outcomes of 1,000 events with --outcome."]


async def test_tail_shows_events_and_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Events on the standard output, everything else on standard error."""
    lines: list[JsonObject] = [
        {"following": "now"},
        {"event": EVENT},
        {"dropped": 1_200},
        {"skipped": 30_000},
        {"failed": 3, "error": "when fails"},
        {"trouble": "the brokers are away."},
        {"alive": "now"},
        {"something": "new"},
    ]
    output, messages = await followed(
        [lines], capsys, as_json=False, until=lambda said: "answers again" in said
    )

    assert output == "2025-01-01 00:00:00Z  salesforce.cdc.Account.updated  001000000000001AAA  Name, Phone\n"
    for part in (
        "This command shows new events of http://",
        "1,200 events are not shown, because this terminal reads too slowly",
        "About 30,000 offsets of the log are not shown",
        "3 events are not shown, because --where fails on them: when fails",
        "the brokers are away.",
        "has stopped or has closed its log. The command retries until",
        "`streamer events find --since ",
    ):
        assert part in messages


async def test_tail_waits_for_a_daemon_that_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """It says each reason once."""
    answers: Answers = [[{"following": "now"}], 503, 503, [{"following": "now"}, {"event": EVENT}]]
    output, messages = await followed(
        answers, capsys, as_json=True, until=lambda said: said.count("answers again") == 2
    )

    assert [orjson.loads(line)["id"] for line in output.splitlines()] == ["1"]
    assert messages.count("refused with 503") == 1


async def test_first_refusal_ends_the_tail(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake does not pass by itself."""
    with pytest.raises(ApiRefused, match="refused with 400"):
        await followed([400], capsys, as_json=False, until=lambda _: False)


async def test_answer_that_is_no_json_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that of another program behind the address."""
    answers: Answers = [[{"following": "now"}, ["no object"]]]  # type: ignore[list-item] # what another program says
    _, messages = await followed(answers, capsys, as_json=False, until=lambda said: "answers again" in said)
    assert "is lost (the daemon's answer contains a line that is not a JSON object)" in messages
