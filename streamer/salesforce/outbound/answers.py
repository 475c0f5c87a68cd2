"""Answers to Salesforce: the acknowledgement, and SOAP 1.1 faults.

One acknowledgement covers all notifications of an envelope (SOAP API guide,
outbound messaging WSDL).
"""

from enum import StrEnum
from xml.sax.saxutils import escape

from aiohttp import web

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    "{body}</soapenv:Body></soapenv:Envelope>"
)
_ACKNOWLEDGEMENT = (
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse>"
)
_FAULT = (
    "<soapenv:Fault><faultcode>soapenv:{code}</faultcode>"
    "<faultstring>{sentence}</faultstring></soapenv:Fault>"
)
_SERVER_ERRORS = 500


class EndpointOutcome(StrEnum):
    """Result of a request to the endpoint."""

    ACKNOWLEDGED = "acknowledged"
    SET_ASIDE = "set_aside"
    """Acknowledged, and kept as a dead letter, because it could not be read."""
    UNKNOWN_ADDRESS = "unknown_address"
    """No such message, or a wrong secret."""
    REFUSED_CLIENT = "refused_client"
    """The client's certificate has another subject."""
    NOT_OWNED = "not_owned"
    """Another process reads the channel, or none does at the moment."""
    BROKEN_OFF = "broken_off"
    """The body did not come whole."""
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    WRONG_ORGANIZATION = "wrong_organization"
    UNAVAILABLE = "unavailable"
    """The log did not take the notifications in time."""
    FAILED = "failed"


def acknowledgement() -> web.Response:
    """Return the answer that lets Salesforce forget the notifications of an envelope."""
    return _answer(_ACKNOWLEDGEMENT, status=200)


def fault(status: int, sentence: str) -> web.Response:
    """Return a SOAP fault, after which Salesforce sends the notifications again."""
    code = "Server" if status >= _SERVER_ERRORS else "Client"
    return _answer(_FAULT.format(code=code, sentence=escape(sentence)), status=status)


def _answer(body: str, *, status: int) -> web.Response:
    return web.Response(
        text=_ENVELOPE.format(body=body),
        status=status,
        content_type="text/xml",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )
