"""Contracts for reading many records of an org, and for finding changed records."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)
_LONGEST_WHERE = 100_000
# Matches a text with its escapes, a text without an end, or a parenthesis.
_PARTS = re.compile(r"'(?:[^'\\]|\\.)*(?:'|(?P<open>\Z|\\\Z))|(?P<bracket>[()])", re.DOTALL)
_KEYWORD = re.compile(r"\s*where\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Query for the records of one entity.

    `fields` are columns of `RecordShape.select`, and must include `Id`. `where` is
    a SOQL condition without the word WHERE; if empty, all records match. With
    `with_deleted`, records in the Recycle Bin also match.

    Raises `ValueError` for invalid names, and for an incomplete `where`, which has
    an open text or unbalanced brackets. Salesforce reports other mistakes.
    """

    entity: str
    fields: tuple[str, ...]
    where: str = ""
    with_deleted: bool = False

    def __post_init__(self) -> None:
        """Check the values that become part of a query."""
        for name in (self.entity, *self.fields):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not the name of an object or of a field")
        if len({each.lower() for each in self.fields}) != len(self.fields):
            raise ValueError("a field is named twice: name each one once")
        if "Id" not in self.fields:
            raise ValueError("the field Id is missing: add Id to the fields")
        if mistake := _mistake(self.where):
            raise ValueError(f"the condition {mistake}")


def _mistake(where: str) -> str:
    """Return the mistake in a condition that would be put in brackets, or an empty text."""
    if len(where) > _LONGEST_WHERE:
        return f"has more than {_LONGEST_WHERE} characters: shorten it"
    if _KEYWORD.match(where):
        return "begins with WHERE: remove this word"
    if where and not where.strip():
        return "is blank: remove the condition to read all records"
    depth = 0
    for part in _PARTS.finditer(where):
        if part["open"] is not None:
            return (
                f"has a text that begins at character {part.start() + 1} and does not end: add a "
                "closing quote"
            )
        depth += {"(": 1, ")": -1, None: 0}[part["bracket"]]
        if depth < 0:
            return f"has a closing bracket without an opening bracket, at character {part.start() + 1}"
    return f"needs {depth} more closing bracket{'s' if depth > 1 else ''}" if depth else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Page of a query's records.

    Each of the `rows` has values by field name: JSON values, or texts of a CSV with
    `None` for an empty cell. `following` is the position of the next page, or `None`
    after the last page. A row shows its record at `read_at` (epoch seconds of this
    process's clock) or later.
    """

    rows: Sequence[Mapping[str, Any]]
    following: str | None
    read_at: float


class RecordQueries(Protocol):
    """Reader of all records that match a query.

    Every method raises `RetryLater` if there is no answer, a `Stop` if an operator
    must act, and `RecordsRefused`, with Salesforce's code, if Salesforce refuses
    the request. The caller can safely repeat a request, because a repeated request
    reads the same records. An incomplete page is not an answer.
    """

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left, from 0 to 1; `None` if unknown."""
        ...

    @property
    def ahead_s(self) -> float:
        """Seconds by which Salesforce's clock was ahead of ours at the last answer; 0.0 before any answer."""
        ...

    async def count(self, query: RecordQuery, /) -> int:
        """Return the number of records that match the query now; this costs one request."""
        ...

    async def begin(self, query: RecordQuery, /, *, in_bulk: bool) -> str:
        """Return a job that reads the records; the job's text stays valid after a restart.

        With `in_bulk`, Salesforce prepares the whole answer, and `page` returns the
        records as they were at about that time. Otherwise every page is read from
        the org on request, and nothing has to be ended. A query that is too long
        for a request is always read in bulk. After a `RetryLater`, a job can remain,
        which Salesforce deletes after 7 days.
        """
        ...

    def fits_pages(self, query: RecordQuery, /) -> bool:
        """Return false if the query is so long that only a Bulk job can read it."""
        ...

    def is_live(self, job: str, /) -> bool:
        """Return whether each page of `job` is read from the org on request.

        Then records are in the order of their ids, so a page's `following` stays
        valid even if the entity or its fields change.
        """
        ...

    async def is_ready(self, job: str, /) -> bool:
        """Return whether the pages of `job` can be read.

        Raises `RecordsRefused` if the job has failed, was aborted, or no longer
        exists: then begin another job.
        """
        ...

    async def page(self, query: RecordQuery, job: str, /, after: str | None, *, most: int) -> RecordPage:
        """Return the next page of a ready job, with at most `most` rows, or fewer if rows are large.

        `after` is the `following` of the last page, or `None` for the first page.
        `following` is valid as long as the job exists, so a page can be read again.
        The order of the records is not defined. The last page can be empty.
        """
        ...

    async def end(self, job: str, /) -> None:
        """Delete the results of `job` in the org; succeed also if the job no longer exists."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Records that were created, changed or restored within a span, and still exist.

    `ids` are complete up to `until` (epoch seconds), and can include later changes.
    With `has_more`, the span is too long for one answer, and the rest after `until`
    can be requested at once. Without `has_more`, only a later request can have a
    later `until`.
    """

    ids: Sequence[str]
    until: float
    has_more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Record that was deleted, at a time in epoch seconds."""

    record_id: str
    deleted_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletions:
    """Records that were deleted within a span, and not restored.

    The deletions are complete from `since` (the earliest time that the org still
    reports) to `until`, both in epoch seconds, and can include later deletions.
    With `has_more`, the span is too long for one answer, as in `Changed`.
    """

    deleted: Sequence[Deletion]
    since: float
    until: float
    has_more: bool = False


class Replication(Protocol):
    """Finder of the records that changed within a time span, in epoch seconds.

    A span is extended to whole minutes, and to at least two minutes. An answer can
    end before the span for two reasons: the span has too many records (`has_more`),
    or the org does not cover the rest yet. The org covers a time only after
    `CLOCKS_DIFFER_S` have passed, and only when no transaction of that time is
    open. In the first case, the caller continues from `until` at once; in the
    second case, after a while. A later `until` is not a reason to ask again at
    once, because `until` advances with the time of the request.

    Both methods raise the errors of `RecordQueries`. Salesforce refuses a span that
    begins more than 30 days ago, with INVALID_REPLICATION_DATE.
    """

    async def changed(self, entity: str, start: float, end: float, /) -> Changed:
        """Return the records of `entity` that changed from `start` to `end`."""
        ...

    async def deleted(self, entity: str, start: float, end: float, /) -> Deletions:
        """Return the records of `entity` deleted from `start` to `end`; the org reports the last 15 days."""
        ...
