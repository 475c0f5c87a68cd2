"""Whatever stands in the topic of the processes, each page and answer stays right, small and readable."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from streamer.errors import ForeignRecord
from streamer.events import Reject, Retry
from streamer.log.records import decode_process_record
from tests.unit.admin.processes.others import a_key, a_share, tell
from tests.unit.admin.world import Asking
from tests.unit.console.test_several_processes import share, words
from tests.unit.console.topic_of_processes import (
    CHANNEL,
    MOST_CHARACTERS,
    STATE,
    answers,
    pages,
    read_from_topic,
)
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

COMMANDS = (("flow", "--live"), ("subscribers", "list"), ("parked", "list"), ("problems",))
WITHOUT_LAG = {("subscribers",), ("subscribers", TARGET), ("subscribers", TARGET, "here")}
ODD: list[Any] = [
    None,
    True,
    "3",
    "<script>alert(1)</script>",
    "half a character: \ud800",
    "x" * 1_000_000,
    "2025-01-01T10:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    -3,
    1.5,
    1e300,
    -1e300,
    float("inf"),
    float("nan"),
    10**400,
    [],
    {},
    ["x"],
    {"x": 1},
]


def leaves(value: Any, *place: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each part of a report."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*place, name)
        yield from leaves(part, *place, name)


def with_odd(place: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """Return a report that is right except in one place."""
    body = deepcopy(STATE)
    part: Any = body
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = odd
    return body


@pytest.fixture(autouse=True)
def shared(world: World, browser: Browser) -> None:
    """Let the log be in Kafka, and the API have the map."""
    share(world)
    world.api.context.views.flow = browser.context.flow.as_json


@pytest.mark.parametrize("part", STATE)
async def test_odd_value_hides_no_process(world: World, browser: Browser, part: str) -> None:
    """Each report either counts as a whole, or is named as unreadable."""
    reports = {
        f"{'.'.join(map(str, place))}={number}-": place
        for place in leaves(STATE)
        if place[0] == part
        for number, odd in enumerate(ODD)
        if read_from_topic(world, f"{'.'.join(map(str, place))}={number}-", with_odd(place, odd))
    }
    tell(world.api, "right", {"subscribers": a_share(lag=4)})
    found = await answers(browser)
    process = found["/flow"]["process"]
    counted = [name for name in reports if not any(each.startswith(name) for each in process["missing"])]

    assert reports
    assert sorted(process["others"]) == sorted([*counted, "right"])
    # Without a part, a report has no lag. A wrong lag never counts.
    with_lag = [name for name in counted if reports[name] not in WITHOUT_LAG]
    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 4 + 3 * len(with_lag)
    await pages(browser)


@pytest.mark.parametrize("at", ["1e999", "-1e999", "null", "[]", '"now"', "1" * 400])
def test_record_without_a_time_is_not_read(at: str) -> None:
    """The log leaves it out as a record that Streamer did not write."""
    with pytest.raises(ForeignRecord):
        decode_process_record(f'{{"v":1,"process":"p","instance":"1","kind":"state","at":{at},"body":{{}}}}')


async def test_later_version_counts(world: World, browser: Browser) -> None:
    """Keys of a later version are left out, and the rest is right during an upgrade."""
    body = deepcopy(STATE)
    for part in (
        body,
        body["subscribers"][TARGET],
        body["subscribers"][TARGET]["here"],
        body["subscribers"][TARGET]["here"]["failing"],
        body["channels"][CHANNEL],
        body["parked"][0],
        body["problems"][0],
    ):
        part["of_later_version"] = {"x": [1]}
    read_from_topic(world, "later", body)
    found = await answers(browser)

    assert found["/flow"]["process"]["missing"] == []
    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 3
    assert found["/parked"]["total"] == 1
    await pages(browser)


async def test_unknown_parts_are_left_out(world: World, browser: Browser) -> None:
    """Subscribers and channels of another configuration do not appear, however many they are."""
    body = deepcopy(STATE)
    for number in range(3_000):
        name = f"<script>alert({number})</script>"
        body["subscribers"][name] = body["subscribers"][TARGET]
        body["channels"][f"/event/{name}"] = body["channels"][CHANNEL]
        body["parked_keys"][name] = 1
    read_from_topic(world, "other", body)
    found = await answers(browser)
    flow = found["/flow"]

    assert [each["name"] for each in flow["subscribers"]] == [TARGET, "idle"]
    assert [each["path"] for each in flow["channels"]] == [CHANNEL]
    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 3
    assert set(found["/parked"]["by_subscriber"]) <= {TARGET}
    await pages(browser)


async def test_fifty_processes(world: World, browser: Browser) -> None:
    """Sums are exact, lists have an end, and the commands show them."""
    for number in range(50):
        keys = [a_key(f"{number}-{each}", "10:00:00") for each in range(50)]
        body = STATE | {"parked_keys": {TARGET: 70}, "parked": keys}
        read_from_topic(world, f"streamer-{number}", body)
    found = await answers(browser)

    assert found["/subscribers"]["subscribers"][0]["total"]["lag"] == 150
    assert found["/flow"]["subscribers"][0]["per_second"] == 125.0
    assert found["/flow"]["channels"][0]["per_second"] == 12.0
    assert found["/parked"]["total"] == 3_500
    assert [each["count"] for each in found["/problems"]["problems"] if each["kind"] == "target_down"] == [
        100
    ]
    shown = await pages(browser)
    assert "3,500 parked keys" in words(shown["/parked"])
    assert "Events into the log, last minute 35,000" in words(shown[""])
    for command in COMMANDS:
        result = await Asking(browser.client).command(*command)
        assert result.exit_code == (command == ("problems",)), result.output


async def test_hostile_text_in_the_terminal(world: World, browser: Browser) -> None:
    """No report moves the cursor of an operator's terminal."""
    evil = "\x1b[2J\x07"
    body = json.loads(json.dumps(STATE).replace("answered 503", json.dumps(evil)[1:-1]))
    body["parked"][0]["key"] = evil
    assert read_from_topic(world, f"streamer{evil}", body)
    for command in COMMANDS:
        result = await Asking(browser.client).command(*command)
        assert result.exit_code == (command == ("problems",)), result.output
        assert "\x1b" not in result.output, command
        assert "\x07" not in result.output, command
    await pages(browser)


