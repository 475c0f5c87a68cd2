"""Changes of a random history to all kinds of fields: addresses, numbers, dates and long texts."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.acceptance.replica.changes import Changes
from tests.acceptance.replica.replica import TRACKED

_LINES = 40


def _text(draw: random.Random) -> str:
    """Return a long text in which one line is different: its changes are announced as diffs."""
    lines = [f"line {number} of a text that is long" for number in range(_LINES)]
    lines[draw.randrange(4)] = f"another line {draw.randrange(3)}"
    return "\n".join(lines)


_Value = Callable[[random.Random], Any]
_MORE: Mapping[str, Mapping[str, _Value]] = {
    "Account": {
        "BillingStreet": lambda draw: draw.choice(("Way 1", "Way 2\nback", None)),
        "BillingCountry": lambda draw: draw.choice(("NO", "DE", None)),
        "ShippingLatitude": lambda draw: draw.choice((59, 48.5, None)),
        "AnnualRevenue": lambda draw: draw.choice((1_000, 12.25, 0, None)),
        "NumberOfEmployees": lambda draw: draw.choice((0, 1, 70, None)),
        "Industry": lambda draw: draw.choice(("Energy", "Media", None)),
        "Description": lambda draw: draw.choice((_text(draw), _text(draw), _text(draw), "short", None)),
    },
    "Contact": {
        "FirstName": lambda draw: draw.choice(("Ann", "Bo", None)),
        "Salutation": lambda draw: draw.choice(("Ms.", "Dr.", None)),
        "MailingCity": lambda draw: draw.choice(("Oslo", "Bonn", None)),
        "Birthdate": lambda draw: draw.choice(("1999-12-31", "2000-01-01", None)),
        "Email": lambda draw: draw.choice(("a@acme.example", "b@berg.example", None)),
        "Description": lambda draw: draw.choice((_text(draw), _text(draw), _text(draw), "short", None)),
    },
}


@dataclass(kw_only=True)
class FullChanges(Changes):
    """Changes of all kinds of fields."""

    def again_and_again(self, times: int) -> str:
        """Change one record several times at the same moment, perhaps back to what it was."""
        entity = self.entity()
        chosen = self._some(entity, deleted=False, most=1)
        org, told = self.world.sandbox.org, []
        values = [self._fields(entity) for _ in range(2)]
        for record_id in chosen:
            for _ in range(times):
                fields = self.draw.choice(values)
                with org.transaction() as transaction:
                    transaction.update(entity, record_id, fields)
                told.append(fields)
        return f"updated {entity} {chosen} at once: {told}"

    def bounce(self) -> str:
        """Delete one record and take this back, or the other way round, perhaps with updates between."""
        entity = self.entity()
        is_deleted = self.draw.random() < 0.3
        chosen = self._some(entity, deleted=is_deleted, most=1)
        org, told = self.world.sandbox.org, []
        for record_id in chosen:
            for _ in range(self.draw.randint(2, 5)):
                with org.transaction() as transaction:
                    if not is_deleted and self.draw.random() < 0.3:
                        transaction.update(entity, record_id, self._fields(entity))
                        told.append("update")
                        continue
                    (transaction.undelete if is_deleted else transaction.delete)(entity, record_id)
                    is_deleted = not is_deleted
                    told.append("delete" if is_deleted else "undelete")
        return f"{entity} {chosen}: {told}"

    def text(self) -> str:
        """Change long texts."""
        entity = self.entity()
        chosen = self._some(entity, deleted=False)
        org = self.world.sandbox.org
        for _ in range(self.draw.randint(1, 3)):
            for record_id in chosen:
                with org.transaction() as transaction:
                    transaction.update(entity, record_id, {"Description": _text(self.draw)})
        return f"texts of {entity} {chosen}"

    def _fields(self, entity: str, *, whole: bool = False) -> dict[str, Any]:
        fields = super()._fields(entity, whole=whole)
        names = self.draw.sample(sorted(_MORE[entity]), self.draw.randint(0, 2))
        if not whole and self.draw.random() < 0.5:
            # Few fields, or each update of two records would be an overflow.
            fields = dict(list(fields.items())[:1])
        more = {name: _MORE[entity][name](self.draw) for name in names}
        return {**fields, **{name: value for name, value in more.items() if name not in TRACKED[entity]}}
