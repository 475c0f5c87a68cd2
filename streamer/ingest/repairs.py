"""Contracts of ingest for repairs between batches and replays, and the check of the org's identity."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.errors import OrgChanged
from streamer.events import Checkpoint, ContinuityRecord, DeadLetter, Event, OrgId, ReplayId, Start, short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Result of one step of the repairs: events, records, and dead letters.

    `stored` are events that are already protected; in the log, they precede the
    `events`. Dead letters with ids in `redriven` are removed; then the dead letters
    in `set_aside` are written. The next step is due in `again_in_s` seconds, or
    earlier after a wake.
    """

    events: Sequence[Event] = ()
    records: Sequence[ContinuityRecord] = ()
    stored: Sequence[Event] = ()
    redriven: Sequence[str] = ()
    set_aside: Sequence[DeadLetter] = ()
    again_in_s: float = 0.0

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to append."""
        return not (self.events or self.records or self.stored or self.redriven or self.set_aside)


class Repairs(Protocol):
    """Repairs of one channel's holes.

    One `Ingest` calls this object, and commits the result of each call before the
    next call. After a failed commit, neither this object nor its `Ingest` is used
    again. The events of a result must enter the log after events that were read
    earlier, and before events that are read later: a repaired record is newer than
    the earlier events, but can be older than the later events. No call raises an
    error, and each takes at most some seconds.
    """

    @property
    def has_work(self) -> bool:
        """True if `step` has something to do."""
        ...

    @property
    def follows_changes(self) -> bool:
        """True if the caller must call `taken`."""
        ...

    def resume(self, holes: Sequence[ContinuityRecord], wake: Callable[[], None], /) -> None:
        """Continue the repairs of the `holes` that are open in the log.

        `wake` is called if there is new work or a changed request. Then the next
        `step` is due at once, and starts with work that needs no pause.
        """
        ...

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Return the state of a new hole, which is open if it will be repaired."""
        ...

    def taken(self, events: Sequence[Event], /) -> None:
        """Take note of the `events` of an answer that enter the log; called if `follows_changes`."""
        ...

    async def step(self, position: ReplayId, /) -> Repaired:
        """Return the next part of the work between two answers; `position` is the log's position."""
        ...

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return the repairs for an answer: repairs of its `gaps`, and of earlier gaps that are still open.

        `read_at` is the time of the answer in epoch seconds.
        """
        ...


class ReplayAdmission(Protocol):
    """Decides whether one channel can be read from a position now."""

    async def admit(self, after: Checkpoint | Start, /) -> None:
        """Do nothing if the events after `after` can be read now; `after` is as for `Source`.

        The call is brief. If the events can't be read now, raises a `Stop` that states
        the cost of the replay, and when it will be admitted. The caller asks again
        later with its current position.
        """
        ...


def check_org(org: OrgId, *, expected: str | None, known: Collection[OrgId]) -> None:
    """Raise `OrgChanged` unless `org`, to which the login belongs, is the intended org.

    With `expected`, an id of 15 or 18 characters, the intended org is the org with
    this id. Without `expected`, each of the `known` orgs, which have checkpoints in
    the log, is an intended org. A log without checkpoints accepts any org.
    """
    if expected is not None:
        if short_id(org) != short_id(expected):
            raise OrgChanged(
                f"org.auth logs in to the org {org}, but org.id is {expected}: correct org.login_url "
                f"and org.auth, or, if {org} is the right org, set org.id to {org}"
            )
    elif known and org not in known:
        names = " and ".join(sorted(known))
        raise OrgChanged(
            f"org.auth logs in to the org {org}, but the events in the log come from {names}: correct "
            f"org.login_url and org.auth; or, if the org was refreshed or moved, set org.id to {org}. "
            "Each channel then begins at its configured start, because positions of one org are not "
            "valid in another"
        )
