"""Checks of a parsed JMESPath expression without an event, and the names that it reads."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jmespath
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult

from streamer.expressions.bounds import MOST_COPIES, copies
from streamer.expressions.functions import Function, FunctionFailed, Functions
from streamer.expressions.functions.library import KINDS

# A dictionary with `type`, `value` and `children`, which jmespath's parser creates.
Node = Any

_TYPES = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
# Types that JMESPath's own functions return; a function that is not listed can return any type.
_RETURNED: Mapping[str, str] = {
    **dict.fromkeys(("abs", "ceil", "floor", "length", "to_number"), "number"),
    **dict.fromkeys(("contains", "ends_with", "starts_with"), "boolean"),
    **dict.fromkeys(("join", "to_string", "type"), "string"),
    **dict.fromkeys(("keys", "map", "sort", "sort_by", "to_array", "values"), "array"),
    "merge": "object",
}
_OF_EVENTS: Mapping[str, str] = {
    **dict.fromkeys(("id", "source", "subject", "time", "type"), "string"),
    "data": "object",
}
_TYPE_OF_NODES: Mapping[str, str] = {
    **dict.fromkeys(("comparator", "not_expression"), "boolean"),
    **dict.fromkeys(("projection", "filter_projection", "value_projection", "flatten", "slice"), "array"),
    "multi_select_list": "array",
    "multi_select_dict": "object",
    "expref": "expref",
}
# The first child of these nodes is evaluated in the scope of the node, and the other children
# within the value of the first child.
_SCOPES = frozenset(
    {"index_expression", "pipe", "projection", "filter_projection", "subexpression", "value_projection"}
)
_LITERALS = frozenset({"null", "true", "false"})
_CHAINS = frozenset({"subexpression", "pipe", "index_expression"})
_NO_TOKEN: Any = {"type": ""}
_CURRENT = frozenset({"current", "identity"})


class ExpressionMistake(Exception):
    """Mistake in an `expression`: a `sentence` with its `detail`.

    `word` is the mistaken word. This word is the name of a function if `is_call`, and
    the name of a member of an object if `is_member`.
    """

    def __init__(
        self,
        sentence: str,
        detail: str,
        *,
        word: str,
        expression: str,
        is_call: bool = False,
        is_member: bool = False,
    ) -> None:
        super().__init__(f"{sentence}: {detail}")
        self.sentence = sentence
        self.detail = detail
        self.expression = expression
        self._word = word
        self._is_call = is_call
        self._is_member = is_member

    @property
    def lex_position(self) -> int:
        """Number of characters before `word` in the expression."""
        tokens: list[Any] = list(Lexer().tokenize(self.expression))
        found = [
            (self._is_meant(before["type"], after["type"]), -int(token["start"]))
            for before, token, after in zip(
                [_NO_TOKEN, *tokens], tokens, [*tokens[1:], _NO_TOKEN], strict=False
            )
            if token["type"].endswith("identifier") and token["value"] == self._word
        ]
        return -max(found, default=(False, 0))[1]

    def _is_meant(self, before: str, after: str) -> bool:
        """Return whether the token between `before` and `after` is the wanted call, member or first name."""
        if self._is_call:
            return after == "lparen"
        return (before == "dot") is self._is_member and after != "lparen"


def check_expression(
    expression: ParsedResult,
    functions: Functions,
    names: Collection[str],
    data_names: Collection[str] = frozenset(),
) -> None:
    """Check `expression` as far as possible without an event; raises `ExpressionMistake`.

    A field at the top level must be one of `names`. If `data_names` are given, a member
    of `data` must be one of `data_names`. Each function must exist, and must accept the
    number of its arguments. It must also accept each argument that is a literal or has
    a known type. No value in the expression can be more than 1,000 times as large as
    the event.
    """
    checking = _Checking(expression.expression, functions, frozenset(names), frozenset(data_names))
    checking.check(expression.parsed, is_at_top=True)
    if copies(expression.parsed) > MOST_COPIES:
        detail = (
            f"a value in the expression can be more than {MOST_COPIES:,} times as large as the "
            "event; use the event fewer times"
        )
        raise ExpressionMistake(
            "the expression copies the event too often", detail, word="", expression=expression.expression
        )


class _Checking:
    def __init__(
        self, expression: str, functions: Functions, names: frozenset[str], data_names: frozenset[str]
    ) -> None:
        self._expression = expression
        self._functions = functions
        self._names = names
        self._data_names = data_names

    def check(self, node: Node, *, is_at_top: bool) -> None:
        """Check `node`; if `is_at_top`, the node is evaluated over the whole document."""
        if node["type"] == "field" and is_at_top and node["value"] not in self._names:
            self._refuse_name(node["value"])
        if node["type"] == "function_expression":
            self._check_call(node, is_at_top=is_at_top)
        if is_at_top and self._data_names:
            self._check_member(node)
        for child, is_inner in _inner(node):
            self.check(child, is_at_top=is_at_top and not is_inner)

    def _refuse_name(self, name: str) -> None:
        detail = f"{name}; {self._remedy(name)}"
        raise ExpressionMistake(
            "an event has no member with this name", detail, word=name, expression=self._expression
        )

    def _remedy(self, name: str) -> str:
        if name in _LITERALS:
            return f"put the value {name} in backticks: `{name}`"
        if f'"{name}"' in self._expression:
            return f"put a text in single quotes: '{name}'"
        close = difflib.get_close_matches(name, self._names, n=1)
        hint = f"did you mean {close[0]}?" if close else "fields of the record are in data.fields;"
        return f"{hint} known: {', '.join(sorted(self._names))}"

    def _check_member(self, node: Node) -> None:
        name = _member_of_data(node)
        if name is not None and name not in self._data_names:
            sentence, detail = unknown_member(name, self._data_names)
            raise ExpressionMistake(sentence, detail, word=name, expression=self._expression, is_member=True)

    def _check_call(self, node: Node, *, is_at_top: bool) -> None:
        name, arguments = node["value"], node["children"]
        if name not in self._functions.names:
            close = difflib.get_close_matches(name, self._functions.names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise self._refused_call("JMESPath has no such function", f"{name}{hint}", name)
        types = [self._type(each, is_at_top=is_at_top) for each in arguments]
        own = self._functions.own.get(name)
        try:
            if own is None:
                _check_jmespath(name, self._functions.FUNCTION_TABLE[name]["signature"], types)
            else:
                _check_own(own, arguments, types)
        except FunctionFailed as error:
            sentence, _, detail = str(error).partition(": ")
            if not detail:
                sentence, detail = "a function is called wrongly", str(error)
            raise self._refused_call(sentence, detail, name) from error

    def _refused_call(self, sentence: str, detail: str, name: str) -> ExpressionMistake:
        return ExpressionMistake(sentence, detail, word=name, expression=self._expression, is_call=True)

    def _type(self, node: Node, *, is_at_top: bool) -> str:
        """Return the JMESPath type of the value of `node` if it is not null; empty if the type is unknown."""
        kind = node["type"]
        if kind == "literal":
            return _TYPES.get(type(node["value"]), "")
        if kind == "function_expression":
            own = self._functions.own.get(node["value"])
            return own.returns if own is not None else _RETURNED.get(node["value"], "")
        if kind == "field" and is_at_top:
            return _OF_EVENTS.get(node["value"], "")
        if kind in _CHAINS:
            return self._type(node["children"][-1], is_at_top=False)
        return _TYPE_OF_NODES.get(kind, "")


def unknown_member(name: str, data_names: Collection[str]) -> tuple[str, str]:
    """Return an error sentence, and its detail, for a `name` that no event has in its data."""
    close = difflib.get_close_matches(name, data_names, n=1)
    hint = f"did you mean data.{close[0]}? " if close else f"did you mean data.fields.{name}? "
    known = ", ".join(sorted(data_names))
    return "the data of an event has no member with this name", f"data.{name}; {hint}known: {known}"


def _member_of_data(node: Node) -> str | None:
    """Return the member of the event's data at the beginning of `node`, such as `fields`; else `None`."""
    if node["type"] != "subexpression":
        return None
    of, member, *_ = node["children"]
    is_data = of["type"] == "field" and of["value"] == "data" and member["type"] == "field"
    return member["value"] if is_data else None


