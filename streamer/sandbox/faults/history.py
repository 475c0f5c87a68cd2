"""Faults of an org's history: lost events, and events that report only a part of a change."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from streamer.sandbox.faults.armed import CREATE, DELETE, UNDELETE, UPDATE, InjectionPoint
from streamer.sandbox.faults.arming import FaultCatalogue, Times
from streamer.sandbox.org.changes import ChangeEvent, gap_of

ChangeKind = Literal["create", "update", "delete", "undelete"]
ANY_CHANGE: Final[tuple[ChangeKind, ...]] = (CREATE, UPDATE, DELETE, UNDELETE)


class HistoryFaults(FaultCatalogue):
    """Catalogue of these faults.

    For `gap_changes` and `lose_changes`, `times` is the number of changes, each to one
    record, and `type` is the type of the record; `None` means any type.
    """

    def reset_stream(self, *, repeat_ids: bool = False) -> None:
        """Forget all retained messages and replay ids, as a refresh of the org does.

        With `repeat_ids`, the org issues its first replay ids again. So a stored replay
        id can be valid although it now means another event.
        """
        self._bus.reset(repeat_ids=repeat_ids)
        self.struck["reset_stream"] += 1

    def expire_events(self, *, older_than_s: Annotated[float, Field(ge=0)] = 0.0) -> None:
        """Purge the messages and replay ids of this age or older, as the end of the retention does."""
        self._bus.expire(older_than_s)
        self.struck["expire_events"] += 1

    def gap_changes(
        self,
        type: str | None = None,  # noqa: A002 - the word of Salesforce's own bodies
        *,
        on: Sequence[ChangeKind] = ANY_CHANGE,
        in_database: bool = False,
        keeps_dates: bool = False,
        times: Times = 1,
    ) -> None:
        """Announce the next changes as gaps: GAP_CREATE, GAP_UPDATE, GAP_DELETE or GAP_UNDELETE.

        Changes of one type in one transaction become one event. A change `in_database`
        has the id of another transaction, and no origin. A change that `keeps_dates`
        does not change the LastModifiedDate of the record.
        """
        settings = {"in_database": in_database, "keeps_dates": keeps_dates}
        self._arm("gap_changes", on, times=times, path=type, settings=settings)

    def lose_changes(
        self,
        type: str | None = None,  # noqa: A002 - the word of Salesforce's own bodies
        *,
        on: Sequence[ChangeKind] = ANY_CHANGE,
        times: Times = 1,
    ) -> None:
        """Do not announce the next changes."""
        self._arm("lose_changes", on, times=times, path=type)

    def altered(self, changes: Sequence[ChangeEvent]) -> list[ChangeEvent]:
        """Return the changes that the org announces for a transaction under the armed faults."""
        announced = (self._altered(change) for change in changes)
        return [change for change in announced if change is not None]

    def _altered(self, change: ChangeEvent) -> ChangeEvent | None:
        kind = change.type.value.removeprefix("GAP_").lower()
        point = InjectionPoint(on=kind, path=change.entity.name)
        if self.armed.strike("lose_changes", point):
            return None
        fault = None if change.is_gap else self.armed.strike("gap_changes", point)
        return change if fault is None else gap_of(change, **fault.settings)
