"""Previews of the calls that the plugin would make."""

from streamer.events import Delivery, Outcome, Reject
from streamer.exact_json import exact_json
from streamer.ports import ApexRestCall, ApexSoapCall, OutgoingEvent, Preview, PublishTransport
from subscribers.salesforce.calls import call_of
from subscribers.salesforce.publishing import event_of
from subscribers.salesforce.records import RecordShape
from subscribers.salesforce.settings import SalesforceSettings


def preview_of(settings: SalesforceSettings, login_url: str, delivery: Delivery) -> Preview | Outcome:
    """Return what would be sent to the org at `login_url`, or the outcome without it."""
    try:
        if settings.event is not None:
            return _event(settings, login_url, event_of(settings.id_field, delivery))
        if settings.call is not None:
            return _call(login_url, call_of(settings, delivery))
        shape = RecordShape.of(settings)
        record = shape.record(delivery)
        if not isinstance(record, dict):
            return record
        where = f"{shape.operation.kind} {shape.operation.sobject}, in {login_url}"
        return Preview(request=where, content=exact_json(record))
    except TypeError as error:
        return Reject(reason=f"it is no JSON: {error}", hint="change the body's mapping", sent=False)


def _event(settings: SalesforceSettings, login_url: str, event: OutgoingEvent | Outcome) -> Preview | Outcome:
    if not isinstance(event, OutgoingEvent):
        return event
    over_pubsub = settings.transport is PublishTransport.PUBSUB
    api = "the Pub/Sub API, in Avro" if over_pubsub else "REST"
    return Preview(
        request=f"publish /event/{settings.event} over {api}, to {login_url}",
        # REST takes no id.
        headers={"EventUuid": event.id} if over_pubsub else {},
        content=exact_json(dict(event.fields)),
    )


def _call(login_url: str, call: ApexRestCall | ApexSoapCall | Outcome) -> Preview | Outcome:
    match call:
        case ApexSoapCall():
            return Preview(
                request=f"call {call.apex_class}.{call.method} over SOAP, in {login_url}",
                content=exact_json(dict(call.arguments)),
            )
        case ApexRestCall():
            return Preview(
                request=f"{call.method} /services/apexrest{call.path}, in {login_url}",
                content=exact_json(dict(call.query) if call.body is None else call.body),
            )
        case _:
            return call
