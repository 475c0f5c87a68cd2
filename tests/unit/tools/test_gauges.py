"""The counts of `make gauges`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streamer.events import Channel, OrgId
from tools.gauges import source
from tools.gauges.__main__ import Gauge
from tools.gauges.source import Module
from tools.gauges.way import Step, Tracer, Way, way_of

CHANNEL = Channel(org=OrgId("00D000000000001AAA"), path="/data/ChangeEvents")
_FIELDS = "".join(f"    field_{number}: int\n" for number in range(9))


def _module(text: str, path: str = "streamer/a.py") -> Module:
    return Module(path=path, text=text)


def _steps(*calls: tuple[str, str]) -> Sequence[Step]:
    return [Step(path=path, function=f"{path}:1 run", task=task) for path, task in calls]


def test_public_class_names_are_counted_over_all_modules() -> None:
    """Private classes may share a name, and nested classes count."""
    twice = _module("class Order: ...\nclass _Row: ...\n")
    nested = _module("class Lane:\n    class Order: ...\nclass _Row: ...\n", "subscribers/b.py")

    assert source.names_used_twice([twice, nested]) == ["Order"]


def test_function_is_as_long_as_its_lines_without_decorators() -> None:
    """Functions within functions are counted by themselves."""
    lengths = source.function_lengths(
        [_module("@cache\ndef outer():\n    async def inner():\n        ...\n    return inner\n")]
    )

    assert lengths == {"streamer/a.py:2 outer": 4, "streamer/a.py:3 inner": 2}
    assert source.median_length(lengths) == 3
    assert source.longest(lengths) == ("streamer/a.py:2 outer", 4)


@pytest.mark.parametrize(
    ("header", "method", "is_counted"),
    [
        ("@dataclass(frozen=True)", "", False),
        ("@dataclass(frozen=True)", "    @property\n    def total(self): ...\n", False),
        ("@dataclass(frozen=True)", "    def run(self): ...\n", True),
        ("@dataclass(frozen=True)", "    async def run(self): ...\n", True),
        ("@dataclass", "", True),
        ("@dataclasses.dataclass(slots=True)", "", True),
        ("@final", "", False),
    ],
)
def test_wide_dataclass_is_counted_unless_it_is_a_plain_value(
    header: str,
    method: str,
    is_counted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A plain value is frozen, and its methods only read."""
    found = source.wide_dataclasses([_module(f"{header}\nclass Wide:\n{_FIELDS}{method}")])

    assert found == (["streamer/a.py:2 Wide"] if is_counted else [])


def test_class_variables_are_not_fields() -> None:
    """Eight fields beside a class variable are not nine."""
    text = f"@dataclass\nclass Narrow:\n{_FIELDS.replace('field_0: int', 'field_0: ClassVar[int]')}"

    assert not source.wide_dataclasses([_module(text)])


def test_folder_holds_its_own_files_alone() -> None:
    """The files of its folders are theirs."""
    counts = source.files_of_folders([_module("", "streamer/a/b.py"), _module("", "streamer/a/c/d.py")])

    assert counts == {"streamer/a": 1, "streamer/a/c": 1}


def test_generated_modules_are_left_out(tmp_path: Path) -> None:
    """A person reads none of them."""
    folder = tmp_path / "streamer"
    folder.mkdir()
    for name in ("calls.py", "api_pb2.py"):
        (folder / name).write_text("", encoding="utf-8")

    assert [module.path for module in source.modules(tmp_path, "streamer")] == ["streamer/calls.py"]


def test_way_is_divided_where_the_feed_takes_the_event() -> None:
    """The files before are ingest's; those after are the delivery's, in other tasks."""
    steps = _steps(
        ("streamer/salesforce/source.py", "channel"),
        ("streamer/log/sqlite/log.py", "channel"),
        ("streamer/log/sqlite/feed.py", "target"),
        ("streamer/ingest/relay.py", "channel"),
        ("subscribers/webhook.py", "target"),
    )

    assert way_of([steps], ()) == Way(
        ingest=["streamer/log/sqlite/log.py", "streamer/salesforce/source.py"],
        delivery=["streamer/log/sqlite/feed.py", "subscribers/webhook.py"],
    )


