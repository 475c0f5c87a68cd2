"""The days that date literals stand for."""

from datetime import date

import pytest

from streamer.sandbox.soql.date_literals import is_date_literal, span

THURSDAY = date(2024, 2, 29)


@pytest.mark.parametrize(
    ("literal", "first", "behind"),
    [
        ("YESTERDAY", "2024-02-28", "2024-02-29"),
        ("TODAY", "2024-02-29", "2024-03-01"),
        ("TOMORROW", "2024-03-01", "2024-03-02"),
        ("LAST_WEEK", "2024-02-18", "2024-02-25"),
        ("THIS_WEEK", "2024-02-25", "2024-03-03"),
        ("NEXT_WEEK", "2024-03-03", "2024-03-10"),
        ("LAST_MONTH", "2024-01-01", "2024-02-01"),
        ("THIS_MONTH", "2024-02-01", "2024-03-01"),
        ("THIS_QUARTER", "2024-01-01", "2024-04-01"),
        ("LAST_FISCAL_QUARTER", "2023-10-01", "2024-01-01"),
        ("NEXT_YEAR", "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", "2023-12-01", "2024-03-01"),
        ("NEXT_90_DAYS", "2024-03-01", "2024-05-30"),
        ("LAST_N_DAYS:3", "2024-02-26", "2024-03-01"),
        ("NEXT_N_DAYS:3", "2024-03-01", "2024-03-04"),
        ("N_DAYS_AGO:3", "2024-02-26", "2024-02-27"),
        ("LAST_N_WEEKS:2", "2024-02-11", "2024-02-25"),
        ("LAST_N_MONTHS:2", "2023-12-01", "2024-02-01"),
        ("N_MONTHS_AGO:2", "2023-12-01", "2024-01-01"),
        ("NEXT_N_YEARS:2", "2025-01-01", "2027-01-01"),
    ],
)
def test_a_literal_stands_for_days(literal: str, first: str, behind: str) -> None:
    """From the first day to the one behind the last."""
    assert tuple(map(str, span(literal, THURSDAY))) == (first, behind)


@pytest.mark.parametrize("text", ["", "TODAY:1", "LAST_N_DAYS", "LAST_N_DAYS:x", "THIS_DAY", "LAST_CENTURY"])
def test_other_words_are_no_date_literals(text: str) -> None:
    """A number stands where the literal has an N, and nowhere else."""
    assert not is_date_literal(text)
