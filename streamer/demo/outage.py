"""Outage of the ERP: its plan, and its course."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Plan of the outage: its beginning, in seconds after the demo's start, and its duration."""

    at_s: float = 12.0
    lasts_s: float = 10.0

    @classmethod
    def within(cls, for_s: float | None) -> Self:
        """Return an outage that leaves enough time to recover in a demo of `for_s` seconds."""
        outage = cls()
        if for_s is None:
            return outage
        return cls(at_s=min(outage.at_s, for_s * _SHARE), lasts_s=min(outage.lasts_s, for_s * _SHARE))


class OutagePhase(StrEnum):
    """Phase of the outage."""

    AHEAD = "ahead"
    DOWN = "down"
    DRAINING = "draining"
    """The ERP is back, and deals that waited for it during the outage still wait."""
    DRAINED = "drained"


@dataclass(slots=True, kw_only=True)
class OutageCourse:
    """Course of the outage; times are seconds since the demo's start.

    `waited` holds the record ids of the deals that waited when the ERP came back,
    and `most_waiting` is the largest number of waiting deals.
    """

    plan: Outage | None = None
    down_at: float | None = None
    back_at: float | None = None
    drained_at: float | None = None
    most_waiting: int = 0
    waited: AbstractSet[str] = frozenset()

    @property
    def phase(self) -> OutagePhase:
        """Phase at the last observation."""
        if self.down_at is None:
            return OutagePhase.AHEAD
        if self.back_at is None:
            return OutagePhase.DOWN
        return OutagePhase.DRAINING if self.drained_at is None else OutagePhase.DRAINED

    @property
    def lasted_s(self) -> float | None:
        """Duration of the outage, or `None` before its end."""
        return None if self.down_at is None or self.back_at is None else self.back_at - self.down_at

    @property
    def drained_after_s(self) -> float | None:
        """Time from the ERP's return to the step of the last deal that had waited, or `None` before it."""
        return None if self.back_at is None or self.drained_at is None else self.drained_at - self.back_at

    def observe(self, waiting: AbstractSet[str], now: float) -> None:
        """Take in the record ids of the deals that wait for the ERP."""
        if self.phase in (OutagePhase.DOWN, OutagePhase.DRAINING):
            self.most_waiting = max(self.most_waiting, len(waiting))
        if self.phase is OutagePhase.DRAINING and not self.waited & waiting:
            self.drained_at = now

    def end(self, waiting: AbstractSet[str], now: float) -> None:
        """Record that the ERP is back, and which deals wait for it."""
        self.observe(waiting, now)
        self.back_at, self.waited = now, waiting
