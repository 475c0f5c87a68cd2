"""Previews of requests to an org, built by the same functions as the requests."""

from streamer.events import JsonObject
from streamer.exact_json import exact_json
from streamer.known_secrets import MASK
from streamer.ports import (
    ApexRestCall,
    ApexSoapCall,
    OutgoingEvent,
    Preview,
    PublishTransport,
    Unpublished,
    WriteOperation,
    WriteRefused,
)
from streamer.salesforce import apex, record_writer
from streamer.salesforce.apex_envelope import arguments_of
from streamer.salesforce.publish import rest
from streamer.salesforce.rest_requests import RestOptions
from streamer.settings import OrgSettings
from streamer.xml.elements import UnfitForXml


def preview_of_record(
    org: OrgSettings, operation: WriteOperation, record: JsonObject
) -> Preview | WriteRefused:
    """Return the request that would change `record`: see `streamer.ports.Org`."""
    request = record_writer.request_of(operation, record)
    return request if isinstance(request, WriteRefused) else _marked(org).preview(request, org.login_url)


def preview_of_call(org: OrgSettings, call: ApexRestCall | ApexSoapCall) -> Preview | WriteRefused:
    """Return the request that would call an Apex method: see `streamer.ports.Org`."""
    try:
        if isinstance(call, ApexRestCall):
            request = apex.rest_request(call)
        else:
            request = apex.soap_request(call, arguments_of(call), session_id=MASK, client=org.client_name)
    except (UnfitForXml, TypeError) as error:
        return apex.unwritable(error)
    return _marked(org).preview(request, org.login_url)


def preview_of_event(
    org: OrgSettings, transport: PublishTransport, topic: str, event: OutgoingEvent
) -> Preview | Unpublished:
    """Return the request that would publish `event`: see `streamer.ports.Org`."""
    fields = rest.json_body(event)
    if isinstance(fields, Unpublished):
        return fields
    if transport is PublishTransport.REST:
        request = rest.request_of(topic, fields)
        return RestOptions(api_version=org.api_version).preview(request, org.login_url)
    return Preview(
        request=f"publish /event/{topic} over the Pub/Sub API, in Avro, to {org.login_url}",
        headers={"accesstoken": MASK, "EventUuid": event.id},
        content=exact_json(dict(event.fields)),
    )


def _marked(org: OrgSettings) -> RestOptions:
    return RestOptions(api_version=org.api_version, client=org.client_name)
