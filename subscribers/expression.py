"""JMESPath expressions over a delivery, which are checked with the settings."""

from typing import Annotated, Any

import jmespath
from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, JMESPathError, ParseError
from pydantic import AfterValidator

from streamer.events import Delivery, JsonObject
from streamer.expressions.checks import ExpressionMistake, check_expression
from streamer.expressions.evaluation import evaluation
from streamer.expressions.functions import Functions

_FUNCTIONS = Functions()
_OF_EVENT = ("id", "source", "type", "subject", "time", "key", "data")
_OF_DELIVERY = ("body", "receipts")
_NAMES = frozenset({*_OF_EVENT, *_OF_DELIVERY})


def _compiles(expression: str) -> str:
    try:
        check_expression(jmespath.compile(expression), _FUNCTIONS, _NAMES)
    except JMESPathError as exc:
        raise ValueError(f"is not a JMESPath expression: {_mistake(exc)}") from exc
    except ExpressionMistake as exc:
        # The detail is left out, because it repeats the expression.
        raise ValueError(
            f"fails for every event: {exc.sentence}, at column {exc.lex_position + 1}; known names: "
            f"{', '.join(sorted(_NAMES))}"
        ) from exc
    return expression


def _mistake(error: JMESPathError) -> str:
    match error:
        case EmptyExpressionError():
            return "the expression is empty"
        case IncompleteExpressionError() | ParseError(token_type="EOF"):
            return "the expression is incomplete"
        case ParseError():
            return f"unexpected input at column {error.lex_position + 1}"
    # jmespath's own message repeats the expression, which can contain a secret.
    return "the expression can't be compiled"


Expression = Annotated[str, AfterValidator(_compiles)]
"""JMESPath expression over a delivery: id, source, type, subject, time, key, data, body and receipts.

An expression can call the functions of `body`, except functions that need tables or
keys of the configuration.
"""


class Unevaluated(ValueError):
    """The expression can't be evaluated on a delivery; the error's message says why."""


class Query:
    """Compiled expression; raises jmespath's `JMESPathError` for an invalid expression."""

    def __init__(self, expression: str) -> None:
        compiled = jmespath.compile(expression)
        self._evaluate = evaluation(compiled, _FUNCTIONS)
        self._path = _path(compiled.parsed)

    def of(self, delivery: Delivery) -> Any:
        """Return the value of the expression over `delivery`; return `None` if the expression fails."""
        try:
            return self.found(delivery)
        except Unevaluated:
            return None

    def found(self, delivery: Delivery) -> Any:
        """Return the expression's value over `delivery`; the value can be `None`. Raises `Unevaluated`."""
        if self._path:
            return _at(self._path, delivery)
        try:
            return self._evaluate(_view(delivery))
        except Exception as exc:
            # Expressions are an operator's code and can raise any error.
            raise Unevaluated(f"fails on this event: {exc}") from exc

    def name_of(self, delivery: Delivery) -> str | None:
        """Return a text or an integer as a name that fits into a URL; return `None` for any other value."""
        found = self.of(delivery)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        # The names . and .. would change the path of a URL.
        if isinstance(found, str) and found not in {"", ".", ".."}:
            return found
        return None


def _path(node: Any) -> tuple[str, ...]:
    """Return the names in a plain path such as `data.fields.Name`; return nothing for other expressions."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return ()
    parts = [_path(child) for child in node["children"]]
    return tuple(name for part in parts for name in part) if all(parts) else ()


def _at(path: tuple[str, ...], delivery: Delivery) -> Any:
    # For plain paths, this costs a tenth of the general evaluation.
    first, *names = path
    if first in _OF_DELIVERY:
        found: Any = getattr(delivery, first)
    elif first in _OF_EVENT:
        found = getattr(delivery.event, first)
    else:
        return None
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _view(delivery: Delivery) -> JsonObject:
    event = delivery.event
    return {name: getattr(event, name) for name in _OF_EVENT} | {
        name: getattr(delivery, name) for name in _OF_DELIVERY
    }
