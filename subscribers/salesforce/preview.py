"""Previews of the calls that the plugin would make."""

from streamer.events import Delivery, Outcome
from streamer.ports import ApexRestCall, ApexSoapCall, Org, OutgoingEvent, Preview, Unpublished, WriteRefused
from subscribers.salesforce.calls import call_of, name_of_call
from subscribers.salesforce.outcomes import outcome_of_call, outcome_of_publishing, outcome_of_writing
from subscribers.salesforce.publishing import event_of
from subscribers.salesforce.records import RecordMapping
from subscribers.salesforce.settings import SalesforceSettings


def preview_of(settings: SalesforceSettings, org: Org, delivery: Delivery) -> Preview | Outcome:
    """Return the request that would be sent to `org`, or the outcome if there is no request."""
    if settings.event is not None:
        return _event(settings, settings.event, org, event_of(settings.id_field, delivery))
    if settings.call is not None:
        return _call(settings, org, call_of(settings, delivery))
    shape = RecordMapping.of(settings)
    record = shape.record(delivery)
    if not isinstance(record, dict):
        return record
    shown = org.preview_of_record(shape.operation, record)
    if isinstance(shown, WriteRefused):
        return outcome_of_writing(shown, shape.operation, record_id="", again_s=None)
    return shown


def _event(
    settings: SalesforceSettings, topic: str, org: Org, event: OutgoingEvent | Outcome
) -> Preview | Outcome:
    if not isinstance(event, OutgoingEvent):
        return event
    shown = org.preview_of_event(settings.transport, topic, event)
    return outcome_of_publishing(shown, topic, again_s=None) if isinstance(shown, Unpublished) else shown


def _call(
    settings: SalesforceSettings, org: Org, call: ApexRestCall | ApexSoapCall | Outcome
) -> Preview | Outcome:
    if not isinstance(call, ApexRestCall | ApexSoapCall):
        return call
    shown = org.preview_of_call(call)
    if isinstance(shown, WriteRefused):
        return outcome_of_call(shown, name_of_call(settings), again_s=None)
    return shown
