"""Story of one event: its records in the log, from the append to each subscriber."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from streamer.admin.context import AdminContext
from streamer.admin.events.accounts import Evidence, SubscriberAccount
from streamer.admin.events.schemas import Showing
from streamer.admin.events.steps import SWITCHES
from streamer.admin.events.timeline import EventFacts, timeline_json, timeline_of
from streamer.admin.json_views import event_json, letter_detail, optional_time, place_json, rfc3339
from streamer.admin.schemas import MOST_LETTERS, ApiError
from streamer.controls import AuditRecord, ControlState
from streamer.events import DeadLetter, Event, EventId, JsonObject, LetterHead, Receipt, SubscriberName
from streamer.log.patterns import wants
from streamer.ports import EventSearch, FoundEvents, LoggedEvent, SubscriberPlace

_AT_ONCE = 4
_MOST_LETTERS_OF_ONE = 100
_ORDERED = "redrive.ordered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Traces of one event in the log, for all subscribers."""

    event: Event
    logged: LoggedEvent | None
    letters: Sequence[DeadLetter]
    receipts: Sequence[Receipt]
    board: ControlState
    audit: Sequence[AuditRecord]
    has_all_receipts: bool


@dataclass(slots=True, kw_only=True)
class StoryReader:
    """Assembles the stories of events; reads the records of a few subscribers at the same time."""

    context: AdminContext
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False)

    async def story(self, event_id: EventId, asked: Showing) -> JsonObject:
        """Return the story of an event. Raises `ApiError` 404 if the log has no trace of the event."""
        log = self.context.log
        found = await log.history.find(asked.meant(event_id))
        logged = found.events[0] if found.events else None
        letters = await self._letters(event_id, logged)
        event = logged.event if logged else next((each.event for each in letters if each.event), None)
        if event is None:
            if not letters:
                raise ApiError(404, _not_found(found))
            facts = EventFacts(now=self.context.clock.now(), event=None, aside=letters)
            timeline = timeline_json(timeline_of(facts))
            head = _head(None, None, letters)
            return {**head, "timeline": timeline, "subscribers": [], "not_kept": [_NO_EVENT]}
        since = asked.since.timestamp() if asked.since else _appended(event, logged)
        receipts = await log.history.receipts([event], since)
        kept = Kept(
            event=event,
            logged=logged,
            letters=letters,
            receipts=receipts.receipts,
            board=await self.context.control_state(),
            audit=await log.controls.audit(last=MOST_LETTERS),
            has_all_receipts=receipts.is_whole,
        )
        names = self.context.daemon.plan.settings.subscribers
        evidence = await asyncio.gather(*(self._evidence(name, kept) for name in names))
        accounts = [SubscriberAccount.of(each) for each in evidence]
        facts = EventFacts(
            now=self.context.clock.now(),
            event=event,
            logged=logged,
            aside=_of_ingest(letters),
            accounts=accounts,
        )
        return {
            **_head(event, logged, letters),
            "timeline": timeline_json(timeline_of(facts)),
            "subscribers": [each.as_json() for each in accounts],
            "not_kept": list(_not_kept(kept, evidence)),
        }

    async def _letters(self, event_id: EventId, logged: LoggedEvent | None) -> list[DeadLetter]:
        cursor = self.context.log.controls.letter_cursor()
        async with aclosing(cursor.heads()) as heads:
            found = [head.id async for head in heads if _is_of(head, event_id, logged)]
        async with aclosing(cursor.letters(found[:_MOST_LETTERS_OF_ONE])) as letters:
            return [letter async for letter in letters]

    async def _evidence(self, name: SubscriberName, kept: Kept) -> Evidence:
        async with self._turns:
            return await self._of_subscriber(name, kept)

    async def _of_subscriber(self, name: SubscriberName, kept: Kept) -> Evidence:
        context, daemon = self.context, self.context.daemon
        settings = context.subscriber_settings(name)
        subscription = daemon.plan.subscription(name)
        letters = [each for each in kept.letters if each.subscriber == name]
        receipts = [each for each in kept.receipts if each.subscriber == name]
        is_selected = wants(subscription.patterns)(kept.event.type)
        logged = kept.logged
        if settings.after:
            logged = await self._copy(name, kept) if is_selected else None
        place, head = SubscriberPlace(), None
        if logged is not None and is_selected:
            place, head = await self._place(name, logged)
        dispatcher = daemon.dispatchers.get(name)
        return Evidence(
            name=name,
            uses=settings.uses,
            is_selected=is_selected,
            verdict=daemon.verdict(name, logged.event if logged else kept.event),
            after=settings.after,
            keeps_receipts=subscription.receipts,
            logged=logged,
            progress=place.progress,
            lane=place.lane,
            head=head,
            receipts=receipts,
            letters=letters,
            redrives=[each for each in kept.audit if _can_have_covered(each, name, kept.event)],
            switches=[each for each in kept.audit if _has_switched(each, name, kept.event)],
            control=kept.board.controls.get(name),
            status=dispatcher.status if dispatcher else None,
        )

    async def _copy(self, name: SubscriberName, kept: Kept) -> LoggedEvent | None:
        """Return the newest copy of the event that was forwarded to the subscriber `name`."""
        found = await self.context.log.history.find(
            EventSearch(
                event_id=kept.event.id,
                record=kept.event.key,
                forwarded_to=name,
                limit=1,
                # A copy is appended after its event, and has the event's time.
                since=_time(kept.event) - 1,
            )
        )
        return found.events[0] if found.events else None

    async def _place(
        self, name: SubscriberName, logged: LoggedEvent
    ) -> tuple[SubscriberPlace, LoggedEvent | None]:
        """Return a subscriber's records about an event, and the first event of the event's parked lane."""
        history, entry = self.context.log.history, logged.entry
        place = await history.place(name, entry.partition, entry.offset)
        if place.lane is None or not place.lane.offsets or place.lane.offsets[0] == entry.offset:
            return place, None
        return place, await history.at(entry.partition, place.lane.offsets[0])


