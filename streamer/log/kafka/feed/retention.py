"""What a subscriber lost because the log let go of it first."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.events import Partition, SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A stretch of a partition that was gone before the subscriber came to it.

    Reading goes on at `found`. `expected` above it means that the partition
    holds less than it did: its topic was made anew, or the brokers lost data.
    """

    subscriber: SubscriberName
    partition: Partition
    expected: int
    found: int

    @property
    def missing(self) -> int:
        """How many offsets are gone, as far as that can be known."""
        return max(0, self.found - self.expected)


OnHole = Callable[[Hole], None]
"""Told of every hole, in the thread that found it."""


def forget(_: Hole) -> None:
    """Tell nobody; the log line was written."""
