"""Durations in words."""

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
