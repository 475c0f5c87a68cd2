"""Functions of dates and times, which are texts in the format of RFC 3339.

No function returns the current time, because an event must have the same body on
every attempt.
"""

import calendar
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streamer.expressions.functions.function import (
    Function,
    Parameter,
    UnfitArgument,
    a_text,
    bounded,
    kind_of,
    one_of,
    shown,
)
from streamer.expressions.functions.numbers import a_decimal, number

_LONGEST = 100
_LONGEST_FORMAT = 200
_DATE_CHARACTERS = len("2025-01-31")
_SECONDS = {
    "milliseconds": Decimal("0.001"),
    "seconds": Decimal(1),
    "minutes": Decimal(60),
    "hours": Decimal(3600),
    "days": Decimal(86_400),
    "weeks": Decimal(604_800),
}
_MONTHS = {"months": 1, "years": 12}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = ("seconds", "milliseconds")
_MOST = 10_000_000_000
_MICROSECONDS = 1_000_000
_PLACES = 9
_OF_CALENDARS = frozenset({"days", "weeks"})

_Day = TypeVar("_Day", date, datetime)
_Result = TypeVar("_Result")


def a_time(value: Any) -> datetime | date:
    """Read a date, or a time with its offset from UTC."""
    if not isinstance(value, str):
        raise UnfitArgument(f"must be a text with a date or a time, found {kind_of(value)}")
    try:
        if len(value) == _DATE_CHARACTERS:
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value[:_LONGEST])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UnfitArgument(f"must look like 2025-01-31 or 2025-01-31T12:00:00Z, found {shown(value)}")
    return moment


def a_moment(value: Any) -> datetime:
    """Read a time with its offset from UTC."""
    found = a_time(value)
    if isinstance(found, datetime):
        return found
    raise UnfitArgument(f"must look like 2025-01-31T12:00:00Z, found the date {shown(value)}")


def a_zone(value: Any) -> tzinfo:
    """Read the name of a time zone."""
    text = a_text(value)
    try:
        if text:
            return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        # The name is not valid, or is a path to a file outside of the folder of the time zones.
        pass
    raise UnfitArgument(f"must be a time zone such as Europe/Berlin, found {shown(text)}")


def _a_format(value: Any) -> str:
    text = a_text(value)
    try:
        formatted = datetime(2025, 1, 31, tzinfo=UTC).strftime(text[:_LONGEST_FORMAT])
    except (ValueError, UnicodeError):
        formatted = ""
    if len(text) <= _LONGEST_FORMAT and formatted and "\0" not in text:
        return text
    raise UnfitArgument(f"must be a format such as %d.%m.%Y %H:%M, found {shown(text)}")


