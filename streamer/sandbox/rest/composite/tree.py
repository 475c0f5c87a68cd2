"""REST resource that creates trees of records: parents with their children."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.relationships import Child, children
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.representations import record_type, without_attributes
from streamer.sandbox.rest.resources import Resources

_MAX_RECORDS, _MAX_TYPES, _MAX_DEPTH = 200, 5, 5
_REFERENCE = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """One record of a tree; `parent` is the reference id of the record to which `field` refers."""

    reference: str
    type_name: str
    fields: Mapping[str, Any]
    depth: int
    parent: str | None = None
    field: str = ""


class _NotCreated(Exception):
    """A record of the trees is refused, so no record is created."""

    def __init__(self, reference: str, refused: Refused) -> None:
        super().__init__(reference)
        self.result = {"referenceId": reference, "errors": [refused.as_save_error()]}


def add_tree(resources: Resources) -> None:
    """Serve `composite/tree`: create all of up to 200 records of five types on five levels, or no record."""
    resources.add("/composite/tree/{type}", post=_create)


def _create(call: RestCall) -> SandboxResponse:
    root_type = call.schema.entity(call["type"]).name
    # One level after the other, as Salesforce creates and lists them.
    nodes = sorted(_nodes(call, call.json_object(), depth=1), key=lambda node: node.depth)
    _check(nodes, root_type)
    ids: dict[str, str] = {}
    try:
        with call.transaction() as transaction:
            for node in nodes:
                ids[node.reference] = _created(transaction, node, ids)
    except _NotCreated as failure:
        return SandboxResponse(status=400, body={"hasErrors": True, "results": [failure.result]})
    results = [{"referenceId": reference, "id": record_id} for reference, record_id in ids.items()]
    return SandboxResponse(status=201, body={"hasErrors": False, "results": results})


def _created(transaction: Transaction, node: _Node, ids: Mapping[str, str]) -> str:
    parent = {} if node.parent is None else {node.field: ids[node.parent]}
    try:
        return transaction.create(node.type_name, {**node.fields, **parent})
    except Refused as refused:
        raise _NotCreated(node.reference, refused) from refused


def _nodes(
    call: RestCall, collection: Mapping[str, Any], *, depth: int, parent: str | None = None, field: str = ""
) -> Iterator[_Node]:
    if depth > _MAX_DEPTH:
        raise Refused("LIMIT_EXCEEDED", f"A tree can have at most {_MAX_DEPTH} levels")
    for record in _records(collection):
        reference = _reference(record)
        entity = call.schema.entity(record_type(record))
        by_name = {child.name: child for child in children(call.schema.entities, entity) if child.name}
        fields = without_attributes(record)
        below = {name: fields.pop(name) for name in list(fields) if name in by_name}
        yield _Node(
            reference=reference,
            type_name=entity.name,
            fields=fields,
            depth=depth,
            parent=parent,
            field=field,
        )
        yield from _below(call, by_name, below, depth=depth, parent=reference)


def _below(
    call: RestCall, by_name: Mapping[str, Child], below: Mapping[str, Any], *, depth: int, parent: str
) -> Iterator[_Node]:
    for name, collection in below.items():
        child = by_name[name]
        yield from _nodes(call, collection, depth=depth + 1, parent=parent, field=child.field)


def _records(collection: object) -> list[dict[str, Any]]:
    records = collection.get("records") if isinstance(collection, Mapping) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Refused("JSON_PARSER_ERROR", "Each level of a tree needs a list of records")
    return records


def _reference(record: Mapping[str, Any]) -> str:
    attributes = record.get("attributes")
    reference = attributes.get("referenceId") if isinstance(attributes, Mapping) else None
    if not isinstance(reference, str) or _REFERENCE.fullmatch(reference) is None:
        message = "Each record needs a referenceId of letters, numbers and underscores in its attributes"
        raise Refused("JSON_PARSER_ERROR", message)
    return reference


def _check(nodes: Iterable[_Node], root_type: str) -> None:
    nodes = list(nodes)
    references = [node.reference for node in nodes]
    if len(set(references)) < len(references):
        raise Refused("JSON_PARSER_ERROR", "Each referenceId must be unique")
    if len(nodes) > _MAX_RECORDS or len({node.type_name for node in nodes}) > _MAX_TYPES:
        message = f"A call can have at most {_MAX_RECORDS} records of at most {_MAX_TYPES} types"
        raise Refused("LIMIT_EXCEEDED", message)
    if any(node.type_name != root_type for node in nodes if node.depth == 1):
        raise Refused("INVALID_TYPE", f"The root of each tree must be of type {root_type}")
