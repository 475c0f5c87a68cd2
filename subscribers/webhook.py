"""Webhook plugin, which sends each event to any HTTP target."""

import re
from collections.abc import Mapping
from string import ascii_letters, digits, punctuation
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from yarl import URL

from streamer.cloud_events import ContentMode, Message, message
from streamer.events import Delivery, Outcome, Reject
from streamer.ports import PluginContext, TargetReport
from subscribers.http import HttpTarget, Request, RequestSubscriber, TargetSettings, checked_secret
from subscribers.placeholders import PlaceholderText, Template, Unfilled

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {
        *("authorization", "connection", "content-length", "content-type", "cookie", "host"),
        *("idempotency-key", "proxy-authorization", "transfer-encoding"),
        *("webhook-id", "webhook-signature", "webhook-timestamp"),
    }
)

# By section 3.1.3.2 of the HTTP binding of CloudEvents, all other characters are quoted.
_ATTRIBUTE_SAFE = (ascii_letters + digits + punctuation).translate({ord('"'): None, ord("%"): None})


def _header(name: str) -> str:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError("is not a valid name of a header")
    if lower in _OURS or lower.startswith("ce-"):
        raise ValueError(
            f"Streamer itself sets the header {name}: use auth, signing, content_mode or content_type instead"
        )
    return name


class WebhookSettings(TargetSettings):
    """Address of the target, and the format of the requests."""

    url: PlaceholderText = Field(
        description="address of the target, such as https://api.example.com/accounts/{record_id}; the path "
        "and the query can contain placeholders"
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = Field(
        default="POST", description="method of the requests; DELETE and GET requests have no content"
    )
    content_mode: ContentMode = Field(
        default="binary",
        description="format of the content; binary: body, with the event's attributes in ce-… headers; "
        "structured: a CloudEvent with body as its data; plain: only body, without attributes",
    )
    headers: Mapping[Annotated[str, AfterValidator(_header)], SecretStr] = Field(
        default_factory=dict,
        description="additional headers, such as {X-Tenant: acme}; Streamer masks the values in its output",
    )

    @model_validator(mode="after")
    def _fits_a_request(self) -> Self:
        if re.search(r"[{}]", urlsplit(self.url).netloc):
            raise ValueError("url must name one host: use placeholders only in the path or the query")
        for name, value in self.headers.items():
            checked_secret(f"headers.{name}", value)
            if not value.get_secret_value().isascii():
                raise ValueError(f"headers.{name} must be ASCII")
        return self


class Webhook(RequestSubscriber):
    """Sends each event in one request, as a CloudEvent or in the shape of `body`.

    The content is the subscriber's `content` or `body`, or without both, the
    event's data. Any 2xx counts as delivered; `outcomes` can change this.
    """

    Settings = WebhookSettings
    takes_content: Final = True
    takes_text: Final = False

    def __init__(self, settings: WebhookSettings, context: PluginContext) -> None:
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        super().__init__(HttpTarget.of(settings, context, secrets=tuple(self._headers.values())))
        self._settings = settings
        self._url = Template(settings.url)
        # Parsing an address takes as much time as the rest of a request.
        self._fixed_url = URL(settings.url) if self._url.is_fixed else None

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Send the event once, and return the outcome."""
        request = self.request(delivery)
        return await self._http.deliver(request) if isinstance(request, Request) else request

    async def examine_target(self) -> TargetReport:
        """Test the target with the additional headers of the settings."""
        return await self._http.examined(headers=self._headers)

    def request(self, delivery: Delivery, /) -> Request | Outcome:
        """Return the request for the event, or the outcome if there is no request."""
        sent = message(delivery, self._settings.content_mode)
        if not isinstance(sent, Message):
            return sent
        try:
            url = self._fixed_url or URL(self._url.filled(delivery, _quoted))
        except Unfilled as missing:
            return Reject(
                reason=f"url: {missing}",
                hint="use only placeholders in url that every event of this subscriber has",
                sent=False,
            )
        return Request(
            method=self._settings.method,
            url=url,
            key=delivery.key,
            ready=sent.content,
            headers={**self._headers, **_attribute_headers(sent)},
            traceparent=delivery.traceparent,
        )


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")


def _attribute_headers(sent: Message) -> dict[str, str]:
    return {
        f"ce-{name}": quote(value, safe=_ATTRIBUTE_SAFE, errors="replace")
        for name, value in sent.attributes.items()
    }
