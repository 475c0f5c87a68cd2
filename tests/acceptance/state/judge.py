"""Checks of the states in the log against the truth about an org's records."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from streamer.events import ContinuityRecord, Event, EventId, HoleCause, RecordState
from tests.acceptance.replica.judge import Judge
from tests.acceptance.replica.replica import RecordKey
from tests.acceptance.state.truth import Fields, Truth

_SHOWN = 4
# The keeper must order the records that these holes hide.
_READ_AGAIN = frozenset({HoleCause.GAP_EVENT, HoleCause.SNAPSHOT})
_MIDDLE = re.compile(r"(?<=line \d)[^'\"]{60,}")


@dataclass(kw_only=True)
class StateJudge:
    """Judge of the states of `objects`.

    A record is excused if a hole that nobody can repair has swallowed one of its
    changes. `excused` has these records. The events of the records in `incomplete` were
    dead letters: until these are redriven, a state can lack a change.
    """

    truth: Truth
    objects: Sequence[str]
    excused: set[RecordKey] = field(default_factory=set)
    incomplete: set[RecordKey] = field(default_factory=set)

    def excuse(self, judge: Judge | None, holes: Sequence[ContinuityRecord]) -> None:
        """Excuse the records whose changes are in holes that stay."""
        if judge is not None:
            lasting = [each for each in holes if each.cause not in _READ_AGAIN]
            self.excused |= {key for key in self.truth.moments if judge.is_told(key, lasting)}

    def complaints(self, written: Sequence[RecordState], events: Sequence[Event]) -> dict[str, str]:
        """Return what is wrong with the states of one store at any time, by the name of the judgement."""
        by_record: dict[RecordKey, list[RecordState]] = defaultdict(list)
        for state in written:
            by_record[state.entity, state.record_id].append(state)
        logged = {each.id: each for each in events}
        found = {
            "back": _lines(text for key in by_record for text in self._back(key, by_record[key])),
            "twice": _lines(text for key in by_record for text in _twice(key, by_record[key])),
            "last": _lines(text for state in written for text in self._last(state, logged)),
            "foreign": _lines(f"{key} is not to be kept" for key in by_record if key[0] not in self.objects),
        }
        found = {name: text for name, text in found.items() if text}
        if found:
            found["the log"] = self.log_of([key for key in by_record if str(key) in str(found)], events)
        return found

    def log_of(self, keys: Sequence[RecordKey], events: Sequence[Event]) -> str:
        """Return the events of the first of these records, a line for each."""
        return "\n  ".join(
            _told(each)
            for each in events
            if (each.data["entity"], each.data["record_id"]) in keys[:1] or each.data["record_id"] is None
        )

    def unequal(self, newest: Mapping[RecordKey, RecordState]) -> str:
        """Return the records whose newest state is not the record."""
        present = self.truth.present()
        return _lines(
            f"{key}: the state is {_shown(newest.get(key))}, the record {present.get(key)}"
            for key in sorted(present.keys() | newest.keys())
            if key[0] in self.objects and key not in self.excused
            if (newest[key].fields if key in newest else None) != present.get(key)
        )

    def _back(self, key: RecordKey, states: Sequence[RecordState]) -> Iterator[str]:
        """Yield the states that the record did not have, or not after the state before."""
        moments, at = self.truth.moments.get(key, []), 0
        if key in self.excused | self.incomplete:
            return
        for number, state in enumerate(states):
            later = next((each for each in range(at, len(moments)) if moments[each] == state.fields), None)
            if later is None:
                former = "it was that before" if state.fields in moments else "it never was that"
                yield (
                    f"{key}: state {number} of {_change(state)} is {_brief(state.fields)}, and {former}; "
                    f"moments from {at} on are {_differences(moments[at:])}"
                )
                return
            at = later

    def _last(self, state: RecordState, logged: Mapping[EventId, Event]) -> Iterator[str]:
        """Yield a state that is not of its event's moment."""
        key, last = (state.entity, state.record_id), state.last
        event = logged.get(last.event_id)
        if event is None or (event.data["entity"], event.data["record_id"]) != key:
            yield f"{key}: {last} is not an event of the record"
            return
        if last.read_at is not None or last.commit_number is None or key in self.excused | self.incomplete:
            return
        place = self.truth.commits.get((key, last.commit_number))
        if place is None or self.truth.moments[key][place] != state.fields:
            moment = "unknown" if place is None else _brief(self.truth.moments[key][place])
            yield f"{key}: the state of {_shown(state)}, and the record after this commit {moment}"


def _twice(key: RecordKey, states: Sequence[RecordState]) -> Iterator[str]:
    for before, state in pairwise(states):
        if before.fields == state.fields:
            yield f"{key}: the same state was written twice: {_change(before)}, {_shown(state)}"


def _differences(moments: Sequence[Fields]) -> str:
    return "\n    ".join(["", *map(_brief, moments[:6])])


def _shown(state: RecordState | None) -> str:
    return "missing" if state is None else f"{_brief(state.fields)} of {_change(state)}"


def _brief(fields: Fields | str) -> str:
    """Return fields without the middle of long texts."""
    return _MIDDLE.sub("…", str(fields))


def _change(state: RecordState) -> str:
    last = state.last
    return f"{last.event_id} of {last.time}, read at {last.read_at}, commit {last.commit_number}"


def _told(event: Event) -> str:
    data = event.data
    beside = {name: data[name] for name in ("snapshot", "recovered", "redriven") if name in data}
    filled = {name: value for name, value in data["fields"].items() if value is not None}
    commit = data.get("transaction", {}).get("commit_number")
    return _brief(f"{event.time} {event.type} {event.id} commit {commit} {beside} {filled}")


def _lines(found: Iterator[str]) -> str:
    lines = list(found)
    more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])
