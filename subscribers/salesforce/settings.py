"""Settings of the Salesforce plugin."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from streamer.ports import PublishTransport
from streamer.salesforce.publish.access import event_name
from streamer.settings import OrgSettings

_FIELD = r"^[A-Za-z]\w*$"


class SalesforceSettings(BaseModel):
    """Platform event that is published, and the org that gets it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    event: str = Field(description="API name of the platform event, such as Order_Placed__e")
    transport: PublishTransport = Field(
        default=PublishTransport.PUBSUB,
        description="pubsub (Pub/Sub API) or rest, which takes no id by which consumers know a repetition",
    )
    org: OrgSettings | None = Field(
        default=None, description="address of another org and its credentials; default: the daemon's org"
    )
    id_field: str | None = Field(
        default=None,
        pattern=_FIELD,
        examples=["Delivery_Key__c"],
        description="text field of the event that gets the delivery's key",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="time for one request with its answer")
    refusal_tries: int = Field(
        default=5,
        ge=1,
        le=100,
        description="attempts at an event that Salesforce refuses without a known reason, "
        "before it becomes a dead letter",
    )
    allow_loop: bool = Field(
        default=False,
        description="true: on may select the event that is published; when must then end the loop",
    )

    @field_validator("event")
    @classmethod
    def _is_a_platform_event(cls, event: str) -> str:
        return event_name(event)
