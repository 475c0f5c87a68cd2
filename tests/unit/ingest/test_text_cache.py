"""The cache of former texts stays within its limit."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.ingest.reading.large_texts import TextCache


def test_last_text_of_a_field_is_kept() -> None:
    """Records and fields are told apart."""
    cache = TextCache(10_000)
    for record_id, field, text in [("1", "A", "x"), ("1", "B", "y"), ("2", "A", "z"), ("1", "A", "w")]:
        cache.put(record_id, field, text)

    assert [cache.get("1", "A"), cache.get("1", "B"), cache.get("2", "A"), cache.get("2", "B")] == [
        "w",
        "y",
        "z",
        None,
    ]


def test_least_recently_used_goes_first() -> None:
    """A record that changes again and again keeps its text."""
    cache = TextCache(2_500)
    cache.put("1", "A", "x" * 500)
    cache.put("2", "A", "x" * 500)
    cache.get("1", "A")
    cache.put("3", "A", "x" * 500)

    assert (cache.get("1", "A") is None, cache.get("2", "A") is None) == (False, True)


@given(
    puts=st.lists(
        st.tuples(st.sampled_from("12345678"), st.text(st.sampled_from("xé€😀"), max_size=3000)), max_size=30
    )
)
def test_limit_holds_for_any_characters(puts: list[tuple[str, str]]) -> None:
    """A character takes up to four bytes, and a text beyond the limit is not kept."""
    cache = TextCache(4_000)
    for record_id, text in puts:
        cache.put(record_id, "A", text)
        assert cache.size <= 4_000
    for record_id in "12345678":
        cache.forget(record_id, "A")

    assert cache.size == 0


def test_long_ids_count_too() -> None:
    """A record id comes from outside, and can be longer than the text."""
    cache = TextCache(100_000)
    for number in range(100):
        cache.put(f"{number}" * 10_000, "Description", "x")

    assert sum(cache.get(f"{number}" * 10_000, "Description") is not None for number in range(100)) < 10
