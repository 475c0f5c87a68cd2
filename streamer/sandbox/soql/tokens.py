"""Tokens of a SOQL query."""

import re
from dataclasses import dataclass

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.soql.locations import located

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<span>[A-Za-z_]+:\d{1,5}(?!\w))
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class QueryToken:
    """A piece of a query, its kind, and its place."""

    kind: str
    text: str
    offset: int


def tokens(text: str) -> list[QueryToken]:
    """Return the tokens of a query, the last of kind `end`; raises `Refused` for an unexpected character."""
    found, at = list[QueryToken](), 0
    stripped = text.rstrip()
    while True:
        match = _TOKEN.match(stripped, at)
        if match is None or match.lastgroup is None:
            unexpected = stripped[at:].lstrip()[:1]
            raise malformed(text, stripped.index(unexpected, at), f"unexpected token: '{unexpected}'")
        kind = match.lastgroup
        found.append(QueryToken(kind, match[kind], match.start(kind)))
        if kind == "end":
            return found
        at = match.end()


def malformed(text: str, offset: int, message: str) -> Refused:
    """Return the refusal of a query that has a mistake at this place."""
    return Refused("MALFORMED_QUERY", located(text, offset, message))
