"""Checks of a history: compares the log with the org's records and with the org's events."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streamer.controls import PositionOrder
from streamer.events import ContinuityRecord, Event, HoleCause
from tests.acceptance.replica.journal import Journal
from tests.acceptance.replica.replica import RecordKey, Replica, State, differing, state_of

_OF_THE_CHANNEL = frozenset(
    {
        HoleCause.REPLAY_ID_REFUSED,
        HoleCause.PLACE_LOST,
        HoleCause.BEFORE_RETENTION,
        HoleCause.POSITION_SET,
    }
)
# Both clocks are taken to differ by a minute, and a span begins with the minute.
_SLACK_S = 120.0
_TOLD_S = 15 * 24 * 3600.0
_SHOWN = 5
_OF_EVENTS = "gap:"


@dataclass(kw_only=True)
class Judge:
    """Judge of the log that begins with the org's records `base`, and is complete from `complete_from` on.

    `complete_from` is in the org's time. Before the first checkpoint, nothing is
    judged.
    """

    journal: Journal
    base: State
    complete_from: float
    most_ahead_s: float
    _replica: Replica = field(init=False)

    def __post_init__(self) -> None:
        self._replica = Replica(base=self.base)

    def complaints(
        self,
        events: Sequence[Event],
        holes: Sequence[ContinuityRecord],
        orders: Sequence[PositionOrder],
        states: Sequence[ContinuityRecord],
    ) -> dict[str, str]:
        """Return what is wrong by the name of the judgement; `holes` are the last of all `states`."""
        repeats = sum(each.repeat for each in orders)
        found = {
            "missing": self.missing(events, holes),
            "silent": self.silent(events, holes),
            "twice": twice(events, repeats=repeats),
            "given_up": self._given_up(holes),
            # After a repetition the counts start from the beginning.
            "counts": "" if repeats else _miscounted(events, holes, states),
            "orders": _orders(orders, [each.id for each in states]),
        }
        return {name: text for name, text in found.items() if text}

    def missing(self, events: Sequence[Event], holes: Sequence[ContinuityRecord]) -> str:
        """Return the records that differ although no hole names them."""
        replica, org = self._replica.state(events), state_of(self.journal.sandbox)
        wrong = [key for key in differing(replica, org) if not self.is_told(key, holes)]
        return _lines(
            f"{key}: the replica has {replica.get(key)}, the org {org.get(key)}, last change at "
            f"{max((each.at for each in self.journal.changes if each.record == key), default=None)}"
            for key in wrong
        )

    def silent(self, events: Sequence[Event], holes: Sequence[ContinuityRecord]) -> str:
        """Return the events that are neither in the log nor in any hole."""
        held = {each.id for each in events}
        spans = [self._span(each) for each in holes if each.cause in _OF_THE_CHANNEL]
        return _lines(
            f"{each.entity} {each.id} of {each.at} is neither in the log nor in a hole"
            for each in self.journal.announced
            if each.at >= self.complete_from
            and each.id not in held
            and not any(begin <= each.at <= end for begin, end in spans)
        )

    def is_told(self, key: RecordKey, holes: Sequence[ContinuityRecord]) -> bool:
        """Return whether a hole that stays names a change of the record."""
        spans = [self._span(hole) for hole in holes if hole.is_unrepaired and hole.entity in {None, key[0]}]
        return any(
            begin <= each.at <= end
            for each in self.journal.changes
            if each.record == key
            for begin, end in spans
        )

    def _span(self, hole: ContinuityRecord) -> tuple[float, float]:
        slack = _SLACK_S + self.most_ahead_s
        end = hole.recorded_at if hole.until is None else hole.until
        return _begin(hole) - slack, end + slack

    def _given_up(self, holes: Sequence[ContinuityRecord]) -> str:
        """Return the holes that stay although the org still tells what is missing."""
        return _lines(
            f"{each.cause} stays {each.state}: {each.detail}"
            for each in holes
            if each.is_unrepaired
            and each.cause is not HoleCause.POSITION_SET
            and (each.updated_at or each.recorded_at) - _begin(each) < _TOLD_S
        )


def _begin(hole: ContinuityRecord) -> float:
    """Return the time from which on events can be missing."""
    known = (hole.verified_at, hole.until, hole.recorded_at)
    return min(each for each in known if each is not None)


def twice(events: Sequence[Event], *, repeats: int) -> str:
    """Return the ids that were appended more than once, though no operator ordered a repetition.

    Records that were read because of an event are repeated with it.
    """
    times = Counter(each.id for each in events)
    kinds = {each.id: each.type for each in events}
    ordered = {each.id for each in events if _snapshot(each).startswith(_OF_EVENTS)}
    return _lines(
        f"{kinds[name]} {name} is in the log {count} times"
        for name, count in times.most_common()
        if count > 1 + (repeats if name in ordered else 0)
    )


def _snapshot(event: Event) -> str:
    """Return the id of the reading that an event is of, or what stands for none."""
    return str(event.data["snapshot"]["id"]) if "snapshot" in event.data else _OF_EVENTS


def _miscounted(
    events: Sequence[Event], holes: Sequence[ContinuityRecord], states: Sequence[ContinuityRecord]
) -> str:
    """Return the holes that count other records than the documentation says.

    These are, for each entity, the rows of the job that has brought most, and the
    deletions. A lost job is begun again, and the same records are other events.
    """
    jobs = {_job(each): each.progress["job"] for each in states if each.progress.get("job")}
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    published: Counter[str] = Counter()
    for event in events:
        reading, entity = _snapshot(event), event.data["entity"]
        if reading == _OF_EVENTS:
            continue
        if event.is_deletion:
            published[reading] += 1
        else:
            number = event.id.removeprefix(f"{reading}:{event.key}").removeprefix(":") or "1"
            # Pages over REST continue after the last row, even if it was refused.
            rows[reading, entity][jobs[reading, entity, int(number)]] += 1
    for (reading, _), by_job in rows.items():
        published[reading] += max(by_job.values())
    return _lines(
        f"{hole.cause} counts {hole.published} records as published, and the log has {published[hole.id]}"
        for hole in holes
        if hole.cause is not HoleCause.GAP_EVENT and hole.published != published[hole.id]
    )


def _job(state: ContinuityRecord) -> tuple[str, str, int]:
    """Return the reading, the entity and the number of the job that a reading has."""
    return state.id, state.progress["parts"][0]["entity"], state.progress["jobs"]


def _orders(orders: Sequence[PositionOrder], told: Sequence[str]) -> str:
    return _lines(f"{each.place} was not carried out" for each in orders if each.id not in told)


def _lines(found: Iterator[str]) -> str:
    lines = list(found)
    more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])
