"""Settings of every target that is reached by HTTP."""

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
    """Client certificate for mutual TLS; without `key_file`, the certificate's file holds the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    certificate_file: Path = Field(description="client certificate, PEM")
    key_file: Path | None = Field(
        default=None, description="its private key, PEM; default: in certificate_file"
    )
    key_password: SecretStr | None = Field(default=None, description="password of the private key")


class HttpSettings(BaseModel):
    """Settings of a target's connection and outcomes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="time for one request with its answer")
    allow_http: bool = Field(default=False, description="allow plain http to hosts other than loopback")
    ca_file: Path | None = Field(default=None, description="PEM; default: the system's authorities")
    client_certificate: ClientCertificate | None = Field(default=None, description="for mutual TLS")
    max_hold_s: float = Field(default=3600.0, gt=0, description="longest Retry-After that counts")
    outcomes: OutcomeChanges = Field(
        default_factory=dict,
        description="outcomes of answers where they differ from the default, such as {404: skip, 5xx: hold}: "
        "delivered, retry, hold, reject, skip or disable",
    )


class TargetSettings(HttpSettings):
    """Settings of a target with one URL and its own credentials."""

    url: str = Field(description="address of the target, such as https://erp.example.com/api/invoices")
    auth: Auth = Field(default=NoAuth(), description="credentials for the target; default: none")
    signing: Signing | None = Field(default=None, description="sign requests as Standard Webhooks says")

    @model_validator(mode="after")
    def _urls_are_safe(self) -> Self:
        checked_url("url", self.url, allow_http=self.allow_http)
        if isinstance(self.auth, OAuth2Auth):
            checked_url("auth.token_url", self.auth.token_url, allow_http=self.allow_http)
        return self


def checked_url(name: str, url: str, *, allow_http: bool) -> str:
    """Return `url` if it is absolute, holds no credentials, and is https, loopback or allowed.

    Raises `ValueError` with a sentence that names the setting `name` and never
    repeats the URL, which can be a secret.
    """
    try:
        parts, host = _split(url)
    except ValueError:
        raise ValueError(f"{name} is not a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{name} must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name} must not contain a user or password: set auth instead")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ValueError(f"{name} is plain http: use https, or set allow_http: true in a network you trust")
    return url


def _split(url: str) -> tuple[SplitResult, str]:
    """Return the parts of `url` and its host. Raises `ValueError` for a URL that no request can use."""
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
