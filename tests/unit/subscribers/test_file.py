"""Files of JSON Lines have only whole lines, even after a crash."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Hold, Reject, Retry, Skip
from streamer.ports import Preview
from subscribers.file import File, line_file
from subscribers.lines import failure, write_whole
from tests.deliveries import context, delivery, event
from tests.unit.subscribers.file_sizes import room_for
from tests.waiting import LIMIT_S


def order(number: int, **more: Any) -> Delivery:
    """Return the delivery of an order."""
    return delivery(event(subject=f"801{number:012d}AAA"), body={"number": number, **more})


@contextmanager
def opened(path: object, clock: TurnedClock | None = None, **settings: Any) -> Iterator[File]:
    """Open a plugin that writes numbers into a file."""
    read = File.Settings.model_validate({"path": str(path), "format": "body", **settings})
    with File(read, context(clock or TurnedClock())) as plugin:
        yield plugin


def written(path: Path) -> list[Any]:
    """Return the numbers in a file; each of its lines must be whole."""
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [orjson.loads(line)["number"] for line in content.splitlines()]


def test_line_is_a_cloudevent(tmp_path: Path) -> None:
    """By default, with the body as its data, and nobody else can read it."""
    with opened(tmp_path / "a.jsonl", format="structured") as plugin:
        assert isinstance(plugin.deliver(order(1)), Delivered)

    [line] = (tmp_path / "a.jsonl").read_text().splitlines()
    found = orjson.loads(line)
    assert (found["specversion"], found["type"]) == ("1.0", "salesforce.cdc.Order.created")
    assert found["data"] == {"number": 1}
    assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o600


def test_mode_holds_against_the_umask(tmp_path: Path) -> None:
    """The reader's group keeps its right."""
    before = os.umask(0o077)
    try:
        with opened(tmp_path / "a", mode="0640") as plugin:
            plugin.deliver(order(1))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("torn", [b'{"number": 2, "na', b"\0" * 100, b'{"a": "' + b"x" * 200_000])
def test_torn_line_of_a_crash_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """Its event was not recorded as delivered, and comes again."""
    path = tmp_path / "a"
    path.write_bytes(b'{"number": 1}\n' + torn)

    with opened(path) as plugin:
        plugin.deliver(order(2))

    assert written(path) == [1, 2]


def test_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    """It is whole."""
    path = tmp_path / "a"
    path.write_bytes(b'{"number": 1}')

    with opened(path) as plugin:
        plugin.deliver(order(2))

    assert written(path) == [1, 2]


def test_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """A path with a mistake in it destroys nothing."""
    path = tmp_path / "a"
    path.write_bytes(b"\x7fELF and more")

    with opened(path) as plugin:
        outcome = plugin.deliver(order(1))

    assert isinstance(outcome, Hold)
    assert "the end of the file is not JSON Lines" in outcome.reason
    assert path.read_bytes() == b"\x7fELF and more"


def test_line_that_fits_in_part_is_taken_out_again(tmp_path: Path) -> None:
    """A reader never sees a part, and the next line stands on its own."""
    path = tmp_path / "a"
    with opened(path) as plugin:
        plugin.deliver(order(1))
        with room_for(path.stat().st_size + 10):
            outcome = plugin.deliver(order(2))
        assert written(path) == [1]
        plugin.deliver(order(2))

    assert isinstance(outcome, Retry)
    assert "file too large" in outcome.reason
    assert written(path) == [1, 2]


def test_full_disk_is_a_retry_that_says_what_to_do() -> None:
    """/dev/full is a disk without any room."""
    with Path("/dev/full").open("wb", 0) as disk, pytest.raises(OSError, match="No space") as full:
        write_whole(disk.fileno(), b"line")

    assert failure(full.value, "/data/a") == Retry(
        reason="/data/a: no space left on device: free some space, or write to another disk"
    )


def test_full_file_is_renamed_and_the_oldest_are_removed(tmp_path: Path) -> None:
    """No line is split between two files."""
    path = tmp_path / "a.jsonl"
    with opened(path, max_bytes=1024, keep=2) as plugin:
        for number in range(10):
            plugin.deliver(order(number, text="x" * 400))

    kept = sorted(tmp_path.iterdir())
    assert [each.name for each in kept] == ["a.jsonl", "a.jsonl.000003", "a.jsonl.000004"]
    assert [written(each) for each in kept] == [[8, 9], [4, 5], [6, 7]]


def test_path_holds_the_entity_and_the_time(tmp_path: Path) -> None:
    """Each day and each entity has a file of its own."""
    clock = TurnedClock()
    with opened(tmp_path / "{entity}" / "%Y-%m-%d.jsonl", clock) as plugin:
        plugin.deliver(order(1))
        clock.jump(86_400)
        plugin.deliver(order(2))

    assert written(tmp_path / "Order" / "2025-01-01.jsonl") == [1]
    assert written(tmp_path / "Order" / "2025-01-02.jsonl") == [2]


def test_value_can_not_leave_its_folder(tmp_path: Path) -> None:
    """A field that holds a path is a name."""
    with opened(tmp_path / "{data.fields.City}") as plugin:
        plugin.deliver(delivery(event(data={"fields": {"City": "../../etc/passwd"}}), body={"number": 1}))

    assert [each.name for each in tmp_path.iterdir()] == ["..%2F..%2Fetc%2Fpasswd"]


