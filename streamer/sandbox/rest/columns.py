"""Metadata of a query's columns, which `query?columns=true` returns instead of its records."""

from typing import Any

from streamer.sandbox.org.schema import READ_ONLY, Field
from streamer.sandbox.soql.evaluator import QueryRun

_APEX_TYPES = {
    "id": "Id",
    "reference": "Id",
    "boolean": "Boolean",
    "int": "Integer",
    "double": "Double",
    "currency": "Double",
    "percent": "Double",
    "date": "Date",
    "datetime": "Datetime",
}
_NUMBERS = frozenset({"Integer", "Double"})
_NO_TEXT = _NUMBERS | {"Boolean", "Date", "Datetime"}


def columns(run: QueryRun) -> dict[str, Any]:
    """Return the metadata; the columns of a parent are joined under the name of the relationship."""
    own: list[dict[str, Any]] = []
    for name in run.names:
        *parents, last = name.split(".")
        into = own
        for parent in parents:
            into = _joined(into, parent)
        into.append(_column(last, None if parents else run.entity.fields.get(last)))
    return {
        "columnMetadata": own,
        "entityName": run.entity.name,
        "groupBy": False,
        "idSelected": any(name.lower() == "id" for name in run.names),
        "keyPrefix": run.entity.prefix,
    }


def _joined(into: list[dict[str, Any]], parent: str) -> list[dict[str, Any]]:
    found = next((each for each in into if each["columnName"] == parent), None)
    if found is None:
        found = _column(parent, None)
        into.append(found)
    joined: list[dict[str, Any]] = found["joinColumns"]
    return joined


def _column(name: str, field: Field | None) -> dict[str, Any]:
    apex = _APEX_TYPES.get(field.type if field else "string", "String")
    writable = field is not None and name not in READ_ONLY
    return {
        "aggregate": False,
        "apexType": apex,
        "booleanType": apex == "Boolean",
        "columnName": name,
        "custom": name.endswith("__c"),
        "displayName": name,
        "foreignKeyName": None,
        "insertable": writable,
        "joinColumns": [],
        "numberType": apex in _NUMBERS,
        "textType": apex not in _NO_TEXT,
        "updatable": writable,
    }
