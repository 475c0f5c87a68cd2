"""How long most of what was measured took."""

from collections.abc import Sequence


def percentile(rank: int, values: Sequence[float]) -> float:
    """Return the least of `values` that `rank` in a hundred of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * rank // 100)]
