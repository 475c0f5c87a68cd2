"""Date literals of SOQL, such as `TODAY` and `LAST_N_DAYS:3`.

The source is the SOQL and SOSL reference, date formats and date literals. Weeks begin
on Sunday, as in the locale en_US, and fiscal years are calendar years.
"""

import re
from datetime import date, timedelta

Span = tuple[date, date]
"""The first day, and the day after the last day."""

_LITERAL = re.compile(
    r"""(?P<day>YESTERDAY|TODAY|TOMORROW)
    | (?P<near>LAST|THIS|NEXT)_(?:FISCAL_)?(?P<one>WEEK|MONTH|QUARTER|YEAR)
    | (?P<side>LAST|NEXT)_(?:90_DAYS|N_(?:FISCAL_)?(?P<many>DAY|WEEK|MONTH|QUARTER|YEAR)S:(?P<n>\d+))
    | N_(?:FISCAL_)?(?P<past>DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO:(?P<ago>\d+)
    """,
    re.VERBOSE,
)
_DAYS = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
_NEAR = {"LAST": -1, "THIS": 0, "NEXT": 1}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def is_date_literal(text: str) -> bool:
    """Return whether this text, in upper case, is a date literal."""
    return _LITERAL.fullmatch(text) is not None


def span(text: str, today: date) -> Span:
    """Return the span of days for a date literal.

    Raises `OverflowError` or `ValueError` for days outside of the calendar.
    """
    found = _LITERAL.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is not a date literal.")
    if found["day"]:
        return _units("DAY", today, _DAYS[found["day"]])
    if found["near"]:
        return _units(found["one"], today, _NEAR[found["near"]])
    if found["past"]:
        return _units(found["past"], today, -int(found["ago"]))
    unit, number = found["many"] or "DAY", int(found["n"] or 90)
    if found["side"] == "NEXT":
        return _start(unit, today, 1), _start(unit, today, number + 1)
    # The last days include today; the last weeks, months and years end before this one.
    return _start(unit, today, -number), _start(unit, today, 1 if unit == "DAY" else 0)


def _units(unit: str, today: date, distance: int) -> Span:
    """Return the day, week or other unit that is `distance` units after the current one."""
    return _start(unit, today, distance), _start(unit, today, distance + 1)


def _start(unit: str, today: date, distance: int) -> date:
    if unit == "DAY":
        return today + timedelta(days=distance)
    if unit == "WEEK":
        return today + timedelta(days=7 * distance - today.isoweekday() % 7)
    length = _MONTHS[unit]
    month = today.year * 12 + today.month - 1
    year, index = divmod(month - month % length + distance * length, 12)
    return date(year, index + 1, 1)
