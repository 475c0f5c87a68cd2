"""The cache of records stays within its bounds."""

from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.lookups.cache import CachedRecord, RecordCache
from streamer.events import record_id_of

FIELDS = frozenset({"name"})


def a_cache(**limits: Any) -> RecordCache:
    """Return an empty cache with these limits."""
    limits = {"lifetime_s": 60.0, "most_entries": 100, "most_bytes": 1_000_000} | limits
    return RecordCache(clock=TurnedClock(), **limits)


def put(cache: RecordCache, record_id: str, name: str = "Acme") -> None:
    """Put an account."""
    read_at = cache.clock.monotonic()
    record = CachedRecord(sobject="Account", values={"name": name}, fields=FIELDS, read_at=read_at)
    cache.put(record_id, record)


def test_least_recently_used_makes_room() -> None:
    """So a record that many events refer to stays."""
    cache = a_cache(most_entries=2)
    put(cache, "a")
    put(cache, "b")
    assert cache.get("Account", "a", FIELDS)
    put(cache, "c")
    assert [bool(cache.get("Account", each, FIELDS)) for each in "abc"] == [True, False, True]


def test_bytes_are_bounded_whatever_the_size_of_a_record() -> None:
    """One that is too large for itself is not kept."""
    cache = a_cache(most_bytes=5_000)
    for number in range(20):
        put(cache, str(number), "x" * 1_000)
        assert cache.size <= 5_000
    assert len(cache) == 3
    put(cache, "large", "x" * 6_000)
    assert cache.get("Account", "large", FIELDS) is None
    assert len(cache) == 3


def test_nothing_is_left_of_what_was_dropped() -> None:
    """Sizes add up."""
    cache = a_cache()
    put(cache, "a")
    put(cache, "a", "longer")
    put(cache, "b")
    cache.drop("a")
    cache.drop_object("Account")
    assert (len(cache), cache.size) == (0, 0)


def test_record_of_another_object_or_without_a_field_is_not_served() -> None:
    """An id belongs to one object, and what was not read is not known."""
    cache = a_cache()
    put(cache, "a")
    assert cache.get("Contact", "a", FIELDS) is None
    assert cache.get("Account", "a", FIELDS | {"phone"}) is None


def test_lifetime_of_nothing_keeps_nothing() -> None:
    """For those who want each record as it is now."""
    cache = a_cache(lifetime_s=0.0)
    put(cache, "a")
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("001D000000IRFma", "001D000000IRFmaIAH"),
        ("001D000000IRFmaIAH", "001D000000IRFmaIAH"),
        ("000000000000000", "000000000000000AAA"),
        ("000000000000000AAA", None),
        ("001*", None),
        ("001D000000IRFmä", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_ids_have_one_form(value: object, expected: str | None) -> None:
    """A reference of 15 characters finds the record that events name with 18."""
    assert record_id_of(value) == expected
