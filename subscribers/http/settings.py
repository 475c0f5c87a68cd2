"""What can be set for every target that is reached by HTTP."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from subscribers.http.auth import Auth, NoAuth, OAuth2Auth
from subscribers.http.outcome_table import OutcomeChanges
from subscribers.http.signing import Signing


class ClientCertificate(BaseModel):
    """Who we are in mutual TLS; `key_file` may be left out when the certificate's file holds the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    certificate_file: Path
    key_file: Path | None = None
    key_password: SecretStr | None = None


class HttpSettings(BaseModel):
    """How a target is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="of one request, answer included")
    allow_http: bool = Field(default=False, description="allow plain http to hosts other than loopback")
    ca_file: Path | None = Field(default=None, description="PEM; default: the system's authorities")
    client_certificate: ClientCertificate | None = Field(default=None, description="for mutual TLS")
    max_hold_s: float = Field(default=3600.0, gt=0, description="the longest Retry-After that is believed")
    outcomes: OutcomeChanges = Field(
        default_factory=dict,
        description="what answers mean where it is not the usual, such as {404: skip, 5xx: hold}: "
        "delivered, retry, hold, reject, skip or disable",
    )


class TargetSettings(HttpSettings):
    """How a target with one URL and its own credentials is reached."""

    url: str = Field(description="where the target listens, such as https://erp.example.com/api/invoices")
    auth: Auth = Field(default=NoAuth())
    signing: Signing | None = Field(default=None, description="sign requests as Standard Webhooks says")

    @model_validator(mode="after")
    def _urls_are_safe(self) -> Self:
        checked_url("url", self.url, allow_http=self.allow_http)
        if isinstance(self.auth, OAuth2Auth):
            checked_url("auth.token_url", self.auth.token_url, allow_http=self.allow_http)
        return self


def checked_url(name: str, url: str, *, allow_http: bool) -> str:
    """Return `url` when it is absolute, holds no credentials, and is https, loopback or allowed.

    Raises `ValueError` with a sentence that names the setting `name` and never
    repeats the URL, which may be a secret.
    """
    try:
        parts, host = _split(url)
    except ValueError:
        raise ValueError(f"{name} is not a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{name} must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name} must not hold a user or password: set auth instead")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ValueError(f"{name} is plain http: use https, or set allow_http: true in a network you trust")
    return url


def _split(url: str) -> tuple[SplitResult, str]:
    """Return the parts of `url` and its host; raise `ValueError` where a request would."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host.encode("idna")
    if parts.port == 0 or re.search(r"[\s<>]", url):
        raise ValueError
    return parts, host


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
