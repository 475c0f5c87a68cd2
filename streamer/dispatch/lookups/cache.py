"""Cache of records, limited in entries, bytes and age, and the fields of a record to read."""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import orjson

from streamer.clock import Clock
from streamer.errors import RecordsRefused
from streamer.exact_json import exact_default

_OVERHEAD_BYTES = 500

Values = Mapping[str, Any]
"""Values of a record's fields, by field name in lower case."""

Found = Values | RecordsRefused
"""Values of a record, or the reason why this record can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """Names of the fields that a look-up reads.

    Each of `pairs` has a name in its requested spelling, and the key of the name, which
    is the name in lower case. `keys` has all keys.
    """

    pairs: tuple[tuple[str, str], ...]
    keys: frozenset[str]

    @classmethod
    def of(cls, *names: str) -> Self:
        """Return the field names `names`."""
        pairs = tuple((name, name.lower()) for name in names)
        return cls(pairs=pairs, keys=frozenset(key for _, key in pairs))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in their requested spelling."""
        return tuple(name for name, _ in self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedRecord:
    """Record that was read at the monotonic time `read_at` with these `fields`.

    `values` is `None` for a missing record.
    """

    sobject: str
    values: Values | None
    fields: AbstractSet[str]
    read_at: float


class _Kept(NamedTuple):
    record: CachedRecord
    size: int


@dataclass(slots=True, kw_only=True)
class RecordCache:
    """Cache of records by id, for at most `lifetime_s` seconds; drops the least recently used records."""

    clock: Clock
    lifetime_s: float
    most_entries: int
    most_bytes: int
    size: int = field(default=0, init=False)
    _records: OrderedDict[str, _Kept] = field(default_factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, sobject: str, record_id: str, fields: AbstractSet[str]) -> CachedRecord | None:
        """Return the record if it was read recently enough and with all of `fields`; otherwise `None`."""
        kept = self._records.get(record_id)
        if kept is None or (found := kept.record).sobject != sobject:
            return None
        if self.clock.monotonic() - found.read_at >= self.lifetime_s:
            self.drop(record_id)
            return None
        if not fields <= found.fields:
            return None
        self._records.move_to_end(record_id)
        return found

    def put(self, record_id: str, record: CachedRecord) -> None:
        """Store `record`; an earlier record with the same id is dropped."""
        self.drop(record_id)
        size = _OVERHEAD_BYTES + (
            len(orjson.dumps(record.values, default=exact_default)) if record.values else 0
        )
        if size > self.most_bytes or not self.lifetime_s:
            return
        self._records[record_id] = _Kept(record, size)
        self.size += size
        while len(self._records) > self.most_entries or self.size > self.most_bytes:
            self.drop(next(iter(self._records)))

    def drop(self, record_id: str) -> None:
        """Forget the record."""
        dropped = self._records.pop(record_id, None)
        if dropped is not None:
            self.size -= dropped.size

    def drop_object(self, sobject: str) -> None:
        """Forget all records of an object."""
        for record_id in [each for each, kept in self._records.items() if kept.record.sobject == sobject]:
            self.drop(record_id)
