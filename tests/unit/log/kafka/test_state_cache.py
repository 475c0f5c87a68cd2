"""Local copy of a state partition, and which records it knows that it has."""

from pathlib import Path

import pytest

from streamer.clock import TurnedClock
from streamer.events import EventId, LastChange, Partition, RecordState
from streamer.log.kafka.records.states import StateEncoder, StateRow, WrittenState
from streamer.log.kafka.states.cache import CopyOrigin, PlacedRow, StateCache, WrittenSpan
from streamer.log.kafka.states.folder import StateFolder
from streamer.log.kafka.states.memory import CopyMemory

_DAY_S = 86_400.0


class Copy:
    """A file, and the copies that use it one after the other."""

    def __init__(self, folder: Path) -> None:
        """Use a file in `folder`."""
        self.clock = TurnedClock()
        self.memory = CopyMemory()
        self._origin = CopyOrigin(
            entity="Account", topic_id="id", number=0, path=folder / "copy.db", tombstones_s=7 * _DAY_S
        )

    def open(self) -> StateCache:
        """Return the copy as a process has it that has just started."""
        return StateCache(self._origin, self.clock, self.memory)

    def crash(self, cache: StateCache) -> None:
        """Leave the file as the process that has it leaves it in a crash."""
        assert cache._connection is not None
        cache._connection.close()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy without records."""
    return Copy(tmp_path)


def a_state(record_id: str, name: str, *, number: int = 0) -> WrittenState:
    """Return a state whose last change came from the partition `number`."""
    last = LastChange(
        event_id=EventId(f"{record_id}-{name}"),
        time="2026-12-01T00:00:00.000Z",
        partition=Partition(topic="changes", number=number),
    )
    state = RecordState(entity="Account", record_id=record_id, fields={"Name": name}, last=last)
    return StateEncoder().encode(state, Partition(topic="states", number=0), 0)


def a_row(record_id: str, name: str) -> StateRow:
    """Return the row of a state that another process has written."""
    return a_state(record_id, name).row


def names(cache: StateCache, *record_ids: str) -> list[object]:
    """Return the names in the states that a copy has of these records."""
    return [(state.fields or {}).get("Name") for state in cache.get(record_ids)]


def read_to(cache: StateCache, end: int, *rows: PlacedRow, first: int = 0) -> int:
    """Bring a copy up to the offset `end`, and return where the reading began."""
    begin, unplaced = cache.begin(first, end)
    cache.put(rows, end)
    cache.finish(end, unplaced)
    return begin


def test_own_transactions_move_the_position(copy: Copy) -> None:
    """A marker follows each of them, and the next begins after it."""
    cache = copy.open()
    read_to(cache, 0)
    cache.apply([a_state("a", "1"), a_state("b", "1")], WrittenSpan(0, 1, 2))
    cache.apply([a_state("a", "2")], WrittenSpan(3, 3, 1))
    cache.close()

    again = copy.open()
    assert again.begin(0, 5)[0] == 4
    assert names(again, "a") == ["2"]


@pytest.mark.parametrize("span", [None, WrittenSpan(3, 3, 1), WrittenSpan(1, 1, 1), WrittenSpan(0, 2, 2)])
def test_unknown_records_are_read_before_the_next_look_up(copy: Copy, span: WrittenSpan | None) -> None:
    """Offsets that do not follow can hide a record of another process."""
    cache = copy.open()
    read_to(cache, 0)
    cache.apply([a_state("a", "1")], WrittenSpan(0, 0, 1) if span is None or span.first else None)
    cache.apply([a_state("a", "2")], span)

    assert not cache.is_complete
    assert read_to(cache, 9, PlacedRow(7, a_row("a", "3"))) <= 1
    assert cache.is_complete
    assert names(cache, "a") == ["3"]


def test_reader_that_is_late_overwrites_nothing(copy: Copy) -> None:
    """Rows below the position are in the file already, or were replaced."""
    cache = copy.open()
    cache.begin(0, 3)
    read_to(cache, 5, PlacedRow(4, a_row("a", "new")))
    cache.put([PlacedRow(1, a_row("a", "old"))], 2)

    assert names(cache, "a") == ["new"]


def test_reader_that_began_before_a_gap_does_not_close_it(copy: Copy) -> None:
    """It has not read the records of the gap."""
    cache = copy.open()
    begin = cache.begin(0, 3)
    cache.apply([a_state("a", "1")], None)
    cache.finish(3, begin[1])

    assert not cache.is_complete


def test_file_that_is_older_than_the_tombstones_is_dropped(copy: Copy) -> None:
    """The topic has forgotten deletions that the file has not seen."""
    cache = copy.open()
    read_to(cache, 5, PlacedRow(4, a_row("a", "1")))
    cache.close()
    copy.clock.jump(4 * _DAY_S)

    assert copy.open().begin(0, 5)[0] == 5
    assert copy.open().begin(0, 6)[0] == 0


def test_second_reader_of_a_new_file_goes_on_where_the_first_one_is(copy: Copy) -> None:
    """The first one has read the tombstones as well, so the file is not too old."""
    cache = copy.open()
    _, unplaced = cache.begin(0, 9)
    cache.put([PlacedRow(3, a_row("a", "1"))], 5)

    assert cache.begin(0, 9)[0] == 5
    cache.finish(9, unplaced)
    assert names(cache, "a") == ["1"]
    assert cache.is_complete


def test_record_of_another_change_partition_is_noticed(copy: Copy) -> None:
    """Another process can write such a partition too."""
    cache = copy.open()
    read_to(cache, 1, PlacedRow(0, a_row("a", "1")))
    assert not cache.has_strays
    cache.apply([a_state("b", "1", number=3)], WrittenSpan(1, 1, 1))
    cache.close()

    again = copy.open()
    again.begin(0, 2)
    assert again.has_strays


def test_crash_costs_only_a_reading_of_the_last_records(copy: Copy) -> None:
    """The file lacks them, and its position shows where they begin in the topic."""
    cache = copy.open()
    read_to(cache, 1, PlacedRow(0, a_row("a", "1")))
    cache.apply([a_state("a", "2")], WrittenSpan(1, 1, 1))
    assert names(cache, "a") == ["2"]
    copy.crash(cache)

    again = copy.open()
    assert read_to(again, 3, PlacedRow(1, a_row("a", "2"))) == 1
    assert names(again, "a") == ["2"]


def test_rows_are_saved_after_a_minute(copy: Copy) -> None:
    """So an old file does not lose its use when its process crashes."""
    cache = copy.open()
    read_to(cache, 0)
    copy.clock.jump(61.0)
    cache.apply([a_state("a", "1")], WrittenSpan(0, 0, 1))
    copy.crash(cache)

    assert copy.open().begin(0, 2)[0] == 1


def test_rows_are_saved_when_they_take_much_memory(copy: Copy) -> None:
    """The memory is shared by all copies of the process."""
    copy.memory.copies = 4
    cache = copy.open()
    read_to(cache, 0)
    cache.apply([a_state(str(number), "x" * 1_000_000) for number in range(5)], WrittenSpan(0, 4, 5))
    copy.crash(cache)

    assert copy.open().begin(0, 6)[0] == 5


def test_row_from_the_topic_replaces_a_state_that_this_process_has_written(copy: Copy) -> None:
    """Another process has written it later."""
    cache = copy.open()
    read_to(cache, 0)
    cache.apply([a_state("a", "1"), a_state("b", "1")], WrittenSpan(0, 1, 2))
    read_to(cache, 4, PlacedRow(3, a_row("a", "2")))

    assert names(cache, "a", "b", "c") == ["1", "2"]


def test_file_is_private(copy: Copy, tmp_path: Path) -> None:
    """It holds the records' values."""
    read_to(copy.open(), 1, PlacedRow(0, a_row("a", "1")))

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_processes_have_parts_of_their_own(tmp_path: Path) -> None:
    """A process that starts alone gets the former part again."""
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    assert [first.open().name, second.open().name] == ["0", "1"]
    first.close()

    assert StateFolder(tmp_path / "state").open().name == "0"
    assert (tmp_path / "state" / "0").stat().st_mode & 0o777 == 0o700
