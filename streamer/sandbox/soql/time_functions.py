"""Functions of a date or a time in SOQL; times are UTC (SOQL and SOSL reference, date functions)."""

from collections.abc import Callable
from datetime import datetime

_FUNCTIONS: dict[str, Callable[[datetime], int | str]] = {
    "CALENDAR_YEAR": lambda at: at.year,
    "CALENDAR_QUARTER": lambda at: (at.month + 2) // 3,
    "CALENDAR_MONTH": lambda at: at.month,
    "DAY_IN_MONTH": lambda at: at.day,
    "DAY_IN_WEEK": lambda at: at.isoweekday() % 7 + 1,
    "DAY_IN_YEAR": lambda at: at.timetuple().tm_yday,
    "DAY_ONLY": lambda at: at.date().isoformat(),
    "FISCAL_YEAR": lambda at: at.year,
    "FISCAL_QUARTER": lambda at: (at.month + 2) // 3,
    "FISCAL_MONTH": lambda at: at.month,
    "HOUR_IN_DAY": lambda at: at.hour,
    "WEEK_IN_MONTH": lambda at: (at.day + 6) // 7,
    "WEEK_IN_YEAR": lambda at: (at.timetuple().tm_yday + 6) // 7,
}
TIME_FUNCTIONS = frozenset(_FUNCTIONS)


def time_part(function: str, value: object) -> int | str | None:
    """Return the result of a function for a stored date or time; `None` for null or for another value."""
    if not isinstance(value, str):
        return None
    try:
        return _FUNCTIONS[function](datetime.fromisoformat(value))
    except ValueError:
        return None