def test_function_that_runs_while_idle_is_not_on_the_way() -> None:
    """It is not there because of the event."""
    steps = _steps(("streamer/clock.py", "timer"), ("streamer/ingest/relay.py", "channel"))

    assert way_of([steps], {steps[0].function}).ingest == ["streamer/ingest/relay.py"]


def test_function_of_one_event_alone_is_not_on_the_way() -> None:
    """A timer called it, or it was its first use."""
    steps = _steps(("streamer/ingest/relay.py", "channel"), ("streamer/quota/monitor.py", "limits"))

    assert way_of([steps, steps[:1]], ()).ingest == ["streamer/ingest/relay.py"]


def test_calls_outside_of_tasks_belong_to_the_part_in_which_they_come() -> None:
    """A thread of the log works for both."""
    steps = _steps(("streamer/log/sqlite/worker.py", ""), ("streamer/dispatch/loop.py", "target"))

    way = way_of([[*steps, steps[0]]], ())

    assert "streamer/log/sqlite/worker.py" in way.ingest
    assert "streamer/log/sqlite/worker.py" in way.delivery


_COROUTINES = """
async def inner(events, rounds):
    for event in events[:rounds]:
        await event.wait()

async def hands_on(events):
    await inner(events, 3)

async def takes_each(events):
    for event in events:
        await inner([event], 1)
"""


async def _traced(name: str) -> list[Sequence[str]]:
    """Return the names of the functions that run at each of three events, while a coroutine awaits them."""
    space: dict[str, Any] = {}
    source_path = Path(__file__).parents[3] / "streamer" / "coroutines.py"
    exec(compile(_COROUTINES, str(source_path), "exec"), space)  # noqa: S102 - the text above
    events = [asyncio.Event() for _ in range(3)]
    tracer = Tracer(is_noting=True)
    tracer.install()
    try:
        task = asyncio.create_task(space[name](events))
        await asyncio.sleep(0)
        tracer.taken()
        found: list[Sequence[str]] = []
        for event in events:
            event.set()
            await asyncio.sleep(0)
            found.append([step.function.split()[-1] for step in tracer.taken()])
        await task
    finally:
        tracer.remove()
    return found


async def test_coroutine_that_only_hands_a_result_on_is_not_on_the_way() -> None:
    """It is resumed with each result, and runs nothing of its own until what it awaits has ended."""
    assert await _traced("hands_on") == [["inner"], ["inner"], ["hands_on", "inner"]]


async def test_coroutine_that_awaits_another_result_is_on_the_way() -> None:
    """It runs between two results, although it awaits at one place."""
    found = await _traced("takes_each")

    assert [each[0] for each in found] == ["takes_each"] * 3


async def test_calls_of_the_tracing_task_are_not_on_the_way() -> None:
    """It asks the org for the events, and does not belong to the daemon."""
    tracer = Tracer(is_noting=True)
    tracer.install()
    try:
        CHANNEL.expires_at(0.0)
        in_task = await asyncio.create_task(_expiring(tracer))
    finally:
        tracer.remove()

    assert [step.function.split()[-1] for step in in_task] == ["Channel.expires_at"]


async def _expiring(tracer: Tracer) -> Sequence[Step]:
    CHANNEL.expires_at(0.0)
    return [step for step in tracer.taken() if step.function.endswith("Channel.expires_at")]


@pytest.mark.parametrize(("value", "holds"), [(24, True), (25, True), (26, False)])
def test_gauge_holds_up_to_its_target(
    value: int,
    holds: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The target stands beside the number, and a larger number is named."""
    gauge = Gauge(name="files", value=value, most=25)

    assert gauge.holds is holds
    assert "at most 25" in str(gauge)
    assert ("too many" in str(gauge)) is not holds
