"""Contracts of writing: changes to an org's records, and calls of its Apex methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from streamer.events import JsonObject
from streamer.ports.publishing import Unanswered


class WriteKind(StrEnum):
    """Kind of a change to a record."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    """Updates the record that an external id names, or creates it."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOperation:
    """Change that is made to records of the type `sobject`.

    `external_id` is the field that names the record of an upsert.
    """

    kind: WriteKind
    sobject: str
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Salesforce has changed the record; only an upsert sets `created`."""

    record_id: str
    created: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRefused:
    """Salesforce refused a change or a call, which therefore changed nothing.

    `code` is Salesforce's error code, such as `UNABLE_TO_LOCK_ROW`, or empty,
    and `message` its sentence. `answer` is the beginning of what an Apex method
    said. `sent` is false when nothing left this process. With `is_general`, the
    refusal is about the operation, and not about the one record.
    """

    code: str
    message: str
    answer: str = ""
    sent: bool = True
    is_general: bool = False


WriteResult = Written | WriteRefused | Unanswered
"""Result of writing one record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexRestCall:
    """Call of an Apex REST method: `path` begins behind `/services/apexrest/`, and is encoded.

    Without a `body`, none is sent.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexSoapCall:
    """Call of a web service method of an Apex class, `Name` or `namespace/Name`.

    `arguments` are sent in their order, as the WSDL of the class has them.
    """

    apex_class: str
    method: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The method has returned `value`: JSON, or a text; of a SOAP method it is the `result`."""

    value: Any


CallResult = Answered | WriteRefused | Unanswered
"""Result of one call."""


def _nobody() -> None:
    pass


class OrgWriter(Protocol):
    """Writer into an org, which serves many callers at once.

    No method raises an error of Streamer's, save for `user`. After an
    `Unanswered` whose error is a `RetryLater`, it is uncertain whether
    Salesforce has acted.
    """

    async def user(self) -> str:
        """Return the id of the user that writes the records; empty where the login did not tell it.

        Raises a `RetryLater` or a `Stop`.
        """
        ...

    async def write(
        self, operation: WriteOperation, records: Sequence[JsonObject], /
    ) -> Sequence[WriteResult]:
        """Try once to change `records`, each apart from the others, and return the result of each.

        An update and a delete name the record by `Id`, an upsert by the
        operation's external id. Changes to one record are made in their order.
        A token that has expired is renewed.
        """
        ...

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = _nobody
    ) -> CallResult:
        """Call a method once, and return what it answered.

        `on_sent` is called when the whole request has been handed to the
        network, and again if it is sent again with a renewed token.
        """
        ...
