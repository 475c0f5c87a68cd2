"""Envelope of one delivery, created from the body or by a template."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from xml.sax.saxutils import quoteattr

from markupsafe import Markup

from streamer.cloud_events import data_of
from streamer.events import Content, Delivery, JsonObject
from streamer.xml.elements import UnfitForXml
from streamer.xml.tree import MalformedXml, parse_xml
from subscribers.soap.security import SecurityHeader, security_header
from subscribers.soap.settings import SoapSettings
from subscribers.soap.template import ELEMENTS, OF_EVENT, compile_envelope

NAMESPACES = MappingProxyType(
    {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
)
"""Namespaces of the envelope, by SOAP version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Content of one request, its additional headers, and the secrets that only this content contains."""

    content: Content = field(repr=False)
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Envelopes:
    """Creates the envelopes of one service."""

    def __init__(self, settings: SoapSettings) -> None:
        self._settings = settings
        self._namespace = NAMESPACES[settings.version]
        self._template = compile_envelope(settings.envelope) if settings.envelope is not None else None

    def of(self, delivery: Delivery, *, deletes: bool, now: float) -> Envelope:
        """Return the envelope of `delivery`, sent at `now` (epoch seconds).

        Raises `UnfitForXml`, and any error of a template.
        """
        settings = self._settings
        security = security_header(settings.security, soap_namespace=self._namespace, now=now)
        operation = settings.delete_operation if deletes else settings.operation
        if self._template is not None:
            text = self._template(self._document(delivery, operation, security))
        else:
            text = self._made(delivery, operation or "", security)
        action = settings.delete_action if deletes else settings.action
        data = _checked(text)
        if settings.version == "1.1":
            content = Content(data=data, type="text/xml; charset=utf-8")
            headers = {"Accept": "text/xml", "SOAPAction": f'"{action}"'}
        else:
            parameter = f'; action="{action}"' if action else ""
            content = Content(data=data, type=f"application/soap+xml; charset=utf-8{parameter}")
            headers = {"Accept": "application/soap+xml"}
        return Envelope(content=content, headers=headers, secrets=security.secrets)

    def _document(self, delivery: Delivery, operation: str | None, security: SecurityHeader) -> JsonObject:
        event = delivery.event
        return {
            **{name: getattr(event, name) for name in OF_EVENT},
            "body": data_of(delivery),
            "delivery_key": delivery.key,
            "namespace": self._settings.namespace,
            "operation": operation,
            "security": Markup(security.xml),  # noqa: S704 - all values in it are escaped
        }

    def _made(self, delivery: Delivery, operation: str, security: SecurityHeader) -> str:
        body = data_of(delivery)
        if not isinstance(body, dict):
            raise UnfitForXml("the body is not an object")
        if self._settings.key_element is not None:
            body = {self._settings.key_element: delivery.key, **body}
        content = self._operation(operation, ELEMENTS.elements(body))
        header = f"<soap:Header>{security.xml}</soap:Header>" if security.xml else ""
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="{self._namespace}">'
            f"{header}<soap:Body>{content}</soap:Body></soap:Envelope>"
        )

    def _operation(self, name: str, content: str) -> str:
        namespace = self._settings.namespace
        if namespace is None:
            return f"<{name}>{content}</{name}>"
        if self._settings.qualified:
            return f"<{name} xmlns={quoteattr(namespace)}>{content}</{name}>"
        return f"<m:{name} xmlns:m={quoteattr(namespace)}>{content}</m:{name}>"


def _checked(text: str) -> bytes:
    """Return `text` in UTF-8 if it is a SOAP envelope; raises `UnfitForXml`."""
    try:
        content = text.strip().encode()
        root = parse_xml(content)
    except UnicodeEncodeError:
        raise UnfitForXml("the envelope contains an incomplete character") from None
    except MalformedXml as exc:
        raise UnfitForXml(f"the envelope is invalid ({exc})") from None
    if root.name != "Envelope" or root.child("Body") is None:
        raise UnfitForXml("the template does not create an envelope with a body")
    return content
