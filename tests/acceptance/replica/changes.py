"""Changes of a random history: what happens to the records of an org."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.acceptance.replica.replica import TRACKED
from tests.acceptance.replica.world import TRANSACTION_CHANGES, World

_VALUES = ("Acme", "Berg", "Oslo", "010-1", "a@acme.example")
_OF_FIELDS = {"Email": ("a@acme.example", "b@acme.example", "c@berg.example")}


@dataclass(kw_only=True)
class Changes:
    """Changes of records, which the random numbers of `draw` decide; each method says what it did."""

    world: World
    draw: random.Random

    def any(self) -> str:
        """Make one change."""
        what = self.draw.choice((self.create, self.update, self.update, self.delete, self.undelete))
        return what()

    def create(self) -> str:
        """Create some records."""
        entity, count = self.entity(), self.draw.randint(1, 3)
        with self.world.sandbox.org.transaction() as transaction:
            ids = [transaction.create(entity, self._fields(entity, whole=True)) for _ in range(count)]
        return f"created {entity} {ids}"

    def update(self) -> str:
        """Update some records in the same way."""
        entity = self.entity()
        ids = self._some(entity, deleted=False)
        fields = self._fields(entity)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.update(entity, each, fields)
        return f"updated {entity} {ids} {fields}"

    def delete(self) -> str:
        """Delete some records."""
        entity = self.entity()
        ids = self._some(entity, deleted=False)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.delete(entity, each)
        return f"deleted {entity} {ids}"

    def undelete(self) -> str:
        """Take some deletions back."""
        entity = self.entity()
        ids = self._some(entity, deleted=True)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.undelete(entity, each)
        return f"undeleted {entity} {ids}"

    def gap(self) -> str:
        """Make some changes that the org announces without their contents."""
        times = self.draw.randint(1, 3)
        in_database, keeps_dates = self.draw.random() < 0.3, self.draw.random() < 0.3
        self.world.sandbox.faults.gap_changes(in_database=in_database, keeps_dates=keeps_dates, times=times)
        told = [self.any() for _ in range(times)]
        return f"with {times} gaps, in the database: {in_database}, dates kept: {keeps_dates}: {told}"

    def overflow(self, *, deletions: bool) -> str:
        """Make more changes of an entity than a transaction announces, perhaps with `deletions`."""
        entity = self.entity()
        gone = self._some(entity, deleted=False, most=3 if deletions else 0)
        back = self._some(entity, deleted=True, most=2 if deletions else 0)
        # Deletions come first or last: within what is announced, or beyond it.
        is_first = self.draw.random() < 0.5
        with self.world.sandbox.org.transaction() as transaction:
            for step in (0, 1) if is_first else (1, 0):
                if step == 0:
                    for each in gone:
                        transaction.delete(entity, each)
                    for each in back:
                        transaction.undelete(entity, each)
                else:
                    for _ in range(2 * TRANSACTION_CHANGES):
                        transaction.create(entity, self._fields(entity, whole=True))
        return f"overflow of {entity}, deleted {gone}, undeleted {back}"

    def entity(self) -> str:
        """Return an entity."""
        return self.draw.choice(sorted(TRACKED))

    def _some(self, entity: str, *, deleted: bool, most: int = 2) -> Sequence[str]:
        org = self.world.sandbox.org
        ids = [
            each["Id"] for each in org.records.all(org.schema.entity(entity)) if each["IsDeleted"] == deleted
        ]
        return self.draw.sample(ids, min(len(ids), most and self.draw.randint(1, most)))

    def _fields(self, entity: str, *, whole: bool = False) -> dict[str, Any]:
        required = TRACKED[entity][0]
        fields: dict[str, Any] = {required: self.draw.choice(_VALUES)} if whole else {}
        for name in TRACKED[entity][1:]:
            if self.draw.random() < 0.6:
                fields[name] = self.draw.choice((*_OF_FIELDS.get(name, _VALUES), None))
        return fields
