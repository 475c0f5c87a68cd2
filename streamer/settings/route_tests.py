"""Tests in the configuration: an event, and the deliveries that are expected for it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from streamer.events import SubscriberName
from streamer.settings.section import Section

_OUTCOME = Literal["delivered", "excluded", "rejected"]


class ExpectedDelivery(Section):
    """Expectation of one subscriber; only the keys that are present are compared."""

    outcome: _OUTCOME = Field(
        default="delivered",
        description=(
            "delivered, excluded (the subscriber does not get the event) or rejected (the event becomes a "
            "dead letter)"
        ),
    )
    reason: str | None = Field(
        default=None, description="part of the reason why the event is excluded or rejected"
    )
    request: str | None = Field(
        default=None,
        examples=["POST https://erp.acme.com/api/invoices"],
        description="first line of the request, such as the method and the URL, as streamer render prints it",
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="headers that the request must have, beside others"
    )
    key: str | None = Field(default=None, description="idempotency key of the delivery")
    body: Any = Field(default=None, description="value of body, with nothing beside it")
    body_has: Any = Field(default=None, description="part of the value of body; other members can be there")
    text: str | None = Field(default=None, description="value of text")
    content: Any = Field(
        default=None,
        description="content of the request: a text, or the value that the content has as JSON",
    )
    content_has: Any = Field(
        default=None, description="part of the content as JSON; other members can be there"
    )

    @model_validator(mode="after")
    def _fits_the_outcome(self) -> Self:
        compared = self.model_fields_set - {"outcome", "reason"}
        if self.outcome != "delivered" and compared:
            raise ValueError(f"nothing is sent if the event is {self.outcome}: remove {min(compared)}")
        if self.outcome == "delivered" and self.reason is not None:
            raise ValueError("a delivery has no reason: remove reason, or set outcome")
        return self


def _from_outcome(value: object) -> object:
    return {"outcome": value} if isinstance(value, str) else value


class RouteTestSettings(Section):
    """One event, and the deliveries that are expected for it."""

    event: str | dict[str, Any] = Field(
        description="the event, or the path of its file in JSON, relative to this configuration file"
    )
    type: str | None = Field(
        default=None,
        examples=["salesforce.cdc.Account.updated"],
        description="type of the event if the event names none; default: derived from its data",
    )
    lookups: dict[str, Any] = Field(
        default_factory=dict,
        description="records that enrich looks up, by the names of the look-ups; null: no such record",
    )
    receipts: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="receipts of earlier subscribers in a chain, by their names"
    )
    expect: dict[
        Annotated[SubscriberName, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")],
        Annotated[
            ExpectedDelivery,
            BeforeValidator(_from_outcome, json_schema_input_type=_OUTCOME | ExpectedDelivery),
        ],
    ] = Field(min_length=1, description="expectations by the subscribers' names")
    others: Literal["any", "excluded"] = Field(
        default="any",
        description="expectation of all other subscribers: any, or excluded (no other gets the event)",
    )
