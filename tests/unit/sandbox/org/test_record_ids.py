"""Record ids and their checksums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.sandbox.org.record_ids import IdSequence, normal_id, with_checksum


@pytest.mark.parametrize(
    ("short_id", "long_id"),
    [
        ("001000000000001", "001000000000001AAA"),
        ("00D000000000062", "00D000000000062EAA"),
        ("00DAbCdEfGhIjKl", "00DAbCdEfGhIjKlMVK"),
    ],
)
def test_the_suffix_encodes_upper_case_letters(short_id: str, long_id: str) -> None:
    """Five characters to a letter, the first of them the lowest bit."""
    assert with_checksum(short_id) == long_id


@given(st.lists(st.sampled_from(["001", "003", "a00"]), max_size=200))
def test_ids_differ_even_without_case(prefixes: list[str]) -> None:
    """No two ids are the same when case is ignored, and each survives being shortened."""
    ids = IdSequence()
    issued = [ids.issue(prefix) for prefix in prefixes]
    assert len({each.casefold() for each in issued}) == len(issued)
    assert [normal_id(each[:15]) for each in issued] == issued


@pytest.mark.parametrize("text", ["", "001", "001-00000000001", "0" * 16, "é" * 15])
def test_what_is_no_id_is_told_apart(text: str) -> None:
    """Only 15 or 18 letters and digits can be an id."""
    assert normal_id(text) is None
