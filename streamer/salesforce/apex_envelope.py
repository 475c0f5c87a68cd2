"""SOAP envelopes of Apex web services: calls of a method, and their answers.

The WSDL of a class has one namespace for its headers, methods and types (Apex
guide, exposing Apex methods as SOAP web services).
"""

import re
from xml.sax.saxutils import escape

from streamer.ports import Answered, ApexSoapCall, WriteRefused
from streamer.xml.elements import ElementWriter
from streamer.xml.tree import Element, MalformedXml, parse_xml

_NAMESPACE = "http://soap.sforce.com/schemas/class/"
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_TEXT_LIMIT = 500
_CODE_LIMIT = 80

# Codes of any SOAP fault (SOAP 1.1, section 4.4.1). A dot and a detail can follow a code.
_OF_SOAP = frozenset({"", "Client", "Server"})

# Apex has no attributes, and its names are ASCII. The envelope declares xsi.
_ARGUMENTS = ElementWriter(
    nil='xsi:nil="true"',
    names=re.compile(r"[A-Za-z_][\w.-]*", re.ASCII),
    attributes=False,
    replacement=None,
    keeps_returns=False,
)


def arguments_of(call: ApexSoapCall) -> str:
    """Return the XML elements for the arguments of `call`. Raises `UnfitForXml`.

    An object becomes an element with child elements, a list becomes repeated
    elements, and null becomes an element with `xsi:nil`.
    """
    return _ARGUMENTS.elements(call.arguments)


def call_envelope(call: ApexSoapCall, arguments: str, *, session_id: str, client: str | None) -> bytes:
    """Return the envelope of `call` with the XML elements `arguments`. Raises `UnfitForXml`."""
    namespace = escape(_NAMESPACE + call.apex_class, {'"': "&quot;"})
    options = (
        f"<CallOptions><client>{_ARGUMENTS.text('client', client)}</client></CallOptions>" if client else ""
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns:xsi="{_INSTANCE}" xmlns="{namespace}">'
        f"<soapenv:Header><SessionHeader><sessionId>{escape(session_id)}</sessionId></SessionHeader>"
        f"{options}</soapenv:Header>"
        f"<soapenv:Body><{call.method}>{arguments}</{call.method}></soapenv:Body></soapenv:Envelope>"
    ).encode()


def answer_of(body: bytes) -> Answered | WriteRefused | None:
    """Return the result or the fault in `body`, or `None` if `body` is not the answer of a method.

    Values stay texts, whatever their types in the WSDL.
    """
    try:
        root = parse_xml(body)
    except MalformedXml:
        return None
    content = root.child("Body")
    if root.name != "Envelope" or content is None or not content.children:
        return None
    said = content.children[0]
    if said.name == "Fault":
        return _refused(said)
    return Answered(value=said.values().get("result"))


def is_uncoded(code: str) -> bool:
    """Return true if a fault's `code` is SOAP's own and not Salesforce's."""
    return code.partition(".")[0] in _OF_SOAP


def _refused(fault: Element) -> WriteRefused:
    detail = fault.child("detail")
    exceptions = detail.children if detail else []
    code = next(filter(None, (each.text("exceptionCode") for each in exceptions)), None)
    code = code or (fault.text("faultcode") or "").rpartition(":")[2]
    message = " ".join((fault.text("faultstring") or "no reason given").split())
    return WriteRefused(code=code[:_CODE_LIMIT], message=message[:_TEXT_LIMIT])
