"""Deals of the demo, and the step that each deal waits for."""

from collections.abc import Mapping, Sequence, ValuesView
from dataclasses import dataclass, field

from streamer.events import SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A won opportunity, and the `steps` that its sale takes, in their order."""

    record_id: str
    name: str
    amount: int
    steps: Sequence[SubscriberName]


@dataclass(slots=True, kw_only=True)
class DealBoard:
    """The won deals that have not taken all their steps.

    The board is only for display: the report compares the targets' own records with
    the org's changes. The cost of a step does not grow with the number of deals.
    """

    won: int = 0
    latest_won: Deal | None = None
    latest: dict[SubscriberName, Deal] = field(default_factory=dict)
    _waiting: dict[SubscriberName, dict[str, Deal]] = field(default_factory=dict)

    def win(self, deal: Deal) -> None:
        """Add a deal, which waits for its first step."""
        self.won += 1
        self.latest_won = deal
        self._wait(deal, deal.steps[0])

    def take(self, step: SubscriberName, record_id: str) -> None:
        """Let a deal wait for the step after `step`; a deal that does not wait for `step` stays."""
        deal = self._waiting.get(step, {}).pop(record_id, None)
        if deal is None:
            return
        self.latest[step] = deal
        for following in deal.steps[deal.steps.index(step) + 1 :][:1]:
            self._wait(deal, following)

    def end(self, step: SubscriberName, record_id: str) -> None:
        """Remove a deal whose `step` a target has refused for good."""
        self._waiting.get(step, {}).pop(record_id, None)

    def waiting_for(self, step: SubscriberName) -> ValuesView[Deal]:
        """Return the deals that wait for `step`, the oldest first."""
        return self._of(step).values()

    def ids_waiting_for(self, step: SubscriberName) -> frozenset[str]:
        """Return the record ids of the deals that wait for `step`."""
        return frozenset(self._of(step))

    def _of(self, step: SubscriberName) -> Mapping[str, Deal]:
        return self._waiting.get(step, {})

    def _wait(self, deal: Deal, step: SubscriberName) -> None:
        self._waiting.setdefault(step, {})[deal.record_id] = deal
