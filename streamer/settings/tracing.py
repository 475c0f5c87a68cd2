"""Tracing: the share of traced events, and the collector of their spans."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section, optional_section
from streamer.web.addresses import is_loopback

_HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"


def _in_one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII, because HTTP sends it as a header's value")
    return value


_HeaderName = Annotated[str, Field(pattern=_HEADER)]
_HeaderValue = Annotated[SecretStr, AfterValidator(_in_one_line)]


class OtlpSettings(Section):
    """OpenTelemetry collector that accepts spans over OTLP/HTTP."""

    endpoint: str = Field(
        default="http://localhost:4318",
        description=(
            "address of the OpenTelemetry collector; Streamer adds /v1/traces to an address without a path"
        ),
    )
    headers: dict[_HeaderName, _HeaderValue] = Field(
        default_factory=dict, description="headers of each request, such as {Authorization: Bearer …}"
    )
    ca_file: Path | None = Field(
        default=None,
        description=(
            "file with the certificate authorities that Streamer trusts, PEM; default: the "
            "authorities in the package certifi"
        ),
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="longest duration of one request, including its retries"
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str) -> str:
        parsed = urlsplit(endpoint)
        if parsed.scheme not in {"http", "https"} or not parsed.hostname:
            raise ValueError("must be an http or https address, such as http://localhost:4318")
        if "@" in parsed.netloc or parsed.query or parsed.fragment:
            raise ValueError("must have no credentials, query or fragment: write credentials in headers")
        return endpoint

    @model_validator(mode="after")
    def _secrets_are_encrypted(self) -> Self:
        parsed = urlsplit(self.endpoint)
        if self.headers and parsed.scheme == "http" and not is_loopback(parsed.hostname or ""):
            raise ValueError("headers can hold secrets, so endpoint must use https, or be on this machine")
        return self

    @property
    def traces_url(self) -> str:
        """URL of the collector's traces."""
        has_path = urlsplit(self.endpoint).path.strip("/")
        return self.endpoint if has_path else f"{self.endpoint.rstrip('/')}/v1/traces"


class TracingSettings(Section):
    """Traces of events, from their receipt to their deliveries."""

    otlp: OtlpSettings = optional_section("collector that receives the spans")
    ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description=(
            "share of events that Streamer traces; use the same value in all processes with the same prefix"
        ),
    )
    service_name: str = Field(
        default="streamer", min_length=1, max_length=255, description="value of service.name in the spans"
    )
    max_waiting_spans: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="maximum number of spans in memory; Streamer drops and counts further spans",
    )
