"""Metadata of a query's columns, which `query?columns=true` returns instead of its records."""

from collections.abc import Iterable
from typing import Any

from streamer.sandbox.org.schema import READ_ONLY, Field
from streamer.sandbox.soql.answers import SelectedColumn
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
    """Return the metadata; the columns of a parent are grouped under the name of the relationship."""
    return {
        "columnMetadata": _columns(run.columns),
        "entityName": run.entity.name,
        "groupBy": bool(run.query.group),
        "idSelected": any(each.name.lower() == "id" for each in run.columns),
        "keyPrefix": run.entity.prefix,
    }


def _columns(selected: Iterable[SelectedColumn]) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = []
    for each in selected:
        *parents, last = each.name.split(".")
        into = own
        for parent in parents:
            into = _joined(into, parent)
        column = _column(last, None if parents else each.known)
        into.append({**column, "aggregate": each.is_aggregate, "joinColumns": _columns(each.below)})
    return own


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
