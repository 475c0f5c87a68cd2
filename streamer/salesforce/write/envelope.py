"""SOAP envelopes of Apex web services: a method's call, and its answer.

The WSDL of a class has one namespace for its headers, its methods and its own
types (Apex guide, exposing Apex methods as SOAP web services).
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from streamer.ports import Answered, ApexSoapCall, WriteRefused
from streamer.xml_tree import Element, MalformedXml, parse_xml

_NAMESPACE = "http://soap.sforce.com/schemas/class/"
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
# XML 1.0 has no way to write these.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MOST_DEPTH = 20
_TEXT_LIMIT = 500
_CODE_LIMIT = 80


class UnwritableArgument(ValueError):
    """An argument can't be written as XML; the text names it."""


def call_envelope(call: ApexSoapCall, *, session_id: str, client: str | None) -> bytes:
    """Return the envelope of `call`; raises `UnwritableArgument`.

    Objects become elements with elements in them, lists repeated elements, and
    null an element that is nil.
    """
    namespace = escape(_NAMESPACE + call.apex_class, {'"': "&quot;"})
    options = f"<CallOptions><client>{_text('client', client)}</client></CallOptions>" if client else ""
    arguments = "".join(_elements(call.arguments, depth=1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns:xsi="{_INSTANCE}" xmlns="{namespace}">'
        f"<soapenv:Header><SessionHeader><sessionId>{escape(session_id)}</sessionId></SessionHeader>"
        f"{options}</soapenv:Header>"
        f"<soapenv:Body><{call.method}>{arguments}</{call.method}></soapenv:Body></soapenv:Envelope>"
    ).encode()


def answer_of(body: bytes) -> Answered | WriteRefused | None:
    """Return the result or the fault in an answer, and `None` for what is no answer of a method.

    Texts stay texts, whatever their types in the WSDL.
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


def _refused(fault: Element) -> WriteRefused:
    detail = fault.child("detail")
    exceptions = detail.children if detail else []
    code = next(filter(None, (each.text("exceptionCode") for each in exceptions)), None)
    code = code or (fault.text("faultcode") or "").rpartition(":")[2]
    message = " ".join((fault.text("faultstring") or "no reason given").split())
    return WriteRefused(code=code[:_CODE_LIMIT], message=message[:_TEXT_LIMIT])


def _elements(fields: dict[str, Any], *, depth: int) -> Iterator[str]:
    if depth > _MOST_DEPTH:
        raise UnwritableArgument("the arguments are nested too deeply")
    for name, value in fields.items():
        if _NAME.fullmatch(name) is None:
            raise UnwritableArgument(f"{name[:80]!r} is no name of an argument or a field")
        for each in value if isinstance(value, list) else [value]:
            yield _element(name, each, depth=depth)


def _element(name: str, value: Any, *, depth: int) -> str:
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    if isinstance(value, dict):
        return f"<{name}>{''.join(_elements(value, depth=depth + 1))}</{name}>"
    return f"<{name}>{_text(name, value)}</{name}>"


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        raise UnwritableArgument(f"{name} is a list of lists, which Apex takes in no argument")
    # An xsd:decimal has no exponent.
    text = f"{Decimal(str(value)):f}" if isinstance(value, float | Decimal) else str(value)
    if found := _UNWRITABLE.search(text):
        raise UnwritableArgument(f"{name} holds the character U+{ord(found[0]):04X}, which XML can't carry")
    return escape(text)
