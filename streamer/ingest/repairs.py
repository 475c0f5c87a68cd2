"""Contracts of ingest with its neighbours: repairs between batches, replays, and the org's identity."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.errors import OrgChanged
from streamer.events import Checkpoint, ContinuityRecord, DeadLetter, Event, OrgId, ReplayId, Start, short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Result of one turn of the repairs: events, states of continuity records, and dead letters.

    `stored` are events that were protected before, and come before the others. The
    letters whose ids are `redriven` are removed, and those in `set_aside`
    written after that. The next turn is due in `again_in_s` seconds, or earlier
    by a wake.
    """

    events: Sequence[Event] = ()
    records: Sequence[ContinuityRecord] = ()
    stored: Sequence[Event] = ()
    redriven: Sequence[str] = ()
    set_aside: Sequence[DeadLetter] = ()
    again_in_s: float = 0.0

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to append."""
        return not (self.events or self.records or self.stored or self.redriven or self.set_aside)


class Repairs(Protocol):
    """Repairs of one channel's holes.

    One `Ingest` calls it, and commits a call's result before it makes the next
    call. A failed commit ends both. Its events must enter the log after events that
    were read before, and before events that are read later: a record was read after
    the former, and can be older than the latter. No call raises anything, and each
    takes at most some seconds.
    """

    @property
    def has_work(self) -> bool:
        """True while `step` has something to do."""
        ...

    @property
    def follows_changes(self) -> bool:
        """True while the caller must call `taken`."""
        ...

    def resume(self, holes: Sequence[ContinuityRecord], wake: Callable[[], None], /) -> None:
        """Go on with the `holes` that are open in the log.

        `wake` is called when there is new work, or another wish about the old.
        The next `step` is due at once then, and begins with what needs no pause.
        """
        ...

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Return the state of a new hole, which is open if it will be repaired."""
        ...

    def taken(self, events: Sequence[Event], /) -> None:
        """Take note of `events` of an answer, which enter the log; called while it `follows_changes`."""
        ...

    async def step(self, position: ReplayId, /) -> Repaired:
        """Return the next part of the work between two answers; `position` is the log's."""
        ...

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return what can be repaired with an answer, of its `gaps` and of those before them.

        `read_at` is the time of the answer in epoch seconds.
        """
        ...


class ReplayAdmission(Protocol):
    """Decides whether one channel can be read from a position now."""

    async def admit(self, after: Checkpoint | Start, /) -> None:
        """Return if what follows `after` can be read; a `Start` and a checkpoint are as `Source` takes them.

        It is brief. Raises a `Stop` that says what the replay would cost and
        when it is admitted; the caller asks again later, with the position that
        it has then.
        """
        ...


def check_org(org: OrgId, *, expected: str | None, known: Collection[OrgId]) -> None:
    """Raise `OrgChanged` unless `org`, that of the login, is the one that is meant.

    It must be the `expected` one, whose id can have 15 or 18 characters, or else
    one of the `known` orgs, whose checkpoints the log has. A log without
    checkpoints takes any org.
    """
    if expected is not None:
        if short_id(org) != short_id(expected):
            raise OrgChanged(
                f"org.auth logs in to the org {org}, and org.id says {expected}: correct org.login_url and "
                f"org.auth, or set org.id to {org} if that org is meant"
            )
    elif known and org not in known:
        names = " and ".join(sorted(known))
        raise OrgChanged(
            f"org.auth logs in to the org {org}, and the log was read from {names}: correct org.login_url "
            f"and org.auth or, if the org was refreshed or moved, set org.id to {org}; its channels then "
            "begin as their start says, because positions of another org mean nothing in it"
        )
