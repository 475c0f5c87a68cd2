"""Parser of the part of SOQL that the sandbox supports."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.soql.date_literals import is_date_literal
from streamer.sandbox.soql.syntax import (
    AGGREGATES,
    ESCAPES,
    Comparison,
    Condition,
    FunctionCall,
    Junction,
    Literal,
    LiteralKind,
    Negation,
    Operand,
    OrderBy,
    Path,
    Selected,
    SelectQuery,
)
from streamer.sandbox.soql.time_functions import TIME_FUNCTIONS
from streamer.sandbox.soql.tokens import QueryToken, malformed, tokens

_SIGNS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_CLAUSES = ("from", "where", "group", "having", "order", "limit", "offset", "for")
_MAX_DEPTH = 50
_MAX_DIGITS = 9

_Item = TypeVar("_Item")


def parse(text: str) -> SelectQuery:
    """Return the query in `text`; raises `Refused` with MALFORMED_QUERY for invalid syntax."""
    return _Parser(text).whole_query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def whole_query(self) -> SelectQuery:
        query = self._query()
        if self._word("for"):
            if not self._at_word("view", "reference"):
                raise self._unexpected()
            self._next()
            query = replace(query, marks_viewed=True)
        self._take("end")
        return query

    def _query(self) -> SelectQuery:
        self._need("select")
        selected, every = self._selection()
        self._need("from")
        source, alias = self._path(), self._alias()
        where = self._condition(TIME_FUNCTIONS) if self._word("where") else None
        group = self._group() if self._word("group") else ()
        return SelectQuery(
            text=self._text,
            selected=selected,
            every=every,
            source=source,
            alias=alias.text if alias else None,
            where=where,
            group=group,
            having=self._condition(TIME_FUNCTIONS | AGGREGATES) if group and self._word("having") else None,
            order=self._orders() if self._word("order") else (),
            limit=self._whole_number() if self._word("limit") else None,
            offset=self._whole_number() if self._word("offset") else 0,
        )

    def _selection(self) -> tuple[tuple[Selected, ...], str | None]:
        """Return the selected items, which are empty for `COUNT()`, and the argument of `FIELDS()`."""
        start = self._at
        if self._word("count") and self._sign("(") and self._sign(")"):
            return (), None
        self._at = start
        if self._word("fields") and self._sign("("):
            every = self._take("name").text.upper()
            self._need(")")
            return (), every
        self._at = start
        return self._listed(self._selected), None

    def _selected(self) -> Selected:
        if self._at_word("from"):
            raise self._unexpected()
        if not self._sign("("):
            return Selected(item=self._operand(TIME_FUNCTIONS | AGGREGATES), alias=self._alias())
        return Selected(item=self._nested(self._query))

    def _alias(self) -> Path | None:
        is_alias = self._peek().kind == "name" and not self._at_word(*_CLAUSES)
        return self._path() if is_alias else None

    def _operand(self, functions: frozenset[str]) -> Operand:
        path = self._path()
        if self._peek().text != "(":
            return path
        function = path.text.upper()
        if function not in TIME_FUNCTIONS | AGGREGATES:
            raise malformed(self._text, path.offset, f"the function {path.text} is not supported")
        if function not in functions:
            raise self._unexpected()
        self._need("(")
        argument = self._path()
        self._need(")")
        return FunctionCall(function=function, argument=argument, offset=path.offset)

    def _path(self) -> Path:
        token = self._take("name")
        return Path(token.text, token.offset)

    def _condition(self, functions: frozenset[str]) -> Condition:
        first = self._term(functions)
        if not self._at_word("and", "or"):
            return first
        joint = self._peek().text.lower()
        conditions = [first]
        while self._word(joint):
            conditions.append(self._term(functions))
        if self._at_word("and", "or"):
            # Like Salesforce, refuse AND and OR side by side without parentheses.
            raise self._unexpected()
        return Junction(all=joint == "and", conditions=tuple(conditions))

    def _term(self, functions: frozenset[str]) -> Condition:
        if self._word("not"):
            return Negation(condition=self._nested(lambda: self._term(functions), closed=False))
        if self._sign("("):
            return self._nested(lambda: self._condition(functions))
        operand = self._operand(functions)
        if self._word("not"):
            self._need("in")
            return Negation(condition=self._in(operand))
        return self._comparison(operand)

    def _comparison(self, operand: Operand) -> Condition:
        if self._word("in"):
            return self._in(operand)
        if self._word("includes"):
            return Comparison(operand=operand, sign="includes", literals=self._literals())
        if self._word("excludes"):
            return Negation(condition=Comparison(operand=operand, sign="includes", literals=self._literals()))
        if self._word("like"):
            return Comparison(operand=operand, sign="like", literals=(self._literal(),))
        sign = self._take("sign")
        if sign.text not in _SIGNS:
            raise self._unexpected(sign)
        proper = "!=" if sign.text == "<>" else sign.text
        return Comparison(operand=operand, sign=proper, literals=(self._literal(),))

    def _in(self, operand: Operand) -> Comparison:
        start = self._at
        if self._sign("(") and self._at_word("select"):
            return Comparison(operand=operand, sign="in", subquery=self._nested(self._query))
        self._at = start
        return Comparison(operand=operand, sign="in", literals=self._literals())

    def _nested(self, inner: Callable[[], _Item], *, closed: bool = True) -> _Item:
        """Return the condition after an opening parenthesis or after a NOT."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise malformed(self._text, self._peek().offset, "too many parentheses")
        found = inner()
        if closed:
            self._need(")")
        self._depth -= 1
        return found

    def _literals(self) -> tuple[Literal, ...]:
        self._need("(")
        literals = self._listed(self._literal)
        self._need(")")
        return literals

    def _literal(self) -> Literal:
        token = self._next()
        match token.kind, token.text.lower():
            case "text", _:
                written = token.text[1:-1]
                plain = re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), written, flags=re.DOTALL)
                return Literal(kind=LiteralKind.TEXT, value=plain, written=written)
            case "number", _:
                return Literal(kind=LiteralKind.NUMBER, value=float(token.text))
            case ("date" | "datetime") as kind, _:
                return Literal(kind=LiteralKind(kind), value=token.text)
            case "name", ("true" | "false") as word:
                return Literal(kind=LiteralKind.BOOLEAN, value=word == "true")
            case "name", "null":
                return Literal(kind=LiteralKind.NULL, value=None)
            case (("name" | "span"), word) if is_date_literal(word.upper()):
                return Literal(kind=LiteralKind.SPAN, value=word.upper())
        raise self._unexpected(token)

    def _group(self) -> tuple[Operand, ...]:
        self._need("by")
        return self._listed(lambda: self._operand(TIME_FUNCTIONS))

    def _orders(self) -> tuple[OrderBy, ...]:
        self._need("by")
        return self._listed(self._order)

    def _order(self) -> OrderBy:
        operand = self._operand(TIME_FUNCTIONS | AGGREGATES)
        descending = self._word("desc")
        if not descending:
            self._word("asc")
        nulls_last = False
        if self._word("nulls"):
            nulls_last = self._word("last")
            if not nulls_last:
                self._need("first")
        return OrderBy(operand=operand, descending=descending, nulls_last=nulls_last)

    def _listed(self, item: Callable[[], _Item]) -> tuple[_Item, ...]:
        items = [item()]
        while self._sign(","):
            items.append(item())
        return tuple(items)

    def _whole_number(self) -> int:
        token = self._take("number")
        if not token.text.isdigit() or len(token.text) > _MAX_DIGITS:
            raise self._unexpected(token)
        return int(token.text)

    def _peek(self) -> QueryToken:
        return self._tokens[self._at]

    def _next(self) -> QueryToken:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _at_word(self, *words: str) -> bool:
        return self._peek().kind == "name" and self._peek().text.lower() in words

    def _word(self, word: str) -> bool:
        found = self._at_word(word)
        if found:
            self._next()
        return found

    def _sign(self, sign: str) -> bool:
        found = self._peek().kind == "sign" and self._peek().text == sign
        if found:
            self._next()
        return found

    def _need(self, expected: str) -> None:
        token = self._next()
        if token.text.lower() != expected:
            raise self._unexpected(token)

    def _take(self, kind: str) -> QueryToken:
        token = self._next()
        if token.kind != kind:
            raise self._unexpected(token)
        return token

    def _unexpected(self, token: QueryToken | None = None) -> Refused:
        found = token or self._peek()
        what = "<EOF>" if found.kind == "end" else found.text
        return malformed(self._text, found.offset, f"unexpected token: '{what}'")