NAMES = ("streamer_ingest_events_total", "streamer_deliveries_total", "streamer_delivery_lag_events")


@pytest.mark.parametrize(
    "hour",
    [
        [5.0],
        [5.0, 9.0],
        [100.0, 200.0, 0.0, 10.0],
        [1e300, 1e308, -1e308],
        [float("inf"), 5.0],
        [5.0, None, "x", True, [], 10**400, -3.0],
        [],
    ],
    ids=str,
)
async def test_samples_make_no_nonsense(world: World, browser: Browser, hour: list[Any]) -> None:
    """Counters begin again, a sample stands alone, and some values are not numbers."""
    read_from_topic(world, "streamer-1", STATE)
    for number, value in enumerate(hour):
        names = dict.fromkeys(NAMES, value)
        body = {"values": names, "subscribers": [TARGET, "x", TARGET], "numbers": [value] * number}
        read_from_topic(world, "streamer-1", body, age_s=60.0 * (50 - 7 * number), kind="sample")
    world.api.clock.jump(6.0)
    for path in ("/charts", f"/subscribers/{TARGET}", "/charts?subscriber=" + TARGET):
        answer = await browser.get(path)
        assert answer.status == 200
        assert "nan" not in words(answer.text).lower().split()
        assert '"nan' not in answer.text
        assert "inf" not in words(answer.text).split()
        assert len(answer.text) < MOST_CHARACTERS


async def test_report_holds_no_secret(world: World, browser: Browser) -> None:
    """The answer of a target can hold a token, in each place of a report."""
    target, secret = world.api.dispatch.target, "Bearer abcdefgh"
    target.answers["1"].extend([Retry(reason=f"401 {secret}", after_s=30.0)] * 9)
    target.answers["2"].append(Reject(reason=f"422 {secret}"))
    await world.api.dispatch.append(1, 2)
    async with world.api.dispatch.running() as dispatcher:
        world.api.daemon.dispatchers[TARGET] = dispatcher
        await world.api.dispatch.turn(5)
        body = (await browser.context.flow.own_state({}, None)).as_body()

    assert body["subscribers"][TARGET]["here"]["failing"]
    assert "abcdefgh" not in json.dumps(body)
