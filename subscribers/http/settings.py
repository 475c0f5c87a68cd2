"""Settings of every target that is reached by HTTP."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from streamer.web.addresses import AddressRule, IPNetwork, is_address, is_loopback
from subscribers.http.answer import OutcomeChanges
from subscribers.http.auth import Auth, NoAuth, OAuth2Auth
from subscribers.http.signing import Signing

# WHATWG: such a host is an IPv4 address, also in forms such as 0x7f.1, which resolvers read differently.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def _networks(value: Any) -> Any:
    """Return `value`, a list of networks as a tuple of them."""
    if not isinstance(value, list | tuple):
        if isinstance(value, bool):
            return value
        raise ValueError("must be true, false, or a list of networks such as 10.20.0.0/16")
    return tuple(map(_network, value))


def _network(value: Any) -> IPNetwork:
    try:
        return ip_network(value)
    except ValueError as error:
        reason = "its host bits are not zero" if "host bits" in str(error) else "it is not a network"
        raise ValueError(f"{str(value)[:50]}: {reason}; write networks such as 10.20.0.0/16") from None


AllowedPrivate = Annotated[
    bool | tuple[Any, ...],
    BeforeValidator(_networks, json_schema_input_type=bool | list[str]),
    Field(
        description="allow private addresses, to which nothing is sent otherwise: true, or a list of "
        "networks such as [10.20.0.0/16]; a url with localhost or 127.0.0.1 allows loopback by itself"
    ),
]
"""Permission for private addresses: all of them, none, or those of some networks."""


class ClientCertificate(BaseModel):
    """Client certificate for mutual TLS; without `key_file`, the certificate's file holds the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    certificate_file: Path = Field(description="client certificate, PEM")
    key_file: Path | None = Field(
        default=None, description="its private key, PEM; default: in certificate_file"
    )
    key_password: SecretStr | None = Field(default=None, description="password of the private key")


class HttpSettings(BaseModel):
    """Settings of a target's connection and outcomes.

    A subclass whose settings hold addresses returns them as `urls`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="time for one request with its answer")
    allow_http: bool = Field(default=False, description="allow plain http to hosts other than loopback")
    allow_private: AllowedPrivate = False
    ca_file: Path | None = Field(default=None, description="PEM; default: the system's authorities")
    client_certificate: ClientCertificate | None = Field(default=None, description="for mutual TLS")
    max_hold_s: float = Field(default=3600.0, gt=0, description="longest Retry-After that counts")
    outcomes: OutcomeChanges = Field(
        default_factory=dict,
        description="outcomes of answers where they differ from the default, such as {404: skip, 5xx: hold}: "
        "delivered, retry, hold, reject, skip or disable",
    )

    @property
    def urls(self) -> Mapping[str, str]:
        """Addresses that requests go to, by the names of their settings."""
        return {}

    @property
    def address_rule(self) -> AddressRule:
        """Rule for the addresses of the target's servers."""
        return rule_for(self.allow_private, loopback=any(map(_names_loopback, self.urls.values())))

    def check_urls(self) -> None:
        """Raise `ValueError` for the first of `urls` to which no request should go."""
        for name, url in self.urls.items():
            checked_url(name, url, allow_http=self.allow_http, rule=self.address_rule)


class AddressSettings(HttpSettings):
    """Settings of a server with one URL and its own credentials."""

    url: str = Field(description="address of the target, such as https://erp.example.com/api/invoices")
    auth: Auth = Field(default=NoAuth(), description="credentials for the target; default: none")

    @property
    def urls(self) -> Mapping[str, str]:
        """The target's address, and that of its token endpoint."""
        of_tokens = {"auth.token_url": self.auth.token_url} if isinstance(self.auth, OAuth2Auth) else {}
        return {"url": self.url, **of_tokens}

    @model_validator(mode="after")
    def _urls_are_safe(self) -> Self:
        self.check_urls()
        return self


class TargetSettings(AddressSettings):
    """Settings of a target, to which requests can be signed."""

    signing: Signing | None = Field(default=None, description="sign requests as Standard Webhooks says")


def rule_for(allow_private: AllowedPrivate, *, loopback: bool) -> AddressRule:
    """Return the rule that `allow_private` describes; it admits loopback where the settings name it."""
    if isinstance(allow_private, bool):
        return AddressRule(private=allow_private, loopback=loopback)
    return AddressRule(networks=allow_private, loopback=loopback)


def checked_url(name: str, url: str, *, allow_http: bool, rule: AddressRule | None = None) -> str:
    """Return `url` if it is absolute, holds no credentials, and is https, loopback or allowed.

    An IP address in it must be one that `rule` admits; without a rule, that is
    checked when a connection is made, as it is of names.

    Raises `ValueError` with a sentence that names the setting `name` and never
    repeats the URL, which can be a secret.
    """
    try:
        parts, host = split_url(url)
    except ValueError:
        raise ValueError(f"{name} is not a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{name} must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name} must not contain a user or password: set auth instead")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError(f"{name} is plain http: use https, or set allow_http: true in a network you trust")
    if rule is not None and is_address(host) and (refusal := rule.refusal(host)) is not None:
        raise ValueError(f"{name} names {refusal}")
    return url


def split_url(url: str) -> tuple[SplitResult, str]:
    """Return the parts of `url` and its host. Raises `ValueError` for a URL that no connection can use."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host.encode("idna")
    is_odd_number = _ENDS_IN_A_NUMBER.fullmatch(host) and not is_address(host)
    if parts.port == 0 or re.search(r"[\s<>]", url) or is_odd_number:
        raise ValueError
    return parts, host


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(split_url(url)[1])
    except ValueError:
        return False
