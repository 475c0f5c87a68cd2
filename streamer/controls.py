"""What people, and Streamer itself, switch while it runs, and what is written down about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streamer.events import DeadLetter, JsonObject, SubscriberName


class Switch(StrEnum):
    """Whether a subscriber delivers."""

    RUNNING = "running"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How a subscriber was switched: when (epoch seconds), why, and by whom.

    `by` is `operator`, `guard` (too many dead letters) or `target` (it wants
    no more).
    """

    subscriber: SubscriberName
    switch: Switch
    by: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters are meant; what is `None` matches all of them.

    `error` is a part of the error's text, whatever its case. The times, of
    which `failed_before` is excluded, are epoch seconds.
    """

    ids: frozenset[str] | None = None
    subscriber: SubscriberName | None = None
    key: str | None = None
    reason: str | None = None
    error: str | None = None
    failed_from: float | None = None
    failed_before: float | None = None

    def admits(self, letter: DeadLetter) -> bool:
        """Whether `letter` is meant."""
        return (
            (self.ids is None or letter.id in self.ids)
            and self.subscriber in {None, letter.subscriber}
            and (self.key is None or (letter.event is not None and letter.event.key == self.key))
            and self.reason in {None, letter.reason}
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and (self.failed_from is None or letter.failed_at >= self.failed_from)
            and (self.failed_before is None or letter.failed_at < self.failed_before)
        )


def can_be_redriven(letter: DeadLetter) -> bool:
    """Whether `letter` can be delivered again: a subscriber has read its event from the log."""
    return letter.event is not None and letter.subscriber is not None and letter.partition is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """An order to deliver dead letters of one subscriber again.

    It means the letters that failed before `letters.failed_before`, so what
    fails anew is not redriven for ever. `skipped` are the ids of those that
    are left out. It is open until it `ended_at`.
    """

    id: str
    letters: LetterFilter
    per_second: float
    by: str
    at: float
    skipped: frozenset[str] = frozenset()
    ended_at: float | None = None

    def admits(self, letter: DeadLetter) -> bool:
        """Whether `letter` is meant, and can be delivered again."""
        return can_be_redriven(letter) and self.letters.admits(letter) and letter.id not in self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What was done, in the past tense with dots (`subscriber.paused`), when and by whom."""

    at: float
    what: str
    by: str
    subscriber: SubscriberName | None = None
    detail: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchboard:
    """All that is switched at one moment: the last control of each subscriber, and the open redrives."""

    controls: Mapping[SubscriberName, Control] = field(default_factory=dict)
    redrives: Mapping[str, Redrive] = field(default_factory=dict)

    def pauses(self, subscriber: SubscriberName) -> bool:
        """Whether `subscriber` is to deliver nothing."""
        control = self.controls.get(subscriber)
        return control is not None and control.switch is Switch.PAUSED
