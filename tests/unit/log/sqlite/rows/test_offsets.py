"""Sets of settled offsets are stored as runs."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.log.sqlite.rows.subscribers import decode_offsets, encode_offsets


@given(st.frozensets(st.integers(0, 2**62)) | st.frozensets(st.integers(0, 60)))
def test_offsets_come_back(offsets: frozenset[int]) -> None:
    """Any set is read as it was written."""
    assert decode_offsets(encode_offsets(offsets)) == offsets


def test_neighbours_take_no_room() -> None:
    """A lane that holds up a million others costs a few bytes."""
    assert encode_offsets(range(5, 1_000_005)) == "[5,1000004]"