def _inner(node: Node) -> Iterator[tuple[Node, bool]]:
    """Yield the children of `node`, each with true if the child has another scope than `node`."""
    children: Sequence[Any] = [each for each in node["children"] if isinstance(each, dict)]
    if node["type"] == "expref":
        yield from ((each, True) for each in children)
    elif node["type"] in _SCOPES and children:
        first, *others = children
        is_same = node["type"] in _CHAINS and first["type"] in _CURRENT
        yield first, False
        yield from ((each, not is_same) for each in others)
    else:
        yield from ((each, False) for each in children)


def _check_own(function: Function, arguments: Sequence[Node], types: Sequence[str]) -> None:
    function.check_count(len(arguments))
    literals = []
    for position, (parameter, node) in enumerate(function.paired(arguments), start=1):
        where = f"{function.name}(): argument {position} ({parameter.name})"
        kind = types[position - 1]
        if node["type"] == "literal":
            literals.append(node["value"])
            if node["value"] is not None:
                function.read(position, parameter, node["value"])
        elif parameter.is_named:
            raise FunctionFailed(f"{where} must be a name in quotes, such as 'countries'")
        elif kind and parameter.kinds and kind not in parameter.kinds:
            raise FunctionFailed(f"{where} must be {_or(parameter.kinds)}, found {_or([kind])}")
    if len(literals) == len(arguments):
        # A call with constant arguments fails either for every event or for no event, so the
        # call is tried now.
        function(literals)


