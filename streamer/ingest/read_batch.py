"""Batch after reading: its events, and dead letters of its unreadable messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import DeadLetter, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBatch:
    """Events and dead letters of one batch, each in Salesforce's order.

    `mixed` has the events and the dead letters in that order; without dead letters,
    `mixed` is empty. Use `of` to create a batch.
    """

    events: Sequence[Event] = ()
    dead_letters: Sequence[DeadLetter] = ()
    mixed: Sequence[Event | DeadLetter] = ()

    @classmethod
    def of(cls, mixed: Sequence[Event | DeadLetter]) -> "ReadBatch":
        """Return the batch of events and dead letters in Salesforce's order."""
        events = [item for item in mixed if type(item) is Event]
        dead_letters = [item for item in mixed if type(item) is DeadLetter]
        return cls(events=events, dead_letters=dead_letters, mixed=mixed if dead_letters else ())

    def with_events(self, made: Sequence[Event | DeadLetter]) -> "ReadBatch":
        """Return this batch with each event replaced by the matching item of `made`."""
        if made is self.events:
            return self
        following = iter(made)
        return ReadBatch.of(
            [next(following) if type(item) is Event else item for item in self.mixed or self.events]
        )
