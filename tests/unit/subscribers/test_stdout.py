"""Events on the standard output."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Hold, Outcome, Reject, Retry, Skip
from subscribers import stdout as stdouts
from subscribers.stdout import Stdout
from tests.deliveries import ORDER, context, delivery
from tests.unit.subscribers.file_sizes import room_for
from tests.waiting import LIMIT_S


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe that stands for the standard output."""
    reading, writing = os.pipe()
    monkeypatch.setattr(stdouts, "_STDOUT", writing)
    monkeypatch.setattr(Stdout, "_output", stdouts._Output())
    yield reading, writing
    os.close(writing)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the path of a file that stands for the standard output."""
    path = tmp_path / "out"
    with path.open("wb") as file:
        monkeypatch.setattr(stdouts, "_STDOUT", file.fileno())
        monkeypatch.setattr(Stdout, "_output", stdouts._Output())
        yield path


def plugin(form: str = "structured") -> Stdout:
    """Return a plugin that writes in that form."""
    return Stdout(Stdout.Settings.model_validate({"format": form}), context(TurnedClock()))


def shown(pipe: tuple[int, int], form: str, what: Delivery) -> str:
    """Return what a delivery writes."""
    assert isinstance(plugin(form).deliver(what), Delivered)
    return os.read(pipe[0], 100_000).decode()


def test_event_is_one_line(pipe: tuple[int, int]) -> None:
    """Programs read it from a pipe."""
    line = shown(pipe, "structured", delivery(body={"text": "one\ntwo"}))

    assert line.count("\n") == 1
    assert orjson.loads(line)["data"] == {"text": "one\ntwo"}


def test_body_stands_alone(pipe: tuple[int, int]) -> None:
    """In the shape that the subscriber gives it."""
    assert shown(pipe, "body", delivery(body={"total": 12.5})) == '{"total":12.5}\n'


def test_person_reads_the_event(pipe: tuple[int, int]) -> None:
    """Time, type and record first."""
    assert shown(pipe, "pretty", delivery(body={"total": 12.5})) == (
        f"2025-01-01T00:00:00.000Z  salesforce.cdc.Order.created  {ORDER}\n" + '{\n  "total": 12.5\n}\n\n'
    )


def test_field_can_not_drive_the_terminal(pipe: tuple[int, int]) -> None:
    """Control characters are replaced."""
    assert shown(pipe, "text", delivery(text="a\x1b[2Jb\x9bc\r\n\td")) == "a\ufffd[2Jb\ufffdc\ufffd\n\td\n"


@pytest.mark.parametrize(
    ("form", "what", "kind"),
    [
        ("structured", delivery(body={}), Skip),
        ("pretty", delivery(body={}), Skip),
        ("pretty", delivery(body=2**70), Reject),
        ("text", delivery(), Reject),
    ],
)
def test_what_can_not_be_written_has_an_outcome(
    pipe: tuple[int, int], form: str, what: Delivery, kind: type[Outcome]
) -> None:
    """And nothing is written."""
    assert type(plugin(form).deliver(what)) is kind
    os.set_blocking(pipe[0], False)
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)


def test_reader_that_has_gone_holds_the_target(pipe: tuple[int, int]) -> None:
    """The events stay in the log, and the daemon goes on."""
    os.close(pipe[0])

    outcome = plugin().deliver(delivery())

    assert isinstance(outcome, Hold)
    assert outcome.reason == (
        "the standard output: broken pipe: start the daemon together with a program that reads the output"
    )


def test_line_begins_anew_after_a_part_of_another_subscribers(out: Path) -> None:
    """Both write to the one standard output of the process, which had no room for a while."""
    first, second = plugin("body"), plugin("body")
    with room_for(5):
        torn = first.deliver(delivery(body={"total": 1}))
    whole = second.deliver(delivery(body={"total": 2}))

    assert (type(torn), type(whole)) == (Retry, Delivered)
    assert out.read_bytes().splitlines() == [b'{"tot', b'{"total":2}']


def test_line_of_which_nothing_was_written_leaves_no_empty_one(out: Path) -> None:
    """Programs that read lines of JSON stop at an empty line."""
    with room_for(0):
        failed = plugin("body").deliver(delivery(body={"total": 1}))
    again = plugin("body").deliver(delivery(body={"total": 1}))

    assert (type(failed), type(again)) == (Retry, Delivered)
    assert out.read_bytes().splitlines() == [b'{"total":1}']


def test_slow_reader_is_waited_for(pipe: tuple[int, int]) -> None:
    """Even where another program has switched the pipe to non-blocking."""
    os.set_blocking(pipe[1], False)
    with os.fdopen(os.dup(pipe[0]), "rb") as reader:
        read: list[bytes] = []
        thread = Thread(target=lambda: read.append(reader.readline()))
        thread.start()
        outcome = plugin("body").deliver(delivery(body="x" * 300_000))
        thread.join(LIMIT_S)

    assert isinstance(outcome, Delivered)
    assert orjson.loads(read[0]) == "x" * 300_000