def _check_jmespath(name: str, signature: Sequence[Any], types: Sequence[str]) -> None:
    is_variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if len(types) < len(signature) or (len(types) > len(signature) and not is_variadic):
        takes = "at least " * is_variadic + str(len(signature))
        plural = "" if takes.endswith("1") else "s"
        raise FunctionFailed(f"{name}() takes {takes} argument{plural}, found {len(types)}")
    for position, kind in enumerate(types):
        allowed = signature[min(position, len(signature) - 1)]["types"]
        kinds = [each.partition("-")[0] for each in allowed]
        if kind and kinds and kind not in kinds:
            raise FunctionFailed(
                f"{name}(): argument {position + 1} must be {_or(kinds)}, found {_or([kind])}"
            )


def _or(kinds: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(KINDS.get(each, each) for each in kinds))


WHOLE = "@"
"""Stands for the whole document, and so for every name."""
_FIELDS = ["data", "fields"]
# Only the first child of these nodes sees the document; the other children see its result.
_PATHS = frozenset(
    {
        *("subexpression", "index_expression", "pipe", "projection", "value_projection"),
        *("filter_projection", "flatten"),
    }
)


def names_read(expression: str) -> frozenset[str]:
    """Return the names that `expression` reads, with `WHOLE` if it reads the whole document.

    `expression` must be valid.
    """
    return frozenset(_names(jmespath.compile(expression).parsed))


def reads_any(expression: str | None, names: Iterable[str]) -> bool:
    """Return true if `expression`, which must be valid, reads one of `names`."""
    wanted = {*names}
    return expression is not None and bool(wanted) and bool(names_read(expression) & {*wanted, WHOLE})


def nodes_at_top(node: Any) -> Iterator[Any]:
    """Yield `node` of a parsed JMESPath expression, and its descendants that see the whole document."""
    if node["type"] == "expref":
        # A reference sees the items of a list, and not the document.
        return
    yield node
    children = node["children"]
    for child in children[:1] if node["type"] in _PATHS else children:
        if isinstance(child, dict):
            yield from nodes_at_top(child)


def _names(node: Any) -> Iterator[str]:
    for each in nodes_at_top(node):
        if each["type"] == "field":
            yield each["value"]
        elif each["type"] in {"current", "identity"}:
            yield WHOLE


def fields_read(expression: str) -> frozenset[str]:
    """Return the names of the record's fields that `expression` reads as `data.fields.X`.

    `expression` must be valid.
    """
    return frozenset(_fields(jmespath.compile(expression).parsed))


def _fields(node: Any) -> Iterator[str]:
    for each in nodes_at_top(node):
        path = list(_path(each))
        if path[: len(_FIELDS)] == _FIELDS:
            yield from path[len(_FIELDS) : len(_FIELDS) + 1]


def _path(node: Any) -> Iterator[str]:
    """Yield the names at the beginning of the path `node`."""
    if node["type"] == "field":
        yield node["value"]
    elif node["type"] == "subexpression":
        for child in node["children"]:
            yield from _path(child)
            if child["type"] != "field":
                return
    elif node["type"] in _PATHS:
        yield from _path(node["children"][0])
