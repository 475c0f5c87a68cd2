"""Checks of a query job's query for parts that the Bulk API 2.0 does not support.

The guide of the API (Create a Query Job) lists these parts. Two of the messages were
observed in orgs, and for one of them the code is API_ERROR.
"""

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.soql.columns import Column
from streamer.sandbox.soql.syntax import SelectQuery

_UNBOUNDED = frozenset({"ALL", "CUSTOM"})


def check_clauses(query: SelectQuery) -> None:
    """Raise `Refused` for groups, aggregates, OFFSET, children, the unbounded `FIELDS()` and FOR VIEW."""
    if any(isinstance(each.item, SelectQuery) for each in query.selected):
        raise unsupported("Aggregate Relationships not supported in Bulk V2 Query with CSV content type")
    if query.group or query.counts or query.is_aggregate:
        raise unsupported("GROUP BY and functions are not supported in Bulk V2 Query")
    if query.offset:
        raise unsupported("OFFSET is not supported in Bulk V2 Query")
    if query.marks_viewed:
        raise unsupported("FOR VIEW and FOR REFERENCE are not supported in Bulk V2 Query")
    if query.every in _UNBOUNDED:
        raise unsupported(f"FIELDS({query.every}) is not supported in Bulk V2 Query")


def check_column(entity: Entity, column: Column) -> None:
    """Raise `Refused` for a compound address; a compound name is a text, so it is allowed."""
    is_compound = column.name in entity.compounds if not column.path else column.name.endswith("Address")
    if is_compound and column.known is None and column.name != "Name":
        raise unsupported("Selecting compound data not supported in Bulk Query")


def unsupported(message: str, *, status: int = 400) -> Refused:
    """Return the refusal of a query or a call that the Bulk API does not support."""
    return Refused("API_ERROR", message, status=status)
