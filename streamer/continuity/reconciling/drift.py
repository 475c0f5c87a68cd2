"""Differences between an org and a log."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MOST_TOLD = 10_000
"""Most differences that are told one by one; others are counted alone."""


class DriftKind(StrEnum):
    """Way in which the log differs from the org."""

    MISSING = "missing"
    """The org has changed the record later than any event says."""
    DELETION = "deletion_missing"
    """The org has deleted the record, and the log has no deletion."""
    ABSENT = "absent"
    """The log has the record, and the org neither has it nor reports its deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference.

    The record was changed or deleted in the org at `changed_at`, and the log
    knows it as it was at `known_at`: both in epoch seconds, and `None` where
    there is no such time. `detail` says more about it.
    """

    kind: DriftKind
    record_id: str
    changed_at: float | None = None
    known_at: float | None = None
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """Differences that were found: the first `MOST_TOLD`, and the counts of all."""

    drift: list[Drift] = field(default_factory=list)
    counts: Counter[DriftKind] = field(default_factory=Counter)

    def add(self, found: Drift) -> None:
        """Add one."""
        self.counts[found.kind] += 1
        if len(self.drift) < MOST_TOLD:
            self.drift.append(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Result of a comparison.

    It covers what the org changed from `since` to `until` (epoch seconds) in
    `entity`, which the channel at `channel` carries: `records` of the org and
    `deletions`. `drift` holds at most `MOST_TOLD` of the differences, `counts`
    all of them by kind. `stamp` is the field whose times were compared. `notes`
    say what could not be compared.
    """

    entity: str
    channel: str
    stamp: str
    since: float
    until: float
    records: int
    deletions: int
    counts: Mapping[DriftKind, int]
    drift: Sequence[Drift]
    notes: Sequence[str] = ()

    @property
    def has_drift(self) -> bool:
        """True when the log differs from the org."""
        return any(self.counts.values())
