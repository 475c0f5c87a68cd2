"""Records that have changed since a job began, according to the stream and the org."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from streamer.continuity.reading.coverage import asked_again_in_s, coverable_in_s, end_of
from streamer.continuity.selection import TRANSACTION_S
from streamer.events import short_id
from streamer.ports import Changed, Deletions, Replication

_MOST = 200_000


@dataclass(slots=True, kw_only=True)
class ChangedRecords:
    """Records that have changed since `job` began, by their short ids.

    The process that began the job learns them from the stream. After a restart, the
    org names the records that had changed `until` then, as soon as it can. Before
    that, and once too many have changed, every record counts as changed.
    """

    job: str | None = None
    until: float = 0.0
    _ids: set[str] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)
    _asked_again_at: float = 0.0

    @classmethod
    def of_restart(cls, job: str, *, begun_at: float, now: float) -> Self:
        """Return the records changed since another process began the job at that time."""
        # A change that was committed later can have an earlier stamp.
        start = begun_at - TRANSACTION_S
        return cls(job=job, until=now, _since={"changed": start, "deleted": start})

    def add(self, ids: Iterable[str]) -> None:
        """Note records that have changed."""
        if len(self._ids) < _MOST:
            self._ids.update(map(short_id, ids))

    def is_due(self, now: float) -> bool:
        """Return true while the org must be asked and can answer."""
        return not (self._is_complete or coverable_in_s(self.until, now)) and now >= self._asked_again_at

    async def ask(self, replication: Replication, entity: str, now: float) -> None:
        """Ask the org one question; raises what `replication` raises."""
        lagging = min(self._since, key=self._since.__getitem__)
        start = self._since[lagging]
        answer: Changed | Deletions
        if lagging == "changed":
            answer = changed = await replication.changed(entity, start, end_of(self.until))
            self.add(changed.ids)
        else:
            answer = deletions = await replication.deleted(entity, start, end_of(self.until))
            self.add(each.record_id for each in deletions.deleted)
        self._since[lagging] = max(start, answer.until)
        if self._since[lagging] < self.until:
            self._asked_again_at = now + asked_again_in_s(answer, start)

    @property
    def _is_complete(self) -> bool:
        return all(each >= self.until for each in self._since.values())

    def __contains__(self, record_id: str) -> bool:
        """Return true for a record that can have changed."""
        return not self._is_complete or len(self._ids) >= _MOST or short_id(record_id) in self._ids
