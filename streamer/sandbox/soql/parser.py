"""Parser of the part of SOQL that the sandbox answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.soql.locations import located

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_SIGNS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_MAX_DEPTH = 50


class Kind(StrEnum):
    """The type of a literal."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"
    DATE = "date"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A value in a condition."""

    kind: Kind
    value: str | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`field sign literal`, or `field IN (literals)`; signs are `=` `!=` `<` `<=` `>` `>=` `like` `in`."""

    field: str
    sign: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """Conditions of which all, or any, must hold."""

    all: bool
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    """A condition that must not hold."""

    condition: "Condition"


Condition = Comparison | Junction | Negation


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One field to sort by."""

    field: str
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed SELECT; `fields` is empty for `COUNT()`, and `text` is the query as it was written."""

    text: str
    type_name: str
    fields: tuple[str, ...]
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


def parse(text: str) -> Query:
    """Return the query in `text`; raises `Refused` with MALFORMED_QUERY for invalid syntax."""
    return _Parser(text, _tokens(text)).query()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while True:
        found = _TOKEN.match(stripped, at)
        if found is None or found.lastgroup is None:
            unexpected = stripped[at:].lstrip()[:1]
            raise _malformed(text, stripped.index(unexpected, at), f"unexpected token: '{unexpected}'")
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind)))
        if kind == "end":
            return tokens
        at = found.end()


class _Parser:
    def __init__(self, text: str, tokens: Sequence[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def query(self) -> Query:
        self._need("select")
        fields = self._fields()
        self._need("from")
        type_name = self._take("name").text
        where = self._condition() if self._word("where") else None
        query = Query(
            text=self._text,
            type_name=type_name,
            fields=fields,
            where=where,
            order=self._orders() if self._word("order") else (),
            limit=self._whole_number() if self._word("limit") else None,
            offset=self._whole_number() if self._word("offset") else 0,
        )
        self._take("end")
        return query

    def _fields(self) -> tuple[str, ...]:
        first = self._field()
        if self._sign("("):
            return self._call(first)
        names = [first]
        while self._sign(","):
            names.append(self._field())
        return tuple(names)

    def _field(self) -> str:
        if self._at_word("from"):
            raise self._unexpected()
        return self._take("name").text

    def _call(self, function: str) -> tuple[str, ...]:
        if function.lower() == "count":
            self._need(")")
            return ()
        if function.lower() == "fields":
            which = self._take("name").text.upper()
            self._need(")")
            return (f"FIELDS({which})",)
        message = f"the function {function} is not supported"
        raise _malformed(self._text, self._tokens[self._at - 2].offset, message)

    def _condition(self) -> Condition:
        first = self._operand()
        if not self._at_word("and", "or"):
            return first
        joint = self._peek().text.lower()
        conditions = [first]
        while self._word(joint):
            conditions.append(self._operand())
        if self._at_word("and", "or"):
            # Salesforce wants parentheses where AND and OR meet, too.
            raise self._unexpected()
        return Junction(all=joint == "and", conditions=tuple(conditions))

    def _operand(self) -> Condition:
        if self._word("not"):
            return Negation(condition=self._operand())
        if not self._sign("("):
            return self._comparison()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _malformed(self._text, self._peek().offset, "too many parentheses")
        condition = self._condition()
        self._need(")")
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        field = self._take("name").text
        if self._word("not"):
            self._need("in")
            return Negation(condition=Comparison(field=field, sign="in", literals=self._list()))
        if self._word("in"):
            return Comparison(field=field, sign="in", literals=self._list())
        if self._word("like"):
            return Comparison(field=field, sign="like", literals=(self._literal(),))
        sign = self._take("sign")
        if sign.text not in _SIGNS:
            raise self._unexpected(sign)
        proper = "!=" if sign.text == "<>" else sign.text
        return Comparison(field=field, sign=proper, literals=(self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._need("(")
        literals = [self._literal()]
        while self._sign(","):
            literals.append(self._literal())
        self._need(")")
        return tuple(literals)

    def _literal(self) -> Literal:
        token = self._next()
        match token.kind, token.text.lower():
            case "text", _:
                plain = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token.text[1:-1])
                return Literal(kind=Kind.TEXT, value=plain)
            case "number", _:
                return Literal(kind=Kind.NUMBER, value=float(token.text))
            case ("date" | "datetime") as kind, _:
                return Literal(kind=Kind(kind), value=token.text)
            case "name", ("true" | "false") as word:
                return Literal(kind=Kind.BOOLEAN, value=word == "true")
            case "name", "null":
                return Literal(kind=Kind.NULL, value=None)
        raise self._unexpected(token)

    def _orders(self) -> tuple[Order, ...]:
        self._need("by")
        orders = [self._order()]
        while self._sign(","):
            orders.append(self._order())
        return tuple(orders)

    def _order(self) -> Order:
        field = self._take("name").text
        descending = self._word("desc")
        if not descending:
            self._word("asc")
        nulls_last = False
        if self._word("nulls"):
            nulls_last = self._word("last")
            if not nulls_last:
                self._need("first")
        return Order(field=field, descending=descending, nulls_last=nulls_last)

    def _whole_number(self) -> int:
        token = self._take("number")
        if not token.text.isdigit():
            raise self._unexpected(token)
        return int(token.text)

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
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
        if self._next_lower() != expected:
            raise self._unexpected(self._tokens[self._at - 1])

    def _next_lower(self) -> str:
        return self._next().text.lower()

    def _take(self, kind: str) -> _Token:
        token = self._next()
        if token.kind != kind:
            raise self._unexpected(token)
        return token

    def _unexpected(self, token: _Token | None = None) -> Refused:
        found = token or self._peek()
        what = "<EOF>" if found.kind == "end" else found.text
        return _malformed(self._text, found.offset, f"unexpected token: '{what}'")


def _malformed(text: str, offset: int, message: str) -> Refused:
    return Refused("MALFORMED_QUERY", located(text, offset, message))
