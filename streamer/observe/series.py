"""The series of one channel, one subscriber or the session, as their owners use them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from streamer.clock import Clock
from streamer.events import DeadLetter, Delivered, Event, HoleCause, Outcome, Stage, SubscriberName
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.ports import Appended


@dataclass(slots=True)
class Words:
    """Keeps a label whose words come from elsewhere to few and short ones.

    What is not a lower-case word, and what comes after the first `limit`
    different ones, is `other`.
    """

    limit: int = 64
    _known: set[str] = field(default_factory=set)

    def bounded(self, word: str) -> str:
        """Return `word`, or `other`."""
        if word in self._known:
            return word
        if len(self._known) >= self.limit or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", word):
            return "other"
        self._known.add(word)
        return word


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetrics:
    """What is counted of the sessions with Salesforce."""

    bytes: Counter
    handshakes: Counter
    lost_by_reason: Counter
    overdue_answers: Counter
    subscriptions: Counter
    words: Words

    def handshaken(self) -> None:
        """Count a session that was opened."""
        self.handshakes.inc()

    def answered(self, events: int, size: int) -> None:  # noqa: ARG002 - events are counted when appended
        """Count an answer of `size` bytes that was read whole."""
        self.bytes.inc(size)

    def lost(self, reason: str) -> None:
        """Count a session that ended unasked; `reason` is one stable word, such as `unknown_client`."""
        self.lost_by_reason.labels(self.words.bounded(reason)).inc()

    def overdue(self) -> None:
        """Count an answer that did not come in time."""
        self.overdue_answers.inc()

    def subscribed(self, path: str) -> None:
        """Count a subscription that Salesforce accepted."""
        self.subscriptions.labels(path, "accepted").inc()

    def refused(self, path: str, error: str) -> None:  # noqa: ARG002 - its text is no label
        """Count a subscription that Salesforce refused."""
        self.subscriptions.labels(path, "refused").inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMetrics:
    """What is counted of one channel."""

    clock: Clock
    events: Counter
    batches: Counter
    append_seconds: Histogram
    age_seconds: Histogram
    verified: Gauge
    path: str
    ups: Gauge
    owned: Gauge
    holes: dict[HoleCause, Counter]
    dead_letters: Counter
    words: Words

    def taken(self, events: Sequence[Event]) -> None:
        """Count nothing yet: these events are not in the log."""

    def appended(self, appended: Appended, seconds: float) -> None:
        """Count an append that is in the log after `seconds` of waiting for it."""
        self.batches.inc()
        self.append_seconds.observe(seconds)
        self.verified.set(appended.checkpoint.verified_at)
        self.events.inc(appended.events)
        if appended.first is not None:
            # The first is the oldest. One observation an append, not one an
            # event: a backlog must not pay for being measured.
            self.age_seconds.observe(_age(appended.first, self.clock))
        for letter in appended.set_aside:
            reason = self.words.bounded(letter.reason)
            self.dead_letters.labels(Stage.INGEST.value, "", reason).inc()
        for record in appended.continuity:
            self.holes[record.cause].inc()

    def set_owned(self, owned: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Note whether this process is to read the channel."""
        self.owned.set(owned)
        if not owned:
            # A channel that another process reads is not down.
            self.ups.remove(self.path)

    def set_up(self, up: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Note whether the channel, which is ours, is subscribed and read."""
        self.ups.labels(self.path).set(up)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberMetrics:
    """What is counted of one subscriber."""

    name: SubscriberName
    clock: Clock
    outcomes: dict[type[Outcome], Counter]
    seconds: Histogram
    to_target_seconds: Histogram
    lag: Gauge
    in_flight: Gauge
    parked: Gauge
    limit: Gauge
    held: Gauge
    down: Gauge
    unrecorded_s: Gauge
    dead_letters: Counter
    words: Words

    def attempted(self, event: Event, outcome: Outcome, seconds: float) -> None:
        """Count one attempt at `event` that took `seconds`."""
        self.outcomes[type(outcome)].inc()
        self.seconds.observe(seconds)
        if isinstance(outcome, Delivered):
            self.to_target_seconds.observe(_age(event, self.clock))

    def set_aside(self, letter: DeadLetter) -> None:
        """Count an event that became `letter`."""
        self.dead_letters.labels(letter.stage.value, self.name, self.words.bounded(letter.reason)).inc()

    def stands(self, status: SubscriberStatus) -> None:
        """Show how the subscriber stands."""
        self.lag.set(status.lag)
        self.in_flight.set(status.in_flight)
        self.parked.set(status.parked)
        self.limit.set(status.limit)
        self.down.set(status.is_down)
        self.held.set(status.is_held)

    def set_unrecorded(self, seconds: float) -> None:
        """Note for how long what was finished has waited to be recorded."""
        self.unrecorded_s.set(seconds)


def _age(event: Event, clock: Clock) -> float:
    # A clock behind Salesforce's would give a negative age.
    return max(0.0, clock.now() - datetime.fromisoformat(event.time).timestamp())
