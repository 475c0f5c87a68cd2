"""An org's records for readings: an in-memory twin that answers as a test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamer.clock import TurnedClock
from streamer.events import JsonObject
from streamer.ports import Changed, Deletion, Deletions, RecordPage, RecordQuery


@dataclass(kw_only=True)
class Queries:
    """The rows of each entity, two a page, the `jobs` that have begun, and those that were `ended`.

    A `counted` other than `None` stands for the number of rows. `where` lists the
    conditions in the order in which their jobs began. `on_page` is called while a
    page is read.
    """

    clock: TurnedClock
    rows: dict[str, list[JsonObject]]
    counted: int | None = None
    requests_left: float | None = None
    ahead_s: float = 0.0
    jobs: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    on_page: Callable[[], None] = lambda: None

    async def count(self, query: RecordQuery, /) -> int:
        """Return how many rows there are."""
        return len(self.rows[query.entity]) if self.counted is None else self.counted

    async def begin(self, query: RecordQuery, /, *, in_bulk: bool) -> str:
        """Return the next job."""
        self.where.append(query.where)
        self.jobs.append(f"{'bulk' if in_bulk else 'rest'}:{len(self.jobs)}")
        return self.jobs[-1]

    def fits_pages(self, _query: RecordQuery, /) -> bool:
        """Return true for each query."""
        return True

    def is_live(self, job: str, /) -> bool:
        """Return true for a job over REST."""
        return job.startswith("rest")

    async def is_ready(self, job: str, /) -> bool:
        """Return true for each job that has begun."""
        return job in self.jobs

    async def page(self, query: RecordQuery, _job: str, /, after: str | None, *, most: int) -> RecordPage:
        """Return the next two rows."""
        self.on_page()
        begin = int(after or 0)
        end = begin + min(2, most)
        rows = self.rows[query.entity]
        found = [{name: row.get(name) for name in query.fields} for row in rows[begin:end]]
        following = str(end) if end < len(rows) else None
        return RecordPage(rows=found, following=following, read_at=self.clock.now())

    async def end(self, job: str, /) -> None:
        """Note that it was ended."""
        self.ended.append(job)


@dataclass(kw_only=True)
class History:
    """Names `changed_ids` as changed in every span, and `deletions`."""

    changed_ids: Sequence[str] = ()
    deletions: Sequence[Deletion] = ()
    asked: int = 0

    async def changed(self, _entity: str, _start: float, end: float, /) -> Changed:
        """Return the changed ones."""
        self.asked += 1
        return Changed(ids=self.changed_ids, until=end)

    async def deleted(self, _entity: str, start: float, end: float, /) -> Deletions:
        """Return those that are set."""
        return Deletions(deleted=self.deletions, since=start, until=end)
