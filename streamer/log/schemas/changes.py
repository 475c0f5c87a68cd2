"""Schemas of the data of change events, and the parts that all schemas are built of."""

from collections.abc import Iterator, Mapping
from typing import Any

from streamer.events import JsonObject

DEFINITIONS = "#/$defs/"
"""Beginning of the references between definitions."""

EVENT_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
"""Pattern of the times in events: RFC 3339 in UTC, with milliseconds."""


def text(description: str, **rules: object) -> JsonObject:
    """Return the schema of a text."""
    return {"type": "string", "description": description, **rules}


def event_time(description: str) -> JsonObject:
    """Return the schema of a time in an event."""
    return text(description, format="date-time", pattern=EVENT_TIME)


def epoch_seconds(description: str) -> JsonObject:
    """Return the schema of a time in seconds since 1970."""
    return {"type": "number", "description": f"{description}, in seconds since 1970"}


def count(description: str) -> JsonObject:
    """Return the schema of a whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description}


def texts(description: str) -> JsonObject:
    """Return the schema of a list of texts."""
    return {"type": "array", "items": {"type": "string"}, "description": description}


def or_null(schema: JsonObject) -> JsonObject:
    """Return the schema of what `schema` describes, and of null."""
    return {**schema, "type": [schema["type"], "null"]}


def any_object(description: str) -> JsonObject:
    """Return the schema of an object with any members."""
    return {"type": "object", "description": description}


def the_object(
    description: str,
    needed: Mapping[str, JsonObject],
    optional: Mapping[str, JsonObject] | None = None,
    **rules: object,
) -> JsonObject:
    """Return the schema of an object that has all keys of `needed`, and can have those of `optional`."""
    return {
        "type": "object",
        "description": description,
        "properties": {**needed, **(optional or {})},
        "required": list(needed),
        **rules,
    }


def reference(name: str, *, within: str = DEFINITIONS) -> JsonObject:
    """Return the schema that refers to the definition `name`, among those at `within`."""
    return {"$ref": f"{within}{name}"}


def references(part: Any, *, within: str = DEFINITIONS) -> Iterator[str]:
    """Yield the names of the definitions at `within` that a part of a document refers to."""
    if isinstance(part, dict):
        target = part.get("$ref")
        if isinstance(target, str) and target.startswith(within):
            yield target.removeprefix(within)
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each, within=within)


def constant(value: int | str, description: str) -> JsonObject:
    """Return the schema of one value."""
    kind = "integer" if isinstance(value, int) else "string"
    return {"type": kind, "const": value, "description": description}


_REDRIVEN = "Redriven"
_TRANSACTION = "Transaction"
_CHANGES = {
    "ChangeCreated": ("CREATE", "A record was created."),
    "ChangeUpdated": ("UPDATE", "Fields of a record changed."),
    "ChangeUndeleted": ("UNDELETE", "A deleted record was restored."),
}
_GAPS = ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW"]
_WRITTEN_BY_READING = ("recovered", "snapshot")


def changes() -> dict[str, JsonObject]:
    """Return the definitions, by their names."""
    return {
        **{name: _change(description, _type(change)) for name, (change, description) in _CHANGES.items()},
        "ChangeDeleted": _deleted(),
        "ChangeGap": _gap(),
        "ChangeSnapshot": _snapshot(),
        "ChangeRecovered": _recovered(),
        _TRANSACTION: _transaction(),
        _REDRIVEN: redriven(),
    }


def redriven() -> JsonObject:
    """Return the definition of what tells that an event was set aside before."""
    return the_object(
        "The event was a dead letter of ingest before, and stands behind others that are newer.",
        {
            "set_aside_at": event_time("when it was set aside"),
            "redriven_at": event_time("when it was read again"),
        },
    )


def with_redriven(optional: dict[str, JsonObject] | None = None) -> dict[str, JsonObject]:
    """Return `optional` keys, with the one that an event of any type can have."""
    return {**(optional or {}), _REDRIVEN.lower(): reference(_REDRIVEN)}


def _type(change: str) -> JsonObject:
    return constant(change, "the kind of the change, as Salesforce names it")


def _body(change: JsonObject, record_id: JsonObject | None = None) -> dict[str, JsonObject]:
    return {
        "record_id": record_id or text("the id of the record", pattern=r"[^*]$"),
        "entity": text("the API name of the object", minLength=1),
        "change": change,
        "fields": any_object(
            "the fields that the event carries, by their API names; on an update those that changed. "
            "A cleared field is null; one that is missing is unknown"
        ),
        "changed_fields": texts("the names of the fields that changed, as Salesforce lists them"),
        "nulled_fields": texts("the names of the fields that were cleared"),
    }


def _texts_of_the_event() -> dict[str, JsonObject]:
    return {
        "diff_fields": texts("the names of the fields whose diff the event holds instead of their text"),
        "reread": the_object(
            "Fields whose values were read from the record at a later time.",
            {"fields": texts("their names")},
            {
                "last_modified": {
                    "type": ["string", "null"],
                    "description": "the record's LastModifiedDate then; absent where it is protected",
                }
            },
        ),
    }


def _told() -> dict[str, JsonObject]:
    return {"transaction": reference(_TRANSACTION)}


def _change(description: str, change: JsonObject) -> JsonObject:
    return the_object(
        description,
        {**_body(change), **_told()},
        with_redriven(_texts_of_the_event()),
        **{"not": {"anyOf": [{"required": [name]} for name in _WRITTEN_BY_READING]}},
    )


def _deleted() -> JsonObject:
    return the_object(
        "A record was deleted. With `snapshot`, a snapshot found it deleted.",
        _body(_type("DELETE")),
        with_redriven({**_told(), "snapshot": _of_snapshot(), **_texts_of_the_event()}),
        anyOf=[{"required": ["transaction"]}, {"required": ["snapshot"]}],
        **{"not": {"required": ["recovered"]}},
    )


def _gap() -> JsonObject:
    change = text("GAP_…; or the kind of the change, if it is of all records of the entity")
    return the_object(
        "Records changed, and Salesforce does not tell how. Where `record_id` ends with *, all records of "
        "the entity can have changed.",
        {**_body(change, text("the id of the record, or one that ends with *", minLength=1)), **_told()},
        with_redriven(_texts_of_the_event()),
        anyOf=[
            {"properties": {"change": {"enum": _GAPS}}},
            {"properties": {"record_id": {"pattern": r"\*$"}}},
        ],
        **{"not": {"anyOf": [{"required": [name]} for name in _WRITTEN_BY_READING]}},
    )


def _snapshot() -> JsonObject:
    return the_object(
        "A record as it is, with all fields that the user can see; what changed is not known.",
        _body(_type("SNAPSHOT")),
        with_redriven({**_told(), "snapshot": _of_snapshot(), **_texts_of_the_event()}),
        anyOf=[{"required": ["transaction"]}, {"required": ["snapshot"]}],
        **{"not": {"required": ["recovered"]}},
    )


def _recovered() -> JsonObject:
    change = {**text("the kind of the change"), "enum": ["CREATE", "UPDATE", "DELETE", "UNDELETE"]}
    recovered = the_object(
        "The gap event that announced the change, and the time of reading.",
        {
            "reason": {**text("the change of the gap event"), "enum": _GAPS[:-1]},
            "read_at": event_time("when the record was read"),
        },
    )
    return the_object(
        "Values that a gap event lacks: the record as it was when it was read after that event.",
        {**_body(change), "recovered": recovered},
        with_redriven(_told()),
    )


def _of_snapshot() -> JsonObject:
    return the_object(
        "The snapshot that read the record.",
        {
            "id": text("the id of its continuity record", minLength=1),
            "read_at": event_time("when the record was read"),
        },
    )


def _transaction() -> JsonObject:
    # Rules of `protect` can drop the others, or put a text in their place.
    return the_object(
        "The transaction in which the record changed. Keys can be missing where `protect` drops them.",
        {
            "key": text("the transactionKey", minLength=1),
            "sequence": {"type": "integer", "description": "the sequenceNumber within the transaction"},
        },
        {
            "commit_number": {
                "type": ["integer", "string", "null"],
                "description": "the commitNumber; a text where it is protected",
            },
            "user": {"type": ["string", "null"], "description": "the id of the user who made the change"},
            "origin": {
                "type": ["string", "null"],
                "description": "the changeOrigin: the API and the client that made the change",
            },
        },
    )
