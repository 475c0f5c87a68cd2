"""Schemas of requests for events."""

from typing import Literal

from pydantic import AwareDatetime, Field

from streamer.admin.schemas import RequestModel
from streamer.events import EventId, EventOutcome
from streamer.ports import MOST_FOUND, MOST_SCANNED, EventSearch

_LONGEST_TEXT = 1_000
_LONGEST_CURSOR = 8_000
_SHOW_SCANNED = 1_000_000


def patterns(text: str | None) -> tuple[str, ...]:
    """Return the patterns of event types in a comma-separated list."""
    return tuple(filter(None, map(str.strip, (text or "").split(","))))


class Searching(RequestModel):
    """Request for events; `until` excludes an event at exactly this time.

    `type` holds patterns, separated by commas. With `outcomes`, each event in the
    answer has its outcome at each subscriber. With `outcome`, the answer has only
    events that have this outcome at a subscriber.
    """

    record: str | None = Field(default=None, min_length=1, max_length=_LONGEST_TEXT)
    type: str | None = Field(default=None, max_length=_LONGEST_TEXT)
    channel: str | None = Field(default=None, max_length=_LONGEST_TEXT)
    id: str | None = Field(default=None, min_length=1, max_length=_LONGEST_TEXT)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    order: Literal["newest", "oldest"] = "newest"
    every_partition: bool = False
    outcomes: bool = False
    outcome: EventOutcome | None = None
    limit: int = Field(default=50, ge=1, le=MOST_FOUND)
    scan: int = Field(default=100_000, ge=1_000, le=MOST_SCANNED)
    cursor: str = Field(default="", max_length=_LONGEST_CURSOR)

    def meant(self) -> EventSearch:
        """Return the search."""
        return EventSearch(
            event_id=None if self.id is None else EventId(self.id),
            record=self.record,
            types=patterns(self.type),
            channel=self.channel,
            since=None if self.since is None else self.since.timestamp(),
            until=None if self.until is None else self.until.timestamp(),
            every_partition=self.every_partition,
            oldest_first=self.order == "oldest",
            limit=self.limit,
            scan=self.scan,
            cursor=self.cursor,
        )


class Showing(RequestModel):
    """Request for one event's story. The fields narrow the search for the event."""

    type: str | None = Field(default=None, max_length=_LONGEST_TEXT)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    scan: int = Field(default=_SHOW_SCANNED, ge=1_000, le=MOST_SCANNED)

    def meant(self, event_id: EventId) -> EventSearch:
        """Return the search for the event."""
        return Searching(
            id=event_id, type=self.type, since=self.since, until=self.until, scan=self.scan, limit=1
        ).meant()


class Tailing(RequestModel):
    """Request for new events as they are appended; `where` is an expression like a subscriber's `when`."""

    record: str | None = Field(default=None, min_length=1, max_length=_LONGEST_TEXT)
    type: str | None = Field(default=None, max_length=_LONGEST_TEXT)
    channel: str | None = Field(default=None, max_length=_LONGEST_TEXT)
    where: str | None = Field(default=None, min_length=1, max_length=_LONGEST_TEXT)

    def meant(self) -> EventSearch:
        """Return the search for all conditions except `where`."""
        return EventSearch(record=self.record, types=patterns(self.type), channel=self.channel)
