"""Faults of a SOAP service, and their outcomes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from streamer.xml.tree import Element
from subscribers.http import OutcomeKind

_CODE = r"^([A-Za-z_][\w.-]*:)?[A-Za-z_][\w.-]*$"
# SOAP 1.2 has other names for the two codes to which services add subcodes.
_SAME = MappingProxyType({"sender": "client", "receiver": "server"})
_LONGEST_TEXT = 500
_LONGEST_DETAIL = 4_000

# Codes of WS-Security, section 12: the user, the password or the clock is wrong, and not the event.
_OF_SECURITY = (
    "FailedAuthentication",
    "InvalidSecurityToken",
    "InvalidSecurity",
    "FailedCheck",
    "SecurityTokenUnavailable",
    "UnsupportedSecurityToken",
    "UnsupportedAlgorithm",
    "MessageExpired",
    # SOAP 1.1 gives this code as an example in section 4.4.1.
    "Client.Authentication",
)
# The settings do not fit the service, so no event can be delivered.
_OF_SETTINGS = ("VersionMismatch", "MustUnderstand", "DataEncodingUnknown")

DEFAULTS: Mapping[str, OutcomeKind] = MappingProxyType(
    {
        **dict.fromkeys((*_OF_SECURITY, *_OF_SETTINGS), OutcomeKind.HOLD),
        "Client": OutcomeKind.REJECT,
        "Server": OutcomeKind.RETRY,
    }
)
"""Default outcomes of fault codes, if no rule of the settings matches; the first matching code decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFault:
    """Fault in an answer: its codes without prefixes, its text, and its detail as names and texts."""

    codes: tuple[str, ...] = ()
    text: str = ""
    detail: str = ""

    @property
    def name(self) -> str:
        """The most specific code."""
        return self.codes[-1] if self.codes else "without a code"

    def __str__(self) -> str:
        """Return the code and the text."""
        return f"{self.name}: {self.text}" if self.text else self.name

    @property
    def is_of_security(self) -> bool:
        """True when the service refuses our credentials."""
        return any(map(self.has, _OF_SECURITY))

    def has(self, code: str) -> bool:
        """Return whether one of the codes is `code`, or has `code` as one of its parts between full stops."""
        wanted = _canonical(code)
        return any(wanted in each for each in map(_canonical, self.codes))


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc.msg}") from exc
    return pattern


_Pattern = Annotated[str, AfterValidator(_compiles)]


class FaultRule(BaseModel):
    """Outcome of the faults that match all given conditions among `code`, `text` and `detail`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    code: str | None = Field(
        default=None,
        pattern=_CODE,
        examples=["Client.Duplicate"],
        description="code or subcode of the fault; both Client and Duplicate match the code "
        "Client.Duplicate; Sender is the same as Client",
    )
    text: _Pattern | None = Field(
        default=None, description="regular expression that must match a part of the fault's text, if set"
    )
    detail: _Pattern | None = Field(
        default=None,
        description=(
            "regular expression that must match a part of an element's name or text in the fault's "
            "detail, if set"
        ),
    )
    then: OutcomeKind = Field(
        description="outcome of a fault that the rule matches: delivered, retry, hold, reject, skip or "
        "disable"
    )

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if self.code is None and self.text is None and self.detail is None:
            raise ValueError("the rule has no condition: set code, text or detail")
        return self

    def matches(self, fault: ReceivedFault) -> bool:
        """Return whether every condition of the rule holds for `fault`."""
        return (
            (self.code is None or fault.has(self.code))
            and (self.text is None or re.search(self.text, fault.text) is not None)
            and (self.detail is None or re.search(self.detail, fault.detail) is not None)
        )


def kind_by_rule(rules: Sequence[FaultRule], fault: ReceivedFault) -> OutcomeKind | None:
    """Return the outcome of the first of `rules` that matches."""
    return next((rule.then for rule in rules if rule.matches(fault)), None)


def kind_by_default(fault: ReceivedFault) -> OutcomeKind | None:
    """Return the outcome of the first default code that `fault` has."""
    return next((kind for code, kind in DEFAULTS.items() if fault.has(code)), None)


def fault_of(element: Element) -> ReceivedFault:
    """Return the fault in a `Fault` element of SOAP 1.1 or 1.2."""
    if (code := element.child("Code")) is not None:
        reason, detail = element.child("Reason"), element.child("Detail")
        text = reason.child("Text") if reason is not None else None
        codes = tuple(_codes(code))
    else:
        text, detail = element.child("faultstring"), element.child("detail")
        given = element.child("faultcode")
        codes = (_local(given.content),) if given is not None else ()
    return ReceivedFault(
        codes=tuple(each for each in codes if each),
        text=_plain([text.content] if text is not None else [], _LONGEST_TEXT),
        detail=_plain(_words(detail) if detail is not None else [], _LONGEST_DETAIL),
    )


def _codes(code: Element) -> Iterator[str]:
    """Yield the code, each of its subcodes, and all codes joined by full stops."""
    values = []
    inner: Element | None = code
    while inner is not None:
        value = inner.child("Value")
        values.append(_local(value.content) if value is not None else "")
        inner = inner.child("Subcode")
    yield from values
    if len(values) > 1:
        yield ".".join(values)


def _words(element: Element) -> Iterator[str]:
    for child in element.children:
        yield child.name
        yield child.content
        yield from _words(child)


def _plain(parts: Sequence[str] | Iterator[str], limit: int) -> str:
    return " ".join(" ".join(parts).split())[:limit]


def _local(name: str) -> str:
    return name.strip().rpartition(":")[2]


def _canonical(code: str) -> str:
    first, *rest = _local(code).casefold().split(".")
    return f".{'.'.join([_SAME.get(first, first), *rest])}."
