"""Operations that write records: update, upsert, create and delete."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from streamer.events import Delivery, JsonObject, Outcome, Reject, Skip
from streamer.ports import OrgWriter, WriteKind, WriteOperation
from subscribers.salesforce.operation import delivered_together, fields_of
from subscribers.salesforce.outcomes import outcome_of_writing, refusal_delay_s
from subscribers.salesforce.settings import SalesforceSettings

_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_NAMED_BY_ID = frozenset({WriteKind.UPDATE, WriteKind.DELETE})
_HINT = "map body to the fields of the record"


def operation_of(settings: SalesforceSettings) -> WriteOperation:
    """Return the operation that the settings choose; a create with an `id_field` becomes an upsert."""
    if settings.upsert is not None:
        upsert = settings.upsert
        return WriteOperation(kind=WriteKind.UPSERT, sobject=upsert.sobject, external_id=upsert.external_id)
    if settings.create is not None and settings.id_field is not None:
        return WriteOperation(kind=WriteKind.UPSERT, sobject=settings.create, external_id=settings.id_field)
    kind = WriteKind(settings.operation)
    return WriteOperation(kind=kind, sobject=str(getattr(settings, kind)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMapping:
    """Creates the record of a delivery from the subscriber's `body`."""

    operation: WriteOperation
    id_field: str | None

    @classmethod
    def of(cls, settings: SalesforceSettings) -> "RecordMapping":
        """Return the mapping that the settings describe."""
        return cls(operation=operation_of(settings), id_field=settings.id_field)

    def record(self, delivery: Delivery) -> JsonObject | Outcome:
        """Return the record to write, or the outcome if there is no record."""
        fields = fields_of(delivery.body, hint=_HINT)
        if not isinstance(fields, dict):
            return fields
        if self.operation.kind in _NAMED_BY_ID:
            return self._named(delivery, fields)
        if _taken_id(fields) is not None:
            return Reject(
                reason=f"the body has an Id, which {self.operation.kind} does not accept",
                hint="remove Id from body, or use update",
                sent=False,
            )
        return self._identified(delivery, fields)

    def _named(self, delivery: Delivery, fields: JsonObject) -> JsonObject | Outcome:
        # The event's own record is never the default, because Id can be mapped to an absent field.
        record_id = _taken_id(fields)
        if not isinstance(record_id, str) or _RECORD_ID.fullmatch(record_id) is None:
            return Reject(
                reason=f"the body has no valid Id of a record of {self.operation.sobject}",
                hint="map Id in body to the record's id of 15 or 18 characters, for example to subject",
                sent=False,
            )
        if self.operation.kind is WriteKind.DELETE:
            return {"Id": record_id}
        if delivery.event.is_deletion and record_id == delivery.event.subject:
            return Skip(reason="the record was deleted", sent=False)
        if not fields:
            return Skip(reason="the event has none of the fields that the subscriber's body uses", sent=False)
        self._add_key(delivery, fields)
        return {**fields, "Id": record_id}

    def _identified(self, delivery: Delivery, fields: JsonObject) -> JsonObject | Outcome:
        self._add_key(delivery, fields)
        if self.operation.kind is WriteKind.UPSERT:
            value = fields.get(self.operation.external_id)
            if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or value == "":
                return Reject(
                    reason=(
                        f"the body has no value for {self.operation.external_id}, the external id of "
                        "the record"
                    ),
                    hint=f"map {self.operation.external_id} in body to the external id",
                    sent=False,
                )
        return fields

    def _add_key(self, delivery: Delivery, fields: JsonObject) -> None:
        if self.id_field is not None:
            fields[self.id_field] = delivery.key


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWriting:
    """Writes one record for each delivery, many in one call; the fields are the subscriber's `body`."""

    writer: OrgWriter
    shape: RecordMapping
    refusal_tries: int

    async def deliver(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Write the records in one call, and return the outcomes."""
        return await delivered_together(deliveries, self.shape.record, self._written)

    async def _written(
        self, deliveries: Sequence[Delivery], records: Sequence[JsonObject]
    ) -> Sequence[Outcome]:
        results = await self.writer.write(self.shape.operation, records)
        return [
            outcome_of_writing(
                result,
                self.shape.operation,
                record_id=str(record.get("Id", "")),
                again_s=refusal_delay_s(delivery.attempt, self.refusal_tries),
            )
            for delivery, record, result in zip(deliveries, records, results, strict=True)
        ]


def _taken_id(fields: JsonObject) -> Any:
    """Remove the record's id from `fields`, and return it."""
    name = next((name for name in fields if name.lower() == "id"), None)
    return None if name is None else fields.pop(name)
