"""`streamer flow --live` draws the map of a running daemon on a terminal."""

import asyncio
from collections.abc import AsyncIterator
from io import StringIO

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from streamer.cli import app
from streamer.cli.operating import live_flow
from streamer.cli.operating.api import Api
from streamer.clock import TurnedClock
from streamer.flow.flow_map import FlowMap, Level, NodeState
from streamer.flow.glossary import EXPLANATIONS
from streamer.flow.report import FlowReport
from streamer.flow.states import verdict_of
from streamer.observe.metrics import Metrics
from streamer.supervision.status import Status
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET
from tests.unit.flow.maps import flow_map, many, subscriber, troubled_map
from tests.waiting import turned, until


@pytest.fixture
def world() -> World:
    """A daemon in memory."""
    world = World()
    world.context.views.flow = FlowReport.of(
        world.context, Status(), Metrics(clock=world.clock).registry
    ).as_json
    return world


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asking]:
    """The API of that daemon."""
    async with world.asking() as asking:
        yield asking


def drawn(flow: FlowMap, width: int) -> str:
    """Return a picture without colours."""
    out = StringIO()
    terminal = Console(file=out, width=width, highlight=False)
    terminal.print(live_flow.picture(flow, terminal))
    return out.getvalue()


def test_picture_shows_channels_the_log_and_subscribers_side_by_side() -> None:
    """Every state is a word, and every badge stands at its part."""
    lines = drawn(troubled_map(), 200).splitlines()
    [invoice] = [each for each in lines if "invoice  ▲" in each]

    assert lines[0].startswith("acme.my.salesforce.com (production)")
    assert lines[1].startswith("▲ 4 parts need attention: ")
    assert lines[2] == "◆ Events also wait here: archive"
    assert "/data/ChangeEvents  ● reading" in invoice
    assert "▲ target down since 11:48 UTC (12 min)  1,204 waiting, oldest 5 min" in invoice
    assert "[12 parked]" in lines[lines.index(invoice) + 1]
    assert any("└─ 0/s ─▶  shipment  ● delivering" in each for each in lines)


def test_heading_names_each_part_that_the_console_names() -> None:
    """The console and the terminal take the verdict from one place."""
    flow = troubled_map()
    verdict = verdict_of(flow)
    named = drawn(flow, 1_000).splitlines()[1:3]

    assert named == [
        f"▲ {verdict.sentence}: {', '.join(each.name for each in verdict.broken)}",
        f"◆ {verdict.waiting_title}: {', '.join(each.name for each in verdict.waiting)}",
    ]
    assert [len(verdict.broken), len(verdict.waiting)] == [4, 1]


def test_parts_beyond_the_named_ones_are_counted() -> None:
    """A heading stays short, and hides no number."""
    paused = NodeState(word="paused", level=Level.WAITS)
    line = drawn(
        flow_map([subscriber(f"erp-{each}", state=paused) for each in range(8)]), 1_000
    ).splitlines()[1]

    assert line.startswith("◆ Nothing is broken, but some events wait: erp-0, erp-1, ")
    assert line.endswith("erp-5, and 2 more on the map")


def test_words_of_the_badges_are_explained_below_the_picture() -> None:
    """With the console's sentences; a calm map needs none."""
    lines = drawn(troubled_map(), 200).splitlines()

    assert lines[-2:] == [f"{word.capitalize()}: {EXPLANATIONS[word]}." for word in ("hole", "parked")]
    assert "Parked:" not in drawn(flow_map([subscriber()]), 200)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("flow", [flow_map(), flow_map([subscriber()]), troubled_map(), flow_map(many(60))])
def test_picture_fits_the_terminal(flow: FlowMap, width: int) -> None:
    """Every part is there, and no line is longer than the terminal is wide."""
    picture = drawn(flow, width)

    assert all(len(line) <= width for line in picture.splitlines())
    words = "".join(picture.split())
    assert all(each.name in words for each in flow.subscribers)


async def test_picture_is_printed_once_into_a_pipe(ask: Asking) -> None:
    """Without colours."""
    result = await ask.command("flow", "--live")

    assert result.exit_code == 0, result.output
    assert f"{TARGET}  ○ not here  another process delivers" in result.output
    assert "● Everything flows" in result.output
    assert "\x1b" not in result.output


async def test_json_is_that_of_the_api(ask: Asking) -> None:
    """For scripts."""
    result = await ask.command("flow", "--live", "--json")

    found = orjson.loads(result.output)
    assert [each["name"] for each in found["subscribers"]] == [TARGET, "idle"]


async def test_terminal_draws_again_until_ctrl_c(
    world: World, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that no longer answers is told, and the last picture stays."""
    out, clock = StringIO(), TurnedClock()
    terminal = Console(file=out, force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr(live_flow, "console", lambda: terminal)
    api = Api(url=str(ask.client.make_url("/")))
    task = asyncio.create_task(live_flow.watched(api, clock, as_json=False))
    await until(lambda: "Everything flows" in out.getvalue())
    await world.fail(1)
    # The dead letters are counted once a minute.
    await world.clock.turn(61)
    await turned(clock, lambda: "1 dead letter" in out.getvalue())
    world.context.views.flow = None
    await turned(clock, lambda: "try again later" in out.getvalue())
    task.cancel()
    await task

    assert out.getvalue().count(TARGET) > 2


def test_mistake_in_the_arguments_is_told() -> None:
    """Without a connection."""
    runner = CliRunner()
    neither = runner.invoke(app, ["flow"])
    both = runner.invoke(app, ["flow", "--live", "--svg", "map.svg"])

    assert (neither.exit_code, both.exit_code) == (2, 2)
    assert "or --live" in neither.output
    assert "does not go with --live" in both.output


async def test_daemon_that_can_not_be_reached_is_told() -> None:
    """With the status of a refusal."""
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["flow", "--live", "--url", "http://localhost:1"]
    )

    assert (result.exit_code, "can't be reached" in result.output) == (1, True)