def _text_of(moment: datetime | date) -> str:
    """Return the time in the format of RFC 3339, with `Z` for UTC, and without trailing zero fractions."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    precision = "auto" if moment.microsecond % 1000 else "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).removesuffix("+00:00") + "Z" * (not moment.utcoffset())


def _guarded(compute: Callable[[], _Result]) -> _Result:
    try:
        return compute()
    except UnfitArgument:
        raise
    except (OverflowError, ValueError):
        raise UnfitArgument("the result is not between the years 1 and 9999") from None


def _parse_time(text: str, format_: str, zone: tzinfo = UTC) -> str:
    try:
        parsed = datetime.strptime(text.strip()[:_LONGEST], format_)  # noqa: DTZ007 - the zone is added below
    except ValueError:
        raise UnfitArgument(f"{shown(text)} does not have the format {shown(format_)}") from None
    except Exception:  # noqa: BLE001 - strptime compiles a format into a regular expression, which can fail in any way
        raise UnfitArgument(f"{shown(format_)} is not a valid format for parsing") from None
    return _text_of(parsed if parsed.tzinfo else parsed.replace(tzinfo=zone))


def _parse_date(text: str, format_: str) -> str:
    return _parse_time(text, format_)[:_DATE_CHARACTERS]


def _to_zone(moment: datetime, zone: tzinfo) -> str:
    return _guarded(lambda: _text_of(moment.astimezone(zone)))


def _format_time(moment: datetime | date, format_: str, zone: tzinfo | None = None) -> str:
    if isinstance(moment, datetime) and zone is not None:
        local = moment
        moment = _guarded(lambda: local.astimezone(zone))
    return bounded(moment.strftime(format_))


def _date_of(moment: datetime | date, zone: tzinfo | None = None) -> str:
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return _guarded(lambda: (moment.astimezone(zone) if zone else moment).date().isoformat())


def _add_time(moment: datetime | date, amount: Decimal, unit: str, zone: tzinfo | None = None) -> str:
    """Return the time `amount` units later; with `zone`, days and longer units follow its local calendar."""
    if not isinstance(moment, datetime):
        return _guarded(lambda: _text_of(_date_after(moment, amount, unit)))
    return _guarded(lambda: _text_of(_moment_after(moment, amount, unit, zone)))


def _date_after(day: date, amount: Decimal, unit: str) -> date:
    if unit in _MONTHS:
        return _months_after(day, _whole_months(amount, unit))
    days = amount * _SECONDS[unit] / _SECONDS["days"]
    if days % 1:
        raise UnfitArgument("only whole days can be added to a date")
    return day + timedelta(days=int(days))


def _moment_after(moment: datetime, amount: Decimal, unit: str, zone: tzinfo | None) -> datetime:
    local = moment if zone is None else moment.astimezone(zone)
    if unit in _MONTHS:
        return _existing(_months_after(local, _whole_months(amount, unit)))
    step = timedelta(microseconds=int(amount * _SECONDS[unit] * _MICROSECONDS))
    if unit in _OF_CALENDARS:
        return _existing(local + step)
    return (local.astimezone(UTC) + step).astimezone(local.tzinfo)


def _whole_months(amount: Decimal, unit: str) -> int:
    if amount % 1:
        raise UnfitArgument(f"only whole {unit} can be added")
    return int(amount) * _MONTHS[unit]


def _months_after(day: _Day, months: int) -> _Day:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not MINYEAR <= year <= MAXYEAR:
        raise OverflowError
    # A day that the month does not have becomes the month's last day.
    last = calendar.monthrange(year, month + 1)[1]
    return day.replace(year=year, month=month + 1, day=min(day.day, last))


def _existing(local: datetime) -> datetime:
    """Return a local time; move a time that the change to summer time skips to after the change."""
    return local.astimezone(UTC).astimezone(local.tzinfo)


def _time_between(begin: datetime | date, end: datetime | date, unit: str) -> Any:
    if isinstance(begin, datetime) or isinstance(end, datetime):
        begin, until = _midnight(begin), _midnight(end)
        zone = begin.tzinfo
        end = _guarded(lambda: until.astimezone(zone))
    if unit in _MONTHS:
        months = _months_between(begin, end) if begin <= end else -_months_between(end, begin)
        return int(months / _MONTHS[unit])
    micros = _difference(begin, end) // timedelta(microseconds=1)
    return number(round(Decimal(micros) / _MICROSECONDS / _SECONDS[unit], _PLACES))


def _difference(begin: Any, end: Any) -> timedelta:
    # The caller passes either two dates or two times.
    difference: timedelta = end - begin
    return difference


def _months_between(begin: Any, end: Any) -> int:
    """Return the number of whole months from `begin` to a later `end`."""
    months: int = (end.year - begin.year) * 12 + end.month - begin.month
    return months if _months_after(begin, months) <= end else months - 1


def _midnight(moment: datetime | date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)


def _to_epoch(moment: datetime | date, unit: str = "seconds") -> Any:
    micros = (_midnight(moment) - _EPOCH) // timedelta(microseconds=1)
    return number(Decimal(micros) / _MICROSECONDS / _SECONDS[unit])


def _from_epoch(amount: Decimal, unit: str = "seconds") -> Any:
    micros = amount * _SECONDS[unit] * _MICROSECONDS
    return _guarded(lambda: _text_of(_EPOCH + timedelta(microseconds=int(micros))))


def _an_amount(value: Any) -> Decimal:
    amount = a_decimal(value)
    if abs(amount) <= _MOST:
        return amount
    raise UnfitArgument(f"must be a number between -{_MOST:,} and {_MOST:,}")


_TEXT = partial(Parameter, kinds=("string",))
_TIME = _TEXT(name="time", read=a_time)
_MOMENT = _TEXT(name="time", read=a_moment)
_ZONE = _TEXT(name="zone", read=a_zone)
_LOCAL = _TEXT(name="zone", read=a_zone, is_optional=True)
_FORMAT = _TEXT(name="format", read=_a_format)
_UNIT = _TEXT(name="unit", read=one_of(*_SECONDS, *_MONTHS))
_AMOUNT = Parameter(name="amount", read=_an_amount, kinds=("number", "string"))
_EPOCH_UNIT = _TEXT(name="unit", read=one_of(*_EPOCH_UNITS), is_optional=True)
_time_function = partial(Function, returns="string")

FUNCTIONS = (
    _time_function(
        name="parse_time", parameters=(_TEXT(name="text", read=a_text), _FORMAT, _LOCAL), call=_parse_time
    ),
    _time_function(
        name="parse_date", parameters=(_TEXT(name="text", read=a_text), _FORMAT), call=_parse_date
    ),
    _time_function(name="to_zone", parameters=(_MOMENT, _ZONE), call=_to_zone),
    _time_function(name="format_time", parameters=(_TIME, _FORMAT, _LOCAL), call=_format_time),
    _time_function(name="date", parameters=(_TIME, _LOCAL), call=_date_of),
    _time_function(name="add_time", parameters=(_TIME, _AMOUNT, _UNIT, _LOCAL), call=_add_time),
    Function(
        name="time_between",
        parameters=(_TEXT(name="begin", read=a_time), _TEXT(name="end", read=a_time), _UNIT),
        call=_time_between,
        returns="number",
    ),
    Function(name="to_epoch", parameters=(_TIME, _EPOCH_UNIT), call=_to_epoch, returns="number"),
    _time_function(
        name="from_epoch",
        parameters=(Parameter(name="number", read=a_decimal, kinds=("number", "string")), _EPOCH_UNIT),
        call=_from_epoch,
    ),
)
"""Functions of dates and times."""
