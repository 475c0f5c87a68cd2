"""Look-ups of record states: they wait until the states have all changes that are in the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.clock import Clock
from streamer.errors import RecordsRefused, RetryLater
from streamer.events import JsonObject, Partition, RecordState
from streamer.ports import RecordStates
from streamer.state.keeper import SUBSCRIBER, StateKeeper

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.25
# Shorter than the time limit of a look-up, so that the reason reaches the operator.
_WAIT_S = 20.0
_TOO_LARGE = "TOO_LARGE"


class LogWithStates(Protocol):
    """Log that keeps states."""

    @property
    def states(self) -> RecordStates:
        """States of records."""
        ...


@dataclass(slots=True, kw_only=True)
class StateLookups:
    """Reader of record states, which `keeper` keeps.

    A state that is read has every change that was in the log when the call began. A
    change whose record must be read again is in the state only after the row has
    arrived.
    """

    log: LogWithStates
    keeper: StateKeeper
    clock: Clock

    @property
    def requests_left(self) -> None:
        """`None`: states need no requests to the org."""
        return

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject | RecordsRefused]:
        """Return `fields` of the records of `entity`, by id; an empty field is null.

        Deleted records, and records without a state, are left out. A record is refused if
        Kafka can't hold one of these fields. Raises `RetryLater` while the states are
        behind the log, or while a record can still get its first state.
        """
        if entity not in self.keeper.objects:
            raise RetryLater(
                f"this process keeps no states of {entity}: restart it with the new state.objects"
            )
        states = self.log.states
        await self._wait_for_states(entity, await states.ends(entity))
        known = await states.of(entity, ids)
        if len(known) < len(set(ids)) and (
            not self.keeper.following or entity in self.keeper.readings.loading
        ):
            raise RetryLater(
                f"the first snapshot of {entity} has not ended, so some records have no state yet"
            )
        return {
            record_id: _fields(state, fields) for record_id, state in known.items() if not state.is_deleted
        }

    async def _wait_for_states(self, entity: str, ends: Mapping[Partition, int]) -> None:
        until, pause_s = self.clock.monotonic() + _WAIT_S, _FIRST_PAUSE_S
        while missing := await self._missing(ends):
            if self.clock.monotonic() >= until:
                raise RetryLater(
                    f"the states of {entity} are {missing} events behind the log: if this lasts, see "
                    "streamer_state_lag_events, and the log lines that begin with state."
                )
            await self.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _missing(self, ends: Mapping[Partition, int]) -> int:
        """Return the number of offsets below `ends` whose states are not written."""
        # The local copy of a partition of this process has a state only after the settlement has ended.
        own = self.keeper.settled
        if missing := sum(max(0, end - own[each]) for each, end in ends.items() if each in own):
            return missing
        foreign = {each: end for each, end in ends.items() if end and each not in own}
        if not foreign:
            return 0
        settled = await self.log.states.settled(SUBSCRIBER, foreign)
        return sum(max(0, end - settled.get(each, 0)) for each, end in foreign.items())


def _fields(state: RecordState, names: Sequence[str]) -> JsonObject | RecordsRefused:
    known = {name.lower(): value for name, value in (state.fields or {}).items()}
    known["id"] = state.record_id
    omitted = {name.lower() for name in state.omitted}
    if lost := next((each for each in names if each.lower() in omitted), None):
        what = (
            f"the state lacks {lost}, because the record is too large for Kafka: look the field up in the org"
        )
        return RecordsRefused(what, code=_TOO_LARGE, field=lost)
    return {name: known.get(name.lower()) for name in names}
