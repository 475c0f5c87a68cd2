"""Contracts for reading an org's records in volume, and for finding changed records."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)
_LONGEST_WHERE = 100_000
# A text with its escapes, one that nothing ends, or a parenthesis.
_PARTS = re.compile(r"'(?:[^'\\]|\\.)*(?:'|(?P<open>\Z|\\\Z))|(?P<bracket>[()])", re.DOTALL)
_KEYWORD = re.compile(r"\s*where\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Query for the records of one entity.

    `fields` are columns of `RecordShape.select`, `Id` among them. `where` is a
    condition of SOQL, without the word WHERE, and empty for all records. With
    `with_deleted`, records in the Recycle Bin are found too.

    Raises `ValueError` for invalid names, and for an incomplete `where`: one with
    an open text, or with brackets that don't match. Salesforce reports other
    mistakes.
    """

    entity: str
    fields: tuple[str, ...]
    where: str = ""
    with_deleted: bool = False

    def __post_init__(self) -> None:
        """Check what becomes part of a query's text."""
        for name in (self.entity, *self.fields):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not a name of an object or a field")
        if len({each.lower() for each in self.fields}) != len(self.fields):
            raise ValueError("a field is named twice: name each one once")
        if "Id" not in self.fields:
            raise ValueError("Id is not among the fields: add it")
        if mistake := _mistake(self.where):
            raise ValueError(f"the condition {mistake}")


def _mistake(where: str) -> str:
    """Return what is wrong with a condition that is put between brackets, or an empty text."""
    if len(where) > _LONGEST_WHERE:
        return f"has more than {_LONGEST_WHERE} characters: shorten it"
    if _KEYWORD.match(where):
        return "begins with WHERE: leave that word out"
    if where and not where.strip():
        return "is blank: leave it out for all records"
    depth = 0
    for part in _PARTS.finditer(where):
        if part["open"] is not None:
            return f"has a text that begins at character {part.start() + 1} and has no end: add a quote"
        depth += {"(": 1, ")": -1, None: 0}[part["bracket"]]
        if depth < 0:
            return f"has a closing bracket too many, at character {part.start() + 1}"
    return f"lacks {depth} closing bracket{'s' if depth > 1 else ''}" if depth else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Page of a query's records.

    Each of the `rows` has the query's fields by their names: as JSON, or as the
    texts of a CSV, with `None` for an empty one. `following` is where the next page
    begins, and `None` after the last. A row can show its record as early as
    `read_at`, in epoch seconds of this process's clock.
    """

    rows: Sequence[Mapping[str, Any]]
    following: str | None
    read_at: float


class RecordQueries(Protocol):
    """Reader of all the records that a query finds.

    Every method raises `RetryLater` when there is no answer, a `Stop` when an
    operator must act, and `RecordsRefused`, with Salesforce's code, when Salesforce
    refuses the request. The caller can repeat a request without loss: it reads the
    same. An incomplete page is not an answer.
    """

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left, from 0 to 1; `None` while it is unknown."""
        ...

    @property
    def ahead_s(self) -> float:
        """Seconds by which Salesforce's clock was ahead of ours at the last answer, 0.0 before the first."""
        ...

    async def count(self, query: RecordQuery, /) -> int:
        """Return how many records the query finds now; this costs one request."""
        ...

    async def begin(self, query: RecordQuery, /, *, in_bulk: bool) -> str:
        """Return a job that reads the records; its text stays valid after a restart.

        `in_bulk`, Salesforce prepares the whole answer, which `page` gives as it
        was at about that time. Otherwise every page is read from the org on
        request, and nothing has to be ended. A query that is too long for this is
        always read in bulk. A `RetryLater` can leave a job behind, which Salesforce
        forgets after 7 days.
        """
        ...

    def fits_pages(self, query: RecordQuery, /) -> bool:
        """Return false for a query that is so long that only a Bulk job can read it."""
        ...

    def is_live(self, job: str, /) -> bool:
        """Return whether each page of `job` is read from the org on request.

        Its records come in the order of their ids, so a page's `following` stays
        valid even if the entity or its fields change.
        """
        ...

    async def is_ready(self, job: str, /) -> bool:
        """Return whether the pages of `job` can be read.

        Raises `RecordsRefused` when the job has failed, was aborted, or is gone:
        begin another.
        """
        ...

    async def page(self, query: RecordQuery, job: str, /, after: str | None, *, most: int) -> RecordPage:
        """Return the next page of a job that is ready, of at most `most` rows, and fewer when they are large.

        `after` is the `following` of the page before, `None` for the first. It
        stays valid as long as the job exists, so a page can be read again. The
        records come in no defined order. The last page can be empty.
        """
        ...

    async def end(self, job: str, /) -> None:
        """Delete the org's results of `job`; a job that no longer exists is not a failure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Records that were created, changed or restored within a span, and still exist.

    `ids` are complete up to `until` (epoch seconds), and can extend beyond it. With
    `has_more`, one answer can't hold the span, and the rest, from `until` on, can
    be requested at once. Without it, only time moves `until`.
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

    They are complete from `since` (the earliest time that the org still reports) to
    `until`, both in epoch seconds, and can extend beyond `until`. With `has_more`,
    one answer can't hold the span, as in `Changed`.
    """

    deleted: Sequence[Deletion]
    since: float
    until: float
    has_more: bool = False


class Replication(Protocol):
    """Finder of the records that changed within a span of time, in epoch seconds.

    Spans are extended to whole minutes, at least two. An answer can end before the
    span does: because the span holds too many records (`has_more`), or because the
    org does not cover the rest yet. It covers no moment before `CLOCKS_DIFFER_S`
    have passed, and none in which one of its transactions is open. The caller
    continues from `until`: at once in the first case, and after a while in the
    second. An `until` that has moved proves nothing, because it moves with the time
    of asking.

    Both methods raise as those of `RecordQueries` do. A span that begins more
    than 30 days ago is refused, as INVALID_REPLICATION_DATE.
    """

    async def changed(self, entity: str, start: float, end: float, /) -> Changed:
        """Return the records of `entity` that changed from `start` to `end`."""
        ...

    async def deleted(self, entity: str, start: float, end: float, /) -> Deletions:
        """Return the records of `entity` that were deleted from `start` to `end`; the org reports 15 days."""
        ...
