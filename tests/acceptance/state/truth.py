"""Truth about an org's records: all fields after each transaction."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from streamer.events import JsonObject
from streamer.sandbox import Sandbox
from streamer.sandbox.org.field_values import event_value
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.schema import Entity
from tests.acceptance.replica.replica import TRACKED, RecordKey

# No event carries them.
_HIDDEN = frozenset({"Id", "IsDeleted", "SystemModstamp"})

Fields = JsonObject | None
"""Fields of a record that are not empty; `None` for a deleted record."""


@dataclass(kw_only=True)
class Truth:
    """Former and present fields of each record of an org, whose changes `path` carries.

    `commits` has the place among a record's moments that a commit led to.
    """

    sandbox: Sandbox
    path: str
    moments: dict[RecordKey, list[Fields]] = field(default_factory=lambda: defaultdict(list))
    commits: dict[tuple[RecordKey, int], int] = field(default_factory=dict)
    changes: int = 0

    def begin(self) -> None:
        """Follow the org from now on."""
        self.sandbox.org.listen(lambda _: self.note())
        self.sandbox.bus.listen(self._listen)

    def note(self) -> None:
        """Note the records that are different from before."""
        present = self.present()
        for key, fields in present.items():
            former = self.moments.get(key)
            if not former or former[-1] != fields:
                self.moments[key].append(fields)
                self.changes += 1

    def present(self) -> dict[RecordKey, Fields]:
        """Return the records that the org has now, including deleted ones."""
        org = self.sandbox.org
        entities = [org.schema.entity(name) for name in TRACKED]
        return {
            (entity.name, record["Id"]): None if record["IsDeleted"] else fields_of(entity, record)
            for entity in entities
            for record in org.records.all(entity)
        }

    def _listen(self, paths: Sequence[str]) -> None:
        """Note which moment an announced commit led to. The org publishes before it calls its listeners."""
        if self.path not in paths:
            return
        self.note()
        tip = self.sandbox.bus.newest_replay_id(self.path)
        assert tip is not None
        message = self.sandbox.bus.after(self.path, tip - 1)[-1]
        header = orjson.loads(message.data)["payload"]["ChangeEventHeader"]
        for record_id in header["recordIds"]:
            key = header["entityName"], record_id
            if key in self.moments:
                self.commits[key, header["commitNumber"]] = len(self.moments[key]) - 1


def fields_of(entity: Entity, record: Record) -> JsonObject:
    """Return the fields of a record that are not empty, in the form of change events."""
    found: JsonObject = {}
    for name, stored in record.items():
        if stored is None or name in _HIDDEN or name not in entity.fields:
            continue
        value, part = event_value(entity.fields[name], stored), entity.parts.get(name)
        if part is None:
            found[name] = value
        else:
            found.setdefault(part[0], {})[part[1]] = value
    return found
