"""Checks of queries for definitions, which allow less than other queries.

Sources: Tooling API guide, SOQL Operation Limitations and FieldDefinition. The codes
MALFORMED_QUERY and EXCEEDED_ID_LIMIT were observed in orgs; the sandbox chooses the
code for a group. The guide says that LIMIT, OFFSET and COUNT() are ignored or refused.
But clients read pages of definitions with them, and the org's own error message advises
LIMIT.
"""

from collections.abc import Iterator

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.rest.query.definitions import ENTITY, FIELD
from streamer.sandbox.soql.syntax import Comparison, Condition, Junction, Negation, Path, SelectQuery

_STORAGE = (
    "The requested operation is not yet supported by this SObject storage type, contact salesforce.com "
    "support for more information."
)
_TAKEN = frozenset({"=", "in", "like"})
_REIFIED_SIGNS = frozenset({"=", "in"})
_REIFIED = frozenset({"entitydefinitionid", "durableid"})


def check_definition_query(query: SelectQuery) -> None:
    """Raise `Refused` for groups, disjunctions and comparisons that definitions don't support.

    A query for fields must filter by the fields' type, or by their DurableId.
    """
    if query.is_aggregate:
        raise Refused("INVALID_OPERATION", _STORAGE)
    found = list(_comparisons(query.where))
    if query.source.text.lower() == FIELD.lower() and not any(map(_is_reified, found)):
        message = f"{FIELD}: a filter on a reified column is required [EntityDefinitionId,DurableId]"
        raise Refused("MALFORMED_QUERY", message)


def check_definition_page(type_name: str, rows: int, page: int) -> None:
    """Raise `Refused` for an answer that needs a second page, because definitions have only one page."""
    if type_name in {ENTITY, FIELD} and rows > page:
        advice = "use LIMIT to restrict the results to a single batch"
        message = f"{type_name} does not support queryMore(), {advice}"
        raise Refused("EXCEEDED_ID_LIMIT", message)


def _comparisons(condition: Condition | None) -> Iterator[Comparison]:
    match condition:
        case Junction(all=True, conditions=several):
            for each in several:
                yield from _comparisons(each)
        case Junction():
            raise Refused("MALFORMED_QUERY", "Disjunctions not supported")
        case Comparison(sign="includes"):
            raise Refused("MALFORMED_QUERY", "Unsupported filter type")
        case Comparison(sign=sign) if sign in _TAKEN:
            yield condition
        case Comparison() | Negation():
            raise Refused("MALFORMED_QUERY", "Only equals comparisons permitted")


def _is_reified(comparison: Comparison) -> bool:
    operand = comparison.operand
    if not isinstance(operand, Path) or comparison.sign not in _REIFIED_SIGNS:
        return False
    name = operand.text.lower()
    return name in _REIFIED or name.startswith(f"{ENTITY.lower()}.")
