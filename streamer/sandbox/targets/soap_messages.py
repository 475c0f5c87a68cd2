"""SOAP messages for a service: reads requests, and writes answers and faults (W3C, SOAP 1.1 and SOAP 1.2)."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"

_TYPES = {SOAP_11: "text/xml", SOAP_12: "application/soap+xml"}
_CODES_12 = {"Client": "Sender", "Server": "Receiver"}
_FAULT_STATUS = 500
_SENDER_STATUS = 400


class SoapFault(Exception):
    """Fault as the answer to a request; `code` is a code of SOAP 1.1, and `subcode` is in `namespace`.

    `detail` is XML.
    """

    namespace = "urn:acme:erp:invoices"

    def __init__(self, code: str, text: str, *, subcode: str = "", detail: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.subcode = subcode
        self.detail = detail


class SecurityFault(SoapFault):
    """Fault of WS-Security; its code is in the namespace of WS-Security."""

    namespace = SECURITY

    def __init__(self, subcode: str, text: str) -> None:
        super().__init__("Client", text, subcode=subcode)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapRequest:
    """Request, with the `namespace` of its SOAP version, its header blocks, its operation and its action."""

    namespace: str
    headers: tuple[Element, ...]
    operation: Element
    action: str


class SoapResponse(web.Response):
    """Answer with an envelope around `body`, which is XML."""

    def __init__(self, namespace: str, body: str, *, status: int) -> None:
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><env:Envelope xmlns:env="{namespace}">'
            f"<env:Body>{body}</env:Body></env:Envelope>"
        )
        super().__init__(text=text, status=status, content_type=_TYPES[namespace], charset="utf-8")


class FaultResponse(SoapResponse):
    """Answer with a fault."""


def namespace_of(request: web.Request) -> str:
    """Return the namespace of the SOAP version that uses this content type."""
    return SOAP_12 if request.content_type == _TYPES[SOAP_12] else SOAP_11


def read_request(request: web.Request, content: bytes) -> SoapRequest:
    """Return the envelope in `content`. Raises `SoapFault`, and `HTTPUnsupportedMediaType`."""
    if request.content_type not in _TYPES.values():
        raise web.HTTPUnsupportedMediaType
    expected = namespace_of(request)
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise SoapFault("Client", "the envelope is not well-formed XML") from None
    namespace, name = _split(root)
    if namespace not in _TYPES or name != "Envelope":
        raise SoapFault("VersionMismatch", "the namespace of the envelope is unknown")
    if namespace != expected:
        raise SoapFault("Client", "the content type belongs to another version of SOAP than the envelope")
    body = root.find(f"{{{namespace}}}Body")
    if body is None or len(body) != 1:
        raise SoapFault("Client", "the SOAP body must contain exactly one operation")
    header = root.find(f"{{{namespace}}}Header")
    headers = tuple(header) if header is not None else ()
    _check_understood(headers, namespace)
    return SoapRequest(
        namespace=namespace, headers=headers, operation=body[0], action=_action(request, namespace)
    )


def answer(namespace: str, body: str) -> SoapResponse:
    """Return the answer with the XML `body`."""
    return SoapResponse(namespace, body, status=200)


def fault(namespace: str, failed: SoapFault, *, status: int | None = None) -> FaultResponse:
    """Return a fault as an answer, by default with the status of the HTTP binding."""
    body = _fault_12(failed) if namespace == SOAP_12 else _fault_11(failed)
    usual = _SENDER_STATUS if namespace == SOAP_12 and failed.code == "Client" else _FAULT_STATUS
    return FaultResponse(namespace, body, status=usual if status is None else status)


def _split(element: Element) -> tuple[str, str]:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    return namespace, name


def _check_understood(headers: tuple[Element, ...], namespace: str) -> None:
    for block in headers:
        must = block.get(f"{{{namespace}}}mustUnderstand") in {"1", "true"}
        if must and block.tag != f"{{{SECURITY}}}Security":
            raise SoapFault(
                "MustUnderstand", "the service does not understand a header block that must be understood"
            )


def _action(request: web.Request, namespace: str) -> str:
    if namespace == SOAP_12:
        # aiohttp's `content_type` has no parameters, so read the header itself.
        _, _, parameter = request.headers.get("Content-Type", "").partition("action=")
        return parameter.strip().strip('"')
    action = request.headers.get("SOAPAction")
    if action is None:
        raise SoapFault("Client", "the header SOAPAction is missing")
    if not (action.startswith('"') and action.endswith('"')):
        raise SoapFault("Client", "SOAPAction must be quoted")
    return action.strip('"')


def _fault_11(failed: SoapFault) -> str:
    is_own = failed.namespace != SECURITY
    # In SOAP 1.1, codes of WS-Security stand alone (WS-Security, section 12). Other codes can have a full
    # stop and a more specific code.
    code = f"env:{failed.code}.{failed.subcode}" if is_own else f"sub:{failed.subcode}"
    detail = f"<detail>{failed.detail}</detail>" if failed.detail else ""
    return (
        f"<env:Fault xmlns:sub={quoteattr(failed.namespace)}><faultcode>{code.rstrip('.')}</faultcode>"
        f"<faultstring>{escape(failed.text)}</faultstring>{detail}</env:Fault>"
    )


def _fault_12(failed: SoapFault) -> str:
    code = _value(f"env:{_CODES_12.get(failed.code, failed.code)}")
    if failed.subcode:
        code += f"<env:Subcode>{_value(f'sub:{failed.subcode}')}</env:Subcode>"
    reason = f'<env:Text xml:lang="en">{escape(failed.text)}</env:Text>'
    detail = f"<env:Detail>{failed.detail}</env:Detail>" if failed.detail else ""
    return (
        f"<env:Fault xmlns:sub={quoteattr(failed.namespace)}><env:Code>{code}</env:Code>"
        f"<env:Reason>{reason}</env:Reason>{detail}</env:Fault>"
    )


def _value(code: str) -> str:
    return f"<env:Value>{code}</env:Value>"
