"""Progress as commit metadata."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import SettledOffsets
from streamer.log.kafka.progress.metadata import (
    MAX_METADATA_BYTES,
    MAX_SETTLED_ABOVE,
    bears,
    decode,
    encode,
    marked,
    new_mark,
)

_BIG = 2**62


@st.composite
def some_progress(draw: st.DrawFn) -> SettledOffsets:
    """A prefix anywhere and runs above it, short and long, far apart and near."""
    end = next_offset = draw(st.integers(min_value=0, max_value=_BIG))
    settled: set[int] = set()
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 300)), max_size=30)):
        settled.update(range(end + gap, end + gap + length))
        end += gap + length
    return SettledOffsets(next_offset=next_offset, settled_above=frozenset(settled))


@given(some_progress())
def test_progress_comes_back_as_it_was(progress: SettledOffsets) -> None:
    """Progress that fits is kept whole."""
    committable = encode(progress)

    assert decode(committable.offset, committable.metadata) == progress
    assert committable.kept == len(progress.settled_above)


@given(some_progress())
def test_mark_says_which_transaction_committed_progress(progress: SettledOffsets) -> None:
    """And leaves the progress as it is."""
    metadata, mark = encode(progress).metadata, new_mark()

    assert decode(progress.next_offset, marked(metadata, mark)) == progress
    assert bears(marked(metadata, mark), mark)
    assert not bears(marked(metadata, mark), new_mark())
    assert not bears(metadata, mark)


def test_place_without_metadata_bears_no_mark() -> None:
    """Kafka's own tools commit without."""
    assert not bears(None, new_mark())


@given(st.integers(0, _BIG), st.sets(st.integers(0, 2**40), max_size=2_000))
def test_metadata_never_exceed_what_the_broker_takes(next_offset: int, above: set[int]) -> None:
    """Offsets that do not fit are left out from above, and the encoder says how much it kept."""
    progress = SettledOffsets(
        next_offset=next_offset, settled_above=frozenset(next_offset + offset for offset in above)
    )
    committable = encode(progress)
    kept = decode(committable.offset, committable.metadata).settled_above

    assert len(marked(committable.metadata, new_mark()).encode()) <= MAX_METADATA_BYTES
    assert sorted(progress.settled_above)[: committable.kept] == sorted(kept)


def test_as_much_is_kept_as_the_broker_takes() -> None:
    """Every second offset of three thousand fits, twice as many do not."""
    every_second = SettledOffsets(next_offset=0, settled_above=frozenset(range(1, 3_001, 2)))
    twice = SettledOffsets(next_offset=0, settled_above=frozenset(range(1, 6_001, 2)))

    assert encode(every_second).kept == 1_500
    assert 1_500 < encode(twice).kept < 3_000
    assert MAX_METADATA_BYTES - 4 < len(marked(encode(twice).metadata, new_mark())) <= MAX_METADATA_BYTES


def test_partition_is_crowded_once_three_quarters_are_taken() -> None:
    """Events in delivery when reading stops still fit."""
    runs = next(count for count in range(2_000) if encode(every_second(count)).crowded)
    least = encode(every_second(runs))

    assert 0 < len(least.metadata) - MAX_METADATA_BYTES * 0.75 <= 4
    assert not encode(every_second(runs - 1)).crowded
    assert least.kept == runs


def test_partition_of_which_something_was_left_out_is_crowded() -> None:
    """However few bytes the rest takes."""
    too_many = encode(SettledOffsets(next_offset=0, settled_above=frozenset(range(1, MAX_SETTLED_ABOVE + 2))))

    assert (too_many.kept, too_many.crowded) == (0, True)


def every_second(runs: int) -> SettledOffsets:
    """Return progress with `runs` single offsets settled above the prefix."""
    return SettledOffsets(next_offset=0, settled_above=frozenset(range(1, 2 * runs + 1, 2)))


def test_offsets_below_the_prefix_are_not_kept() -> None:
    """The prefix says it already."""
    committable = encode(SettledOffsets(next_offset=10, settled_above=frozenset({3, 9, 12})))

    assert decode(10, committable.metadata).settled_above == {12}


@pytest.mark.parametrize("metadata", [None, ""])
def test_an_offset_alone_is_progress(metadata: str | None) -> None:
    """Kafka's own tools commit without metadata."""
    assert decode(7, metadata) == SettledOffsets(next_offset=7)


@pytest.mark.parametrize("metadata", ["2:AQE=", "1:not Base64", "1:AQ==", "1:AYA=", "anything", "1:ü"])
def test_metadata_of_others_are_refused(metadata: str) -> None:
    """Guessing would leave events out."""
    with pytest.raises(ValueError, match="commit metadata"):
        decode(0, metadata)


def test_a_run_that_would_fill_memory_is_refused() -> None:
    """A few bytes can claim any number of offsets."""
    most = encode(SettledOffsets(next_offset=0, settled_above=frozenset(range(1, MAX_SETTLED_ABOVE + 1))))
    assert most.kept == MAX_SETTLED_ABOVE

    with pytest.raises(ValueError, match="too many"):
        decode(0, "1:AYGAgICAgICAfw==")
