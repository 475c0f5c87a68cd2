"""Settings of the Salesforce plugin."""

import re
from enum import StrEnum
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streamer.ports import PublishTransport
from streamer.salesforce.publish.access import event_name
from streamer.settings import OrgSettings

_FIELD = r"^[A-Za-z][A-Za-z0-9_]*$"
_SOBJECT = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
OperationName = Literal["event", "update", "upsert", "create", "delete", "call"]
_OPERATIONS: tuple[OperationName, ...] = get_args(OperationName)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*)\}", re.ASCII)
# Path of an Apex class's urlMapping, with placeholders.
_APEX_PATH = re.compile(r"/?(?:[\w.~!$'()*+,;=:@-]|%[\dA-Fa-f]{2}|\{[A-Za-z]\w*\}|/)+", re.ASCII)
_DOTS = re.compile(r"(?:^|/)(?:\.|%2[eE]){1,2}(?:/|$)")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class OwnChanges(StrEnum):
    """Treatment of change events that this deployment has caused."""

    CLIENT = "client"
    """Changes whose origin has the org's `client_name` are skipped."""
    USER = "user"
    """Changes by the subscriber's own Salesforce user are skipped."""
    DELIVER = "deliver"
    """No change is skipped."""


class UpsertSettings(_Section):
    """Records that are updated, or created if they do not exist."""

    sobject: str = Field(pattern=_SOBJECT, examples=["Invoice__c"], description="API name of the object")
    external_id: str = Field(
        pattern=_FIELD,
        examples=["Number__c"],
        description="external id field of the object; the value of this field in body identifies the record",
    )


class CallSettings(_Section):
    """Apex method of the org, either rest or soap."""

    rest: str | None = Field(
        default=None,
        examples=["/invoices/{Id}"],
        description="path after /services/apexrest; Streamer replaces {Id} with the member Id of body",
    )
    soap: str | None = Field(
        default=None,
        pattern=r"^(?:[A-Za-z][A-Za-z0-9_]*/)?[A-Za-z][A-Za-z0-9_]*$",
        examples=["InvoiceService"],
        description="name of an Apex class with webservice methods; with a namespace: acme/InvoiceService",
    )
    method: str = Field(
        default="POST",
        pattern=_FIELD,
        description=(
            "with rest: the HTTP method, which is GET, POST, PUT, PATCH or DELETE; with soap: the "
            "name of the Apex method"
        ),
    )
    wait: bool = Field(
        default=True,
        description="false: an event counts as delivered when Streamer has sent the call; Streamer then only "
        "logs the method's answer, even a failure",
    )

    @field_validator("rest")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if _APEX_PATH.fullmatch(path) is None or _DOTS.search(path):
            raise ValueError("must be a path without ., .. or a query, such as /invoices/{Id}")
        return path.removeprefix("/")

    @model_validator(mode="after")
    def _is_one_method(self) -> Self:
        if (self.rest is None) == (self.soap is None):
            raise ValueError("must have either rest or soap")
        if self.rest is not None and self.method not in {*_WITH_BODY, "GET", "DELETE"}:
            raise ValueError("method must be GET, POST, PUT, PATCH or DELETE with rest")
        if self.soap is not None and "method" not in self.model_fields_set:
            raise ValueError("method is missing: soap needs the name of the Apex method")
        if self.rest is not None and not self.wait and self.method not in _WITH_BODY:
            raise ValueError("wait: false needs a method with a body: set method to POST, PUT or PATCH")
        return self

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the members of `body` that the path contains."""
        return tuple(_PLACEHOLDER.findall(self.rest or ""))

    def path(self, values: dict[str, str]) -> str:
        """Return the path with its placeholders replaced by the encoded `values`."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.rest or "")


class SalesforceSettings(_Section):
    """Operation, the org in which it is performed, and the guard against loops.

    Exactly one of event, update, upsert, create, delete and call must be set.
    """

    event: str | None = Field(
        default=None,
        examples=["Order_Placed__e"],
        description="API name of the platform event to publish",
    )
    update: str | None = Field(
        default=None,
        pattern=_SOBJECT,
        examples=["Opportunity"],
        description="API name of the object whose records Streamer updates; body must contain the record's "
        "Id",
    )
    upsert: UpsertSettings | None = Field(
        default=None, description="settings for updating or creating records by an external id"
    )
    create: str | None = Field(
        default=None,
        pattern=_SOBJECT,
        examples=["Task"],
        description="API name of the object whose records Streamer creates; with id_field, a retry creates "
        "no duplicate",
    )
    delete: str | None = Field(
        default=None,
        pattern=_SOBJECT,
        examples=["Quote__c"],
        description="API name of the object whose records Streamer deletes; body must contain the record's "
        "Id",
    )
    call: CallSettings | None = Field(
        default=None, description="settings for calling an Apex method of the org"
    )
    transport: PublishTransport = Field(
        default=PublishTransport.PUBSUB,
        description="API that publishes event; pubsub: the Pub/Sub API; rest: the REST API, whose events "
        "have no id by which consumers could recognise a repetition",
    )
    org: OrgSettings | None = Field(
        default=None, description="address and credentials of another org; default: the daemon's org"
    )
    id_field: str | None = Field(
        default=None,
        pattern=_FIELD,
        examples=["Delivery_Key__c"],
        description=(
            "text field, or argument of the method, in which Streamer stores the delivery's key; "
            "with create: an external id field"
        ),
    )
    timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="longest time for one request and its answer"
    )
    refusal_tries: int = Field(
        default=5,
        ge=1,
        le=100,
        description="number of attempts after which an event becomes a dead letter, if Salesforce refuses "
        "the event without a known reason",
    )
    batch_size: int = Field(
        default=200,
        ge=1,
        le=200,
        description="maximum number of events in one call; an Apex method always gets one event per call",
    )
    batch_wait_s: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="longest time for which an event waits for more events of the same call",
    )
    own_changes: OwnChanges | None = Field(
        default=None,
        description="treatment of change events that this deployment has caused; client: skip events whose "
        "origin contains the org's client_name; user: skip events of the subscriber's user; deliver: "
        "skip no events; default: client if the operation writes records or calls methods in the "
        "daemon's org, otherwise deliver",
    )
    allow_loop: bool = Field(
        default=False,
        description=(
            "true: `on` can select the event that this subscriber publishes; the expression `when` "
            "must then stop the loop"
        ),
    )

    @field_validator("event")
    @classmethod
    def _is_a_platform_event(cls, event: str | None) -> str | None:
        return None if event is None else event_name(event)

    @model_validator(mode="after")
    def _is_one_operation(self) -> Self:
        chosen = [name for name in _OPERATIONS if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = " and ".join(chosen) or "none"
            raise ValueError(f"must have exactly one of {', '.join(_OPERATIONS)}; found {found}")
        return self

    @property
    def operation(self) -> OperationName:
        """Name of the operation."""
        return next(name for name in _OPERATIONS if getattr(self, name) is not None)