_NO_EVENT = "The event: Streamer could not read it, and the dead letter holds the event's bytes."


def _head(event: Event | None, logged: LoggedEvent | None, letters: Sequence[DeadLetter]) -> JsonObject:
    """Return the event, its position in the log, and the dead letters from ingest."""
    aside = _of_ingest(letters)
    return {
        "event": None if event is None else event_json(event),
        "log": None if logged is None else {**place_json(logged), "size": logged.entry.size},
        "said": _received(event, logged, aside),
        "set_aside_by_ingest": [
            {name: value for name, value in letter_detail(each).items() if name not in {"event", "raw"}}
            for each in aside
        ],
    }


def _of_ingest(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    return [each for each in letters if each.subscriber is None]


def _received(event: Event | None, logged: LoggedEvent | None, aside: Iterable[DeadLetter]) -> list[str]:
    said = []
    if event is not None:
        said.append(f"Salesforce sent the event at {event.time}, in channel {event.channel}.")
        if isinstance(redriven := event.data.get("redriven"), dict):
            said.append(f"Ingest read the event again from a dead letter at {redriven.get('redriven_at')}.")
    if logged is not None:
        entry = logged.entry
        place = f"{entry.partition.topic}, partition {entry.partition.number}, offset {entry.offset}"
        at = optional_time(logged.appended_at)
        said.append(f"Ingest appended the event to the log{f' at {at[:19]}Z' if at else ''}: {place}.")
    elif event is not None:
        said.append("The log no longer holds the event, or the event never arrived.")
    said += [
        f"Ingest set the event aside at {rfc3339(each.failed_at)[:19]}Z ({each.reason}): {each.error}"
        for each in aside
    ]
    return said


def _is_of(letter: LetterHead, event_id: EventId, logged: LoggedEvent | None) -> bool:
    if letter.event_id == event_id:
        return True
    place = letter.partition, letter.offset
    return logged is not None and place == (logged.entry.partition, logged.entry.offset)


def _can_have_covered(record: AuditRecord, name: SubscriberName, event: Event) -> bool:
    """Return true if the redrive in `record` possibly covered a dead letter of the event."""
    if record.what != _ORDERED or record.subscriber != name or record.at < _time(event):
        return False
    meant = record.detail.get("meant")
    meant = meant if isinstance(meant, dict) else {}
    ids = meant.get("ids")
    if isinstance(ids, list) and not meant.get("further_ids"):
        return any(str(each).startswith(f"{event.id}:") for each in ids)
    return meant.get("key") in {None, event.key}


def _has_switched(record: AuditRecord, name: SubscriberName, event: Event) -> bool:
    """Return true if the record is a pause of the subscriber after the event, or the end of a pause."""
    return record.what in SWITCHES and record.subscriber == name and record.at >= _time(event)


def _not_kept(kept: Kept, evidence: Sequence[Evidence]) -> Iterable[str]:
    if kept.logged is not None and kept.logged.appended_at is None:
        yield "The time of the append: the records of this log carry the time of their event instead."
    silent = [each.name for each in evidence if not each.keeps_receipts]
    if silent:
        yield f"Deliveries of subscribers without `receipts`: {', '.join(silent)}."
    if not kept.has_all_receipts:
        yield (
            "Receipts that the log got much later: one request searches only a limited number of receipts."
        )
    if kept.logged is not None:
        yield "The time at which Streamer read the event: the log keeps the time of the append."
    yield (
        "The contents and the headers of the requests. `streamer render` shows the request that follows from "
        "today's configuration."
    )
    yield "Failed attempts between the first one and the last three."
    yield "The requests and answers of failed attempts between the first and the last one."
    yield "Attempts in memory: the log does not record them yet."
    yield (
        "The reason why a subscriber filtered out the event at that time: the shown reason comes from "
        "today's configuration."
    )
    yield "Dead letters that were redriven or discarded; `streamer audit` shows the orders."


def _not_found(found: FoundEvents) -> str:
    if found.is_whole:
        return (
            "The log holds neither an event nor a dead letter with this id. Perhaps the event never "
            "arrived (see `streamer continuity list`), or its retention is over."
        )
    back = "" if found.reached is None else f", back to {rfc3339(found.reached)[:19]}Z"
    return (
        f"No event with that id is among the last {found.scanned:,} offsets of the log{back}: narrow the "
        "search by type, since and until, or search more offsets."
    )


def _appended(event: Event, logged: LoggedEvent | None) -> float:
    at = logged.appended_at if logged else None
    return min(at, _time(event)) if at is not None else _time(event)


def _time(event: Event) -> float:
    return datetime.fromisoformat(event.time).timestamp()
