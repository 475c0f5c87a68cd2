"""Progress of the reading of entities, as its continuity record keeps it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from streamer.events import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Records of one entity that are to be read: those that match `where` (SOQL), or all.

    With `since` (epoch seconds), only those that were changed since then, and
    the deletions since then. Without `fields`, all fields are read.
    """

    entity: str
    where: str = ""
    fields: tuple[str, ...] = ()
    since: float | None = None

    @classmethod
    def of(cls, found: Any) -> Self:
        """Return the part that an object of JSON holds; raises `ValueError`."""
        if not isinstance(found, dict) or found.keys() - {"entity", "where", "fields", "since"}:
            raise ValueError("a part is no object of the known fields")
        part = cls(
            entity=found.get("entity", ""),
            where=found.get("where", ""),
            fields=tuple(found.get("fields") or ()),
            since=found.get("since"),
        )
        if not all(isinstance(each, str) for each in (part.entity, part.where, *part.fields)):
            raise ValueError("a part names its entity, its condition or its fields by no text")
        if not part.entity or not isinstance(part.since, float | int | None):
            raise ValueError("a part has no entity, or no time")
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Position of a reading: the parts that are left, and the job that reads the first of them.

    While `parts` is `None`, the entities are not known yet, and each is to be
    read `since` a time. The rows behind `after` are not read yet; once
    `has_rows`, only the deletions of the part are left. `anchor` (epoch seconds)
    is a time before that of the job, of which there were `jobs` for this part.
    `lacks` says what nobody can tell any more.
    """

    parts: tuple[Part, ...] | None
    since: float | None = None
    job: str | None = None
    anchor: float | None = None
    after: str | None = None
    has_rows: bool = False
    jobs: int = 0
    lacks: str = ""

    @classmethod
    def of(cls, found: JsonObject) -> Self:
        """Return the progress that `to_json` wrote; raises `ValueError`."""
        parts = found.get("parts")
        if parts is not None and not isinstance(parts, list):
            raise ValueError("its parts are no list")
        progress = cls(
            parts=None if parts is None else tuple(map(Part.of, parts)),
            since=found.get("since"),
            job=found.get("job"),
            anchor=found.get("anchor"),
            after=found.get("after"),
            has_rows=found.get("has_rows") is True,
            jobs=found.get("jobs", 0),
            lacks=str(found.get("lacks", "")),
        )
        numbers = (progress.since, progress.anchor, progress.jobs)
        if not all(isinstance(each, float | int | None) for each in numbers):
            raise ValueError("its times are no numbers")
        if not all(isinstance(each, str | None) for each in (progress.job, progress.after)):
            raise ValueError("its position is no text")
        return progress

    def to_json(self) -> JsonObject:
        """Return it as an object of JSON, equal to the one that the log gives back."""
        parts = [{**asdict(part), "fields": list(part.fields)} for part in self._parts]
        return {**asdict(self), "parts": None if self.parts is None else parts}

    def next_part(self) -> "Progress":
        """Return the progress once the first part is done."""
        return Progress(parts=self._parts[1:], since=self.since, lacks=self.lacks)

    @property
    def part(self) -> Part | None:
        """Part that is read now; `None` once all are."""
        return next(iter(self._parts), None)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return self.parts or ()
