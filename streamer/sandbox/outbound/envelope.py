"""SOAP envelopes of outbound messages, and their answers (SOAP API guide, outbound messaging WSDL)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_ACKNOWLEDGED = re.compile(rb"<(?:[\w.-]+:)?Ack>\s*true\s*</(?:[\w.-]+:)?Ack>")
# XML can't contain these characters.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Elements of an envelope that are not about one record."""

    organization_id: str
    action_id: str
    instance_url: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifiedRecord:
    """One notification: its id, and the type and the present fields of its record."""

    notification_id: str
    object: str
    fields: Mapping[str, Any]


def envelope(header: Header, notifications: Sequence[NotifiedRecord]) -> bytes:
    """Return the envelope of `notifications`."""
    org = header.organization_id[:15]
    body = [
        _element("OrganizationId", header.organization_id),
        _element("ActionId", header.action_id),
        _element("SessionId", header.session_id),
        _element("EnterpriseUrl", f"{header.instance_url}/services/Soap/c/66.0/{org}"),
        _element("PartnerUrl", f"{header.instance_url}/services/Soap/u/66.0/{org}"),
        *map(_notification, notifications),
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n<soapenv:Body>\n'
        f'<notifications xmlns="http://soap.sforce.com/2005/09/outbound">\n{_lines(body)}'
        "</notifications>\n</soapenv:Body>\n</soapenv:Envelope>\n"
    ).encode()


def is_acknowledged(status: int, answer: bytes) -> bool:
    """Return whether an answer acknowledges the notifications of an envelope."""
    return status == 200 and _ACKNOWLEDGED.search(answer) is not None  # noqa: PLR2004 - OK


def _notification(state: NotifiedRecord) -> str:
    fields = _lines(_element(f"sf:{name}", value) for name, value in state.fields.items())
    kind = quoteattr(f"sf:{state.object}")
    record = (
        f'<sObject xsi:type={kind} xmlns:sf="urn:sobject.enterprise.soap.sforce.com">\n{fields}</sObject>'
    )
    return f"<Notification>\n{_element('Id', state.notification_id)}\n{record}\n</Notification>"


def _element(name: str, value: Any) -> str:
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    if isinstance(value, Mapping):
        return f"<{name}>{''.join(_element(f'sf:{key}', inner) for key, inner in value.items())}</{name}>"
    return f"<{name}>{escape(_NO_XML.sub('', _text(value)))}</{name}>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)
