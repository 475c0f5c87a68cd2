"""Registry of the Apex methods of an org."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from streamer.sandbox.auth.tokens import TokenSession
from streamer.sandbox.org.org import DEFAULT_ORIGIN, SandboxOrg
from streamer.sandbox.org.transaction import Transaction


class ApexException(Exception):
    """The method throws an exception with this text, such as `System.DmlException: …`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexAnswer:
    """Answer of a REST method that sets its own status."""

    status: int
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexCall:
    """One call: its HTTP method and whole path, or its class and method, with its arguments.

    `arguments` is the JSON body of a REST call, or the content of a SOAP envelope, in
    which all values are texts. `client` is the client's name in the call options.
    """

    method: str
    path: str
    arguments: Any
    session: TokenSession
    org: SandboxOrg
    client: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction of the calling user; its origin names the client of the call."""
        tagged = f"{DEFAULT_ORIGIN};client={self.client}" if self.client else DEFAULT_ORIGIN
        return self.org.transaction(user=self.session.user_id, origin=tagged)


ApexMethod = Callable[[ApexCall], Any]
"""Apex method: returns JSON, `None` or an `ApexAnswer`; raises `ApexException`."""


class ApexMethods:
    """Methods by address; `calls` has all calls so far, in order."""

    def __init__(self) -> None:
        self.calls: list[ApexCall] = []
        self._rest: list[tuple[re.Pattern[str], str, ApexMethod]] = []
        self._soap: dict[tuple[str, str], ApexMethod] = {}

    def rest(self, method: str, mapping: str, called: ApexMethod) -> None:
        """Serve an HTTP method of a class whose `urlMapping` is `mapping`, such as `/invoices/*`."""
        pattern = ".*".join(map(re.escape, mapping.split("*")))
        self._rest.append((re.compile(pattern), method, called))

    def soap(self, apex_class: str, method: str, called: ApexMethod) -> None:
        """Serve a `webservice` method of a class; the class name can begin with a namespace."""
        self._soap[apex_class, method] = called

    def of_path(self, path: str) -> dict[str, ApexMethod]:
        """Return the methods that serve a path, by HTTP method."""
        return {method: called for pattern, method, called in self._rest if pattern.fullmatch(path)}

    def of_class(self, apex_class: str, method: str) -> ApexMethod | None:
        """Return a `webservice` method."""
        return self._soap.get((apex_class, method))
