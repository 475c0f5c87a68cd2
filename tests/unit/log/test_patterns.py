"""Event-type patterns mean the same in every log."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.log.patterns import glob, wants


@pytest.mark.parametrize(
    ("pattern", "event_type", "wanted"),
    [
        ("salesforce.cdc.Account.updated", "salesforce.cdc.Account.updated", True),
        ("salesforce.cdc.Account.updated", "salesforce.cdc.Account.updated2", False),
        ("salesforce.cdc.*.updated", "salesforce.cdc.Account.updated", True),
        ("salesforce.cdc.*", "salesforce.cdc.", True),
        ("salesforce.cdc.account.*", "salesforce.cdc.Account.updated", False),
        ("salesforce.cdc.Account", "salesforceXcdcXAccount", False),
        ("*", "", True),
    ],
)
def test_star_stands_for_any_run_of_characters(pattern: str, event_type: str, *, wanted: bool) -> None:
    """Every other character stands for itself."""
    assert wants([pattern])(event_type) is wanted


def test_one_of_several_patterns_is_enough() -> None:
    """A subscriber can name several kinds of event; no pattern wants nothing."""
    assert wants(["a.*", "b"])("b")
    assert not wants([])("b")


@pytest.mark.parametrize("pattern", [f"{'*' * 500}x", f"{'*a' * 200}x", f"{'*.*' * 200}x", "*,a*" * 200])
def test_no_pattern_takes_long(pattern: str) -> None:
    """A request for events can name any."""
    assert not wants([pattern])("salesforce.cdc.Account." + "a.updated" * 50)


@given(st.text("ab*?[]^-."), st.text("ab?[]^-."))
def test_sqlite_matches_what_python_matches(pattern: str, event_type: str) -> None:
    """A subscriber reads the same events from every log."""
    with closing(sqlite3.connect(":memory:")) as connection:
        matched = connection.execute("SELECT ? GLOB ?", (event_type, glob(pattern))).fetchone()[0]

    assert bool(matched) is wants([pattern])(event_type)
