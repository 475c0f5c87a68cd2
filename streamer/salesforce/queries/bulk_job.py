"""Name of a query job of the Bulk API 2.0."""

import re
from dataclasses import dataclass
from typing import Self

from streamer.errors import RecordsRefused

_TEXT = re.compile(r"bulk:(\d{1,3}\.\d):(\d{1,15}):([A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """Query job, with what its results need after a restart: see `RecordQueries.begin`.

    Results come in the `version` in which the job was created alone (Bulk API
    2.0 guide, get results). `asked_ms` is the time before that, in epoch
    milliseconds.
    """

    version: str
    asked_ms: int
    id: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the job of its text; raises `RecordsRefused` for a text that names none."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise RecordsRefused(f"{text[:80]!r} names no query job: begin another", code="NOT_FOUND")
        return cls(version=found[1], asked_ms=int(found[2]), id=found[3])

    def __str__(self) -> str:
        return f"bulk:{self.version}:{self.asked_ms}:{self.id}"

    @property
    def path(self) -> str:
        """Path of the job, in its version."""
        return f"/services/data/v{self.version}/jobs/query/{self.id}"
