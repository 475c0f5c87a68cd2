"""Durations in words."""

from datetime import UTC, datetime

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def duration(seconds: float) -> str:
    """Return `seconds` in a fitting unit, such as 40 s, 12 min, 5 h or 3 d."""
    for unit, size, limit in (
        ("s", 1, 2 * _MINUTE_S),
        ("min", _MINUTE_S, 2 * _HOUR_S),
        ("h", _HOUR_S, 2 * _DAY_S),
    ):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / _DAY_S:.0f} d"


def since(at: float, lasts_s: float) -> str:
    """Return a beginning (epoch seconds) and a duration, such as since 14:03 UTC (12 min).

    The text has the day too, unless it began today.
    """
    begin, now = (datetime.fromtimestamp(each, UTC) for each in (at, at + lasts_s))
    shown = f"{begin:%H:%M}" if begin.date() == now.date() else f"{begin:%Y-%m-%d %H:%M}"
    return f"since {shown} UTC ({duration(lasts_s)})"


def difference(seconds: float) -> str:
    """Return a signed time between two moments, such as +12 ms, +1.25 s, +3 min 20 s or +2 h 5 min."""
    sign, length = ("\N{MINUS SIGN}", -seconds) if seconds < 0 else ("+", seconds)
    if round(length, 3) < 1:
        return f"{sign}{length * 1_000:.0f} ms"
    if round(length, 2) < 10:  # noqa: PLR2004 - from here on, hundredths of a second are noise
        return f"{sign}{length:.2f} s"
    if round(length, 1) < _MINUTE_S:
        return f"{sign}{length:.1f} s"
    whole = round(length)
    for size, unit, part_size, part in ((_DAY_S, "d", _HOUR_S, "h"), (_HOUR_S, "h", _MINUTE_S, "min")):
        if whole >= size:
            return f"{sign}{whole // size} {unit} {whole % size // part_size} {part}"
    return f"{sign}{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
