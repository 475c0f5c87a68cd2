"""One call of the REST API and its answer, as an HTTP request or as a part of a composite call."""

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

    `chunks` are a body of another media type, which the headers name; they are created
    while they are sent. With `cut_after`, the connection breaks after this number of
    bytes.
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

    `path` is the still encoded path after the API version, and `parameters` are its
    parts by name. `headers` are found in any letter case. `schema` is the session
    user's view of the org's schema. With a `shared` transaction, the changes of the
    call belong to this transaction. `is_part` is true for a part of a composite call.
    `requests_used` is set by a fault: at least this number of the day's requests counts
    as used.
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
        """The beginning of the call's path, with the API version."""
        return f"/services/data/v{self.version}"

    def json_object(self) -> dict[str, Any]:
        """Return the body; raises `Refused` if it is not a JSON object."""
        body = parsed(self.body)
        if not isinstance(body, dict):
            raise Refused("JSON_PARSER_ERROR", "The body must be a JSON object at [line:1, column:1]")
        return body

    def retrieve(self, type_name: str, record_id: str) -> Record:
        """Return a record that the user can read; raises `Refused` otherwise."""
        return self.org.retrieve(self.schema.entity(type_name).name, record_id)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Return a transaction of the session's user, whose origin names this call's client.

        An exception inside the transaction undoes its operations.
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
"""Handler that answers the calls of one method of a resource; raises `Refused` for a refused call."""
