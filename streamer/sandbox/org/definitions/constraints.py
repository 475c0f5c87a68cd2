"""Constraints of standard and declared fields, which are checked when values are written."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from streamer.sandbox.org.records import Record, RecordStore
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.relationships import targets
from streamer.sandbox.org.schema import Entity, Field, Schema

DEFAULT_PRECISION = 18
"""Largest number of digits of a number whose declaration has no limit."""

DEFAULT_SCALE = 2
"""Number of digits after the point, if the declaration does not say it."""

_LENGTHS = {"id": 18, "reference": 18, "textarea": 32_000, "phone": 40, "email": 80}
_LENGTH = 255
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_LOGIN = ("User", "Username")
_SHORT_ID = 15
_SHOWN = 255


def length(field: Field) -> int:
    """Return the length of the longest text that a field can hold."""
    return field.length or _LENGTHS.get(field.type, _LENGTH)


def check_value(field: Field, value: Any) -> None:
    """Raise `Refused` for a stored value that a standard or declared field does not accept."""
    if value is None or not field.is_strict:
        return
    match field.type:
        case "picklist":
            _check_choices(field, [value])
        case "multipicklist":
            _check_choices(field, value.split(";"))
        case "date":
            _check_date(field, value)
        case "double" | "currency" | "percent" | "int" if field.declared:
            _check_size(field, value)
        case "string" | "textarea" | "email" | "phone" | "url":
            _check_length(field, value)
            if field.type == "email" and not _EMAIL.fullmatch(value):
                message = f"{field.title}: invalid email address: {value}"
                raise Refused("INVALID_EMAIL_ADDRESS", message, fields=[field.name])


def check_required(fields: Iterable[Field], values: Record) -> None:
    """Raise `Refused` if required fields have no value."""
    missing = [field.name for field in fields if field.required and values.get(field.name) is None]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise Refused("REQUIRED_FIELD_MISSING", message, fields=missing)


def check_against_records(
    schema: Schema, records: RecordStore, entity: Entity, record_id: str | None, written: Record
) -> None:
    """Raise `Refused` for a reference to a missing record, or for a repeated value in a unique field.

    `record_id` is the id of the record that is written, or `None` for a new record.
    """
    for name, value in written.items():
        field = entity.fields[name]
        if value is None or not field.is_strict:
            continue
        if field.type == "reference":
            _check_reference(schema, records, entity, field, value)
        if field.unique:
            _check_unique(records, entity, field, value, record_id)
        if (entity.name, name) == _LOGIN:
            _check_login(records, entity, value, record_id)


def _check_choices(field: Field, chosen: Iterable[str]) -> None:
    for value in chosen:
        if field.restricted and value not in field.values:
            message = f"{field.title}: bad value for restricted picklist field: {value}"
            raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=[field.name])


def _check_date(field: Field, value: str) -> None:
    try:
        date.fromisoformat(value)
    except ValueError:
        message = f"Cannot deserialize instance of date from VALUE_STRING value {value}"
        raise Refused("JSON_PARSER_ERROR", message, fields=[field.name]) from None


def _check_size(field: Field, value: float) -> None:
    if field.type == "int" and not float(value).is_integer():
        message = f"{field.title}: value not of required type: {value}"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, fields=[field.name])
    if field.precision is None and field.scale is None:
        return
    whole_digits = (field.precision or DEFAULT_PRECISION) - (field.scale or 0)
    if abs(value) >= 10**whole_digits:
        message = f"{field.title}: value outside of valid range on numeric field: {value}"
        raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message, fields=[field.name])


def _check_length(field: Field, value: str) -> None:
    if len(value) > length(field):
        message = f"{field.title}: data value too large: {value[:_SHOWN]} (max length={length(field)})"
        raise Refused("STRING_TOO_LONG", message, fields=[field.name])


def _check_reference(
    schema: Schema, records: RecordStore, entity: Entity, field: Field, record_id: str
) -> None:
    to = schema.entity_of_id(record_id)
    allowed = targets(entity, field)
    if to is None or (allowed and to.name not in allowed):
        message = f"{field.title}: id value of incorrect type: {record_id}"
        raise Refused("FIELD_INTEGRITY_EXCEPTION", message, fields=[field.name])
    found = records.get(to, record_id)
    if found is None or found["IsDeleted"]:
        raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[field.name])


def _check_login(records: RecordStore, entity: Entity, username: str, record_id: str | None) -> None:
    if any(other["Id"] != record_id for other in records.find(entity, "Username", username)):
        message = (
            "Duplicate Username. The username already exists in this or another Salesforce organization. "
            "Usernames must be unique across all Salesforce organizations."
        )
        raise Refused("DUPLICATE_USERNAME", message, fields=["Username"])


def _check_unique(
    records: RecordStore, entity: Entity, field: Field, value: Any, record_id: str | None
) -> None:
    for other in records.find(entity, field.name, value):
        if other["Id"] != record_id and (not field.case_sensitive or other[field.name] == value):
            place = f"record with id: {other['Id'][:_SHORT_ID]}"
            raise Refused(
                "DUPLICATE_VALUE", f"duplicate value found: {field.name} duplicates value on {place}"
            )
