"""One call of the REST API and its answer, however they travel."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamer.sandbox.access.schema_view import SchemaView
from streamer.sandbox.auth.tokens import TokenSession
from streamer.sandbox.faults.armed import ArmedFaults
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.rest_requests import client_of, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResponse:
    """Status, JSON body and headers of an answer; `None` means no body.

    `chunks` are a body of another type, which the headers name. They are made
    while they are sent; with `cut_after`, the connection breaks after so many of
    their bytes.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] | None = None
    cut_after: int | None = None

    @property
    def is_error(self) -> bool:
        """True for a status of 400 and above."""
        return self.status >= 400  # noqa: PLR2004 - the first status of an error


NO_CONTENT = SandboxResponse(status=204)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCall:
    """One call in a session: an HTTP request, or a part of a composite one.

    `path` is what follows the API version, still encoded, and `parameters` are
    its parts by name. `headers` are found in any letter case. `schema` is what
    the session's user sees of the org's. The changes of a call with a `shared`
    transaction belong to that one. A part of a composite call `is_part`. At
    least `requests_used` of the day's requests count as used, where a fault says
    so.
    """

    method: str
    version: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    session: TokenSession
    org: SandboxOrg
    schema: SchemaView
    parameters: Mapping[str, str] = field(default_factory=dict)
    faults: ArmedFaults = field(default_factory=ArmedFaults)
    shared: Transaction | None = None
    is_part: bool = False
    requests_used: int = 0

    def __getitem__(self, name: str) -> str:
        """Return a parameter of the path."""
        return self.parameters[name]

    @property
    def base(self) -> str:
        """The start of this call's path, with its API version."""
        return f"/services/data/v{self.version}"

    def json_object(self) -> dict[str, Any]:
        """Return the body; raises `Refused` when it is no JSON object."""
        body = parsed(self.body)
        if not isinstance(body, dict):
            raise Refused("JSON_PARSER_ERROR", "The body must be a JSON object at [line:1, column:1]")
        return body

    def retrieve(self, type_name: str, record_id: str) -> Record:
        """Return a record that the user can read; raises `Refused` otherwise."""
        return self.org.retrieve(self.schema.entity(type_name).name, record_id)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Return a transaction of the session's user, with this call's client in its origin.

        Raising inside it undoes what was done inside it.
        """
        try:
            with self._transaction() as transaction:
                yield transaction
        except Refused as refused:
            refused.is_of_save = True
            raise

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        if self.shared is not None:
            with self.shared.savepoint():
                yield self.shared
            return
        client = client_of(self.headers)
        origin = f"com/salesforce/api/rest/{self.version}"
        tagged = f"{origin};client={client}" if client else origin
        with self.org.transaction(user=self.session.user_id, origin=tagged, guard=self.schema) as transaction:
            yield transaction


Handler = Callable[[RestCall], SandboxResponse]
"""Answers the calls of one method of a resource; raises `Refused` where it can't."""