def test_many_paths_keep_few_files_open(tmp_path: Path) -> None:
    """A file for each record uses up no descriptors."""
    with opened(tmp_path / "{record_id}") as plugin:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(100):
            assert isinstance(plugin.deliver(order(number)), Delivered)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 33

    assert len(list(tmp_path.iterdir())) == 100
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """A rotation by another program loses nothing."""
    path = tmp_path / "a"
    with opened(path) as plugin:
        plugin.deliver(order(1))
        path.rename(tmp_path / "b")
        plugin.deliver(order(2))
        path.unlink()
        plugin.deliver(order(3))

    assert written(tmp_path / "b") == [1]
    assert written(path) == [3]


def test_threads_share_writes_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are whole, and what counts as delivered was written to the disk."""
    syncs: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        syncs.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counted)
    with opened(tmp_path / "a", max_bytes=4096) as plugin, ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(plugin.deliver, map(order, range(400))))

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    found = [number for path in tmp_path.iterdir() for number in written(path)]
    assert sorted(found) == list(range(400))
    assert syncs


@pytest.mark.parametrize(("policy", "syncs"), [("always", 3), ("interval", 2), ("never", 0)])
def test_policy_says_when_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, syncs: int
) -> None:
    """Each line; after a second, and at the end; or as the system likes."""
    seen: list[int] = []
    clock = TurnedClock()
    with opened(tmp_path / "a", clock, fsync=policy) as plugin:
        plugin.deliver(order(0))
        monkeypatch.setattr(os, "fsync", seen.append)
        plugin.deliver(order(1))
        clock.jump(1)
        plugin.deliver(order(2))
        plugin.deliver(order(3))

    assert len(seen) == syncs


def test_line_that_the_disk_refused_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fsync that succeeds proves nothing about the first one's lines."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path / "a") as plugin:
        plugin.deliver(order(1))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            outcome = plugin.deliver(order(2))
        assert isinstance(plugin.deliver(order(2)), Delivered)

    assert isinstance(outcome, Retry)
    assert written(tmp_path / "a") == [1, 2, 2]


def test_failed_write_to_the_disk_fails_all_lines_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports it once, and a second thread's own would succeed."""
    written, failed = threading.Event(), threading.Event()
    lines: list[bytes] = []
    calls: list[int] = []

    def write(descriptor: int, line: bytes) -> None:
        write_whole(descriptor, line)
        lines.append(line)
        if len(lines) == 2:
            written.set()
            # The line is in the file, and its thread has not come further.
            assert failed.wait(LIMIT_S)

    def fail_first(file: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            assert written.wait(LIMIT_S)
            failed.set()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path / "a") as plugin, ThreadPoolExecutor(2) as threads:
        plugin.deliver(order(0))
        monkeypatch.setattr(line_file, "write_whole", write)
        monkeypatch.setattr(os, "fsync", fail_first)
        outcomes = list(threads.map(plugin.deliver, map(order, (1, 2))))
        assert isinstance(plugin.deliver(order(3)), Delivered)

    assert [type(outcome) for outcome in outcomes] == [Retry, Retry]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """The second one waits, and says what to do."""
    with opened(tmp_path / "a") as first, opened(tmp_path / "a") as second:
        first.deliver(order(1))
        outcome = second.deliver(order(2))

    assert isinstance(outcome, Retry)
    assert "give each process and each subscriber a path of its own" in outcome.reason
    assert written(tmp_path / "a") == [1]


@pytest.mark.parametrize(
    ("path", "kind", "sentence"),
    [
        ("missing/a", Hold, "create the folder of this path"),
        ("missing/{entity}", Hold, "create the folder of this path"),
        (".", Hold, "set path to a regular file that nothing else writes to"),
        ("{data.fields.City}", Reject, "no whole number for {data.fields.City}"),
        ("x" * 300, Reject, "too long"),
    ],
)
def test_path_that_can_not_be_written_to(tmp_path: Path, path: str, kind: type, sentence: str) -> None:
    """An operator learns what to do, and no event is lost by it."""
    at = f"{tmp_path}/folder" if path == "." else f"{tmp_path}/{path}"
    (tmp_path / "folder").mkdir()
    with opened(at) as plugin:
        outcome = plugin.deliver(order(1))

    assert type(outcome) is kind
    assert sentence in repr(outcome)


def test_line_can_be_shown_before_it_is_written(tmp_path: Path) -> None:
    """With its file, which is not made."""
    read = File.Settings.model_validate({"path": f"{tmp_path}/{{entity}}", "format": "body"})
    shown = File(read, context(TurnedClock())).preview(order(1))

    assert shown == Preview(request=f"APPEND {tmp_path}/Order", content=b'{"number":1}\n')
    assert not list(tmp_path.iterdir())


def test_event_that_carries_nothing_of_the_body_is_skipped(tmp_path: Path) -> None:
    """An empty line would tell nothing."""
    with opened(tmp_path / "a") as plugin:
        assert isinstance(plugin.deliver(delivery(body={})), Skip)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"path": "/data/"}, "must name a file"),
        ({"path": "/data/%Q"}, "%Q is not a part of the time"),
        ({"path": "/data/a%"}, "ends with a %"),
        ({"path": "/data/{city}"}, "{city} is not a placeholder"),
        ({"path": "/data/a", "mode": "999"}, "pattern"),
        ({"path": "/data/a", "max_bytes": 10}, "greater than or equal to 1024"),
    ],
)
def test_mistake_is_a_clear_sentence(settings: dict[str, Any], sentence: str) -> None:
    """It names the mistake and the allowed values."""
    with pytest.raises(ValidationError) as error:
        File.Settings.model_validate(settings)

    assert sentence in str(error.value)
