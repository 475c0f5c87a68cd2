"""Progress of a reading, as its continuity record stores it, and the resulting queries."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from streamer.errors import RecordsRefused, UnreadableEvent
from streamer.events import JsonObject
from streamer.normalise.malformed import as_event_time
from streamer.normalise.record_shape import RecordShape
from streamer.ports import Describer, RecordQuery

_YEAR_10000 = 253_402_300_800
_WAITS = "waits"
_LONGEST_REASON = 500
_PART = frozenset({"entity", "where", "fields", "since", "is_deletions"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSelection:
    """Records of one entity to read: the records that match `where` (SOQL), or all records.

    With `since` (epoch seconds), only records changed or deleted since then; with
    `is_deletions`, only the deletions. Without `fields`, all fields are read.
    """

    entity: str
    where: str = ""
    fields: tuple[str, ...] = ()
    since: float | None = None
    is_deletions: bool = False

    @classmethod
    def of(cls, found: Any) -> Self:
        """Return the part in a JSON object. Raises `ValueError`."""
        if not isinstance(found, dict) or found.keys() - _PART:
            raise ValueError("a part is not an object, or has an unknown field")
        part = cls(
            entity=found.get("entity", ""),
            where=found.get("where", ""),
            fields=tuple(_list_of(found.get("fields") or [])),
            since=_time_of(found.get("since")),
            is_deletions=found.get("is_deletions") is True,
        )
        if not all(isinstance(each, str) for each in (part.entity, part.where, *part.fields)):
            raise ValueError("the entity, the condition or a field of a part is not a text")
        if not part.entity:
            raise ValueError("a part has no entity")
        if part.is_deletions and part.since is None:
            raise ValueError("a part that reads deletions has no start time")
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class PartProgress:
    """Position in the first part of a reading, and the job that reads its records.

    The rows after `after` are not read yet. If `has_rows` is true, all rows are
    read, and only the end of the job is left. `jobs` counts the jobs of this part.
    `anchor` (epoch seconds) is a time before the job began, or the time at which
    the last job was lost. The current job has added `rows` records to the log;
    `most_rows` is the largest number of any job of the part.

    If the part consists of deletions, two kinds of them are already published: all
    deletions before `anchor`, and the deletions up to the time and record in `after`.
    """

    job: str | None = None
    anchor: float | None = None
    after: str | None = None
    has_rows: bool = False
    jobs: int = 0
    rows: int = 0
    most_rows: int = 0

    @classmethod
    def of(cls, found: JsonObject) -> Self:
        """Return the position from the JSON of a reading's progress. Raises `ValueError`."""
        reached = cls(
            job=found.get("job"),
            anchor=_time_of(found.get("anchor")),
            after=found.get("after"),
            has_rows=found.get("has_rows") is True,
            jobs=_count_of(found.get("jobs", 0)),
            rows=_count_of(found.get("rows", 0)),
            most_rows=_count_of(found.get("most_rows", 0)),
        )
        if not all(isinstance(each, str | None) for each in (reached.job, reached.after)):
            raise ValueError("the job or the position is not a text")
        return reached

    def without_job(self, lost_at: float) -> "PartProgress":
        """Return the position after the job was lost; the next job begins at the first row."""
        return replace(self, job=None, anchor=lost_at, after=None, rows=0)

    def with_rows(self, rows: int) -> "PartProgress":
        """Return the position after `rows` more rows of the job are in the log."""
        all_rows = self.rows + rows
        return replace(self, rows=all_rows, most_rows=max(self.most_rows, all_rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingProgress:
    """Position of a reading: the remaining parts, and the position `reached` in the first part.

    While `parts` is `None`, the entities are not known yet; each of them will be
    read, completely or `since` a time.

    The deletions of all parts follow after all rows, up to `until` or later, so the
    reading waits only once until the org covers that time. `lacks` describes
    changes that can no longer be found.
    """

    parts: tuple[RecordSelection, ...] | None
    since: float | None = None
    until: float | None = None
    reached: PartProgress = PartProgress()
    lacks: str = ""

    @classmethod
    def of(cls, found: JsonObject) -> Self:
        """Return the progress that `to_json` wrote. Raises `ValueError`."""
        parts = found.get("parts")
        progress = cls(
            parts=None if parts is None else tuple(map(RecordSelection.of, _list_of(parts))),
            since=_time_of(found.get("since")),
            until=_time_of(found.get("until")),
            reached=PartProgress.of(found),
            lacks=str(found.get("lacks", "")),
        )
        if progress.part is None and (parts is not None or "parts" not in found):
            raise ValueError("no part is left to read")
        is_of_former = progress.reached.has_rows and progress.reached.job is None
        return progress._of_former() if is_of_former else progress

    def to_json(self) -> JsonObject:
        """Return the progress as a JSON object, equal to the object that the log returns."""
        parts = [{**asdict(part), "fields": list(part.fields)} for part in self._parts]
        return {
            "parts": None if self.parts is None else parts,
            "since": self.since,
            "until": self.until,
            **asdict(self.reached),
            "lacks": self.lacks,
        }

    def next_part(self) -> "ReadingProgress":
        """Return the progress after the first part; that part's deletions follow after the other parts."""
        parts, done = self._parts[1:], self.part
        if done is not None and done.since is not None and not done.is_deletions:
            parts = *parts, replace(done, is_deletions=True)
        return ReadingProgress(parts=parts, since=self.since, until=self.until, lacks=self.lacks)

    @property
    def is_untouched(self) -> bool:
        """True if the first part reads rows and its first job has not begun."""
        is_deletions = self.part is not None and self.part.is_deletions
        return self.reached.job is None and not self.reached.jobs and not is_deletions

    @property
    def entities(self) -> frozenset[str]:
        """Entities of the remaining parts; empty if they are not known yet."""
        return frozenset(part.entity for part in self._parts)

    @property
    def part(self) -> RecordSelection | None:
        """The current part, or `None` if no part is left."""
        return next(iter(self._parts), None)

    @property
    def _parts(self) -> tuple[RecordSelection, ...]:
        return self.parts or ()

    def _of_former(self) -> Self:
        """Return progress of an earlier release, in which each part's deletions followed its own rows."""
        if self.part is None or self.part.since is None:
            raise ValueError("a part that reads deletions has no start time")
        parts = replace(self.part, is_deletions=True), *self._parts[1:]
        return replace(self, parts=parts, reached=replace(self.reached, has_rows=False))


def waiting(progress: JsonObject, reason: str) -> JsonObject:
    """Return the `progress` of a continuity record, with the `reason` why the repair waits added.

    The next progress replaces the reason.
    """
    return {**progress, _WAITS: reason[:_LONGEST_REASON]}


def reason_of(progress: JsonObject) -> str:
    """Return the reason why a repair with this `progress` waits, or an empty text."""
    return str(progress.get(_WAITS, ""))


def _count_of(found: Any) -> int:
    if type(found) is not int:
        raise ValueError("a count of jobs or rows is not a whole number")
    return found


def _list_of(found: Any) -> list[Any]:
    if isinstance(found, list):
        return found
    raise ValueError("the parts, or the fields of a part, are not a list")


def _time_of(found: Any) -> float | None:
    if found is None:
        return None
    if type(found) not in {int, float} or not 0 <= found < _YEAR_10000:
        raise ValueError("a time is not a number of seconds between the years 1970 and 9999")
    return float(found)


TRANSACTION_S = 1_200.0
"""Longest assumed time in seconds from a record's stamp to the commit.

The stamp is the time of the save, and the transaction can commit up to ten minutes
later; this is twice as long.
"""
_STAMP, _MODIFIED = "SystemModstamp", "LastModifiedDate"


async def shape_of(part: RecordSelection, describer: Describer) -> RecordShape:
    """Return the columns to read for `part`.

    Raises the errors of `describer`, and `UnreadableEvent` if the entity lacks a
    field.
    """
    shape = RecordShape.of(await describer.describe(part.entity))
    if not part.fields:
        return shape
    try:
        return shape.limited_to(part.fields)
    except ValueError as error:
        raise UnreadableEvent(str(error)) from None


def query_of(part: RecordSelection, shape: RecordShape) -> RecordQuery:
    """Return the query for the records of `part`. Raises `RecordsRefused` if the part is invalid."""
    try:
        return RecordQuery(entity=part.entity, fields=shape.select, where=_condition(part, shape))
    except ValueError as error:
        raise RecordsRefused(f"{part.entity}: {error}", code="") from None


def time_text(epoch_s: float) -> str:
    """Return a time in the form of SOQL and of events."""
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))


def _condition(part: RecordSelection, shape: RecordShape) -> str:
    stamp = next((each for each in (_STAMP, _MODIFIED) if each in shape.select), None)
    if part.since is None or stamp is None:
        return part.where
    since = f"{stamp} >= {time_text(part.since - TRANSACTION_S)}"
    return f"({part.where}) AND {since}" if part.where else since
