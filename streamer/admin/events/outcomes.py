"""Outcomes of many events at all subscribers, each in one word, for lists."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from streamer.admin.context import AdminContext
from streamer.admin.events.accounts import AccountState
from streamer.errors import BrokenRoute
from streamer.events import Event, EventOutcome, LetterHead, Receipt, SubscriberName
from streamer.log.patterns import wants
from streamer.observe.subscriber_status import Standing
from streamer.ports import LoggedEvent

# A list must stay quick, so it examines far fewer receipts than a story.
_RECEIPTS = 20_000


OUTCOMES = {
    AccountState.DEAD_LETTER: EventOutcome.DEAD,
    AccountState.PARKED: EventOutcome.RETRYING,
    AccountState.WAITING: EventOutcome.WAITING,
    AccountState.UNKNOWN: EventOutcome.UNKNOWN,
    AccountState.SETTLED: EventOutcome.SETTLED,
    AccountState.DELIVERED: EventOutcome.DELIVERED,
    AccountState.FILTERED: EventOutcome.SKIPPED,
    AccountState.NOT_FORWARDED: EventOutcome.SKIPPED,
}
"""Words for the states of accounts, so that a list and a story use the same words."""

_STANDINGS = {Standing.WAITING: EventOutcome.WAITING, Standing.RETRYING: EventOutcome.RETRYING}

Outcomes = Mapping[SubscriberName, EventOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """Dead letters and receipts by event id."""

    letters: Mapping[str, Sequence[LetterHead]]
    receipts: Mapping[str, Sequence[Receipt]]


@dataclass(slots=True, kw_only=True)
class OutcomeReader:
    """Reads the outcomes of events during one request.

    Dead letters and receipts come from the log. Only the process that delivers an event
    knows whether the event waits. A downstream subscriber reads a forwarded copy of the
    event, at another position in the log. So it is left out until it has a receipt or a
    dead letter.
    """

    context: AdminContext
    _letters: Mapping[str, Sequence[LetterHead]] | None = field(default=None, init=False)
    _wants: dict[SubscriberName, Callable[[str], bool]] = field(default_factory=dict, init=False)
    _admits: dict[SubscriberName, Callable[[Event], bool]] = field(default_factory=dict, init=False)

    async def outcomes(self, events: Sequence[LoggedEvent]) -> list[Outcomes]:
        """Return the outcomes of each event by subscriber. Raises `LogUnavailable`."""
        if not events:
            return []
        if self._letters is None:
            self._letters = await self._read_letters()
        since = min(_since(each) for each in events)
        history = self.context.log.history
        found = await history.receipts([each.event for each in events], since, most=_RECEIPTS)
        receipts: dict[str, list[Receipt]] = defaultdict(list)
        for receipt in found.receipts:
            receipts[receipt.event_id].append(receipt)
        records = _Records(letters=self._letters, receipts=receipts)
        return [self._of_event(each, records) for each in events]

    async def _read_letters(self) -> Mapping[str, Sequence[LetterHead]]:
        by_event: dict[str, list[LetterHead]] = defaultdict(list)
        async with aclosing(self.context.log.controls.letter_cursor().heads()) as heads:
            async for head in heads:
                if head.event_id is not None:
                    by_event[head.event_id].append(head)
        return by_event

    def _of_event(self, logged: LoggedEvent, records: _Records) -> Outcomes:
        names = self.context.daemon.plan.settings.subscribers
        found = ((name, self._outcome(name, logged, records)) for name in names)
        return {name: outcome for name, outcome in found if outcome is not None}

    def _outcome(self, name: SubscriberName, logged: LoggedEvent, records: _Records) -> EventOutcome | None:
        event = logged.event
        letters, receipts = records.letters.get(event.id, ()), records.receipts.get(event.id, ())
        failed_at = max((each.failed_at for each in letters if each.subscriber == name), default=None)
        delivered_at = max((each.delivered_at for each in receipts if each.subscriber == name), default=None)
        if failed_at is not None and (delivered_at is None or failed_at >= delivered_at):
            return EventOutcome.DEAD
        if delivered_at is not None:
            return EventOutcome.DELIVERED
        return self._without_record(name, logged)

    def _without_record(self, name: SubscriberName, logged: LoggedEvent) -> EventOutcome | None:
        if not self._selects(name, logged.event):
            return EventOutcome.SKIPPED
        if self.context.daemon.plan.settings.subscribers[name].after:
            return None
        dispatcher = self.context.daemon.dispatchers.get(name)
        standing = None if dispatcher is None else dispatcher.standing(logged.entry)
        if standing is None:
            return EventOutcome.UNKNOWN
        return _STANDINGS.get(standing) or self._settled(name, logged.event)

    def _selects(self, name: SubscriberName, event: Event) -> bool:
        if name not in self._wants:
            self._wants[name] = wants(self.context.daemon.plan.subscription(name).patterns)
        return self._wants[name](event.type)

    def _settled(self, name: SubscriberName, event: Event) -> EventOutcome:
        if name not in self._admits:
            self._admits[name] = self.context.daemon.plan.admits(name)
        try:
            is_admitted = self._admits[name](event)
        except BrokenRoute:
            # The dead letter is gone: it was redriven or discarded.
            return EventOutcome.SETTLED
        return EventOutcome.SETTLED if is_admitted else EventOutcome.SKIPPED


def _since(logged: LoggedEvent) -> float:
    committed_at = datetime.fromisoformat(logged.event.time).timestamp()
    return committed_at if logged.appended_at is None else min(logged.appended_at, committed_at)
