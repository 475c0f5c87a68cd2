"""Settings that all HTTP targets share."""

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

# By WHATWG's rules, such a host is an IPv4 address, even in forms such as 0x7f.1, which
# resolvers read differently.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def _networks(value: Any) -> Any:
    """Return `value`; convert a list of networks to a tuple."""
    if not isinstance(value, list | tuple):
        if isinstance(value, bool):
            return value
        raise ValueError("must be true, false, or a list of networks such as 10.20.0.0/16")
    return tuple(map(_network, value))


def _network(value: Any) -> IPNetwork:
    try:
        return ip_network(value)
    except ValueError as error:
        reason = "has host bits that are not zero" if "host bits" in str(error) else "is not a network"
        raise ValueError(f"{str(value)[:50]} {reason}: write networks such as 10.20.0.0/16") from None


AllowedPrivate = Annotated[
    bool | tuple[Any, ...],
    BeforeValidator(_networks, json_schema_input_type=bool | list[str]),
    Field(
        description="private addresses to which Streamer can send; true: all; a list such as [10.20.0.0/16]: "
        "only these networks; false: none. A url with localhost or 127.0.0.1 always allows loopback "
        "addresses"
    ),
]
"""Permission for private addresses: all, none, or the addresses of some networks."""


class ClientCertificate(BaseModel):
    """Client certificate for mutual TLS; without `key_file`, the certificate's file contains the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    certificate_file: Path = Field(description="file with the client certificate, in PEM")
    key_file: Path | None = Field(
        default=None, description="file with the certificate's private key, in PEM; default: certificate_file"
    )
    key_password: SecretStr | None = Field(default=None, description="password of the private key")


class HttpSettings(BaseModel):
    """Settings of the connections to a target, and of the outcomes of its answers.

    A subclass with settings for addresses returns these addresses as `urls`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    timeout_s: float = Field(
        default=10.0, gt=0, le=300, description="longest time for one request and its answer"
    )
    allow_http: bool = Field(
        default=False, description="true: allow http:// also for hosts that are not loopback"
    )
    allow_private: AllowedPrivate = False
    ca_file: Path | None = Field(
        default=None,
        description="file with the trusted certificate authorities, in PEM; default: the system's "
        "authorities",
    )
    client_certificate: ClientCertificate | None = Field(
        default=None, description="client certificate for mutual TLS"
    )
    max_hold_s: float = Field(
        default=3600.0, gt=0, description="longest pause that Streamer accepts from a Retry-After header"
    )
    outcomes: OutcomeChanges = Field(
        default_factory=dict,
        description="outcomes of statuses, if they differ from the default, such as {404: skip, 5xx: "
        "hold}; an outcome is delivered, retry, hold, reject, skip or disable",
    )

    @property
    def urls(self) -> Mapping[str, str]:
        """Addresses that requests go to, by the name of their setting."""
        return {}

    @property
    def address_rule(self) -> AddressRule:
        """Rule for the addresses of the target's servers."""
        return rule_for(self.allow_private, loopback=any(map(_names_loopback, self.urls.values())))

    def check_urls(self) -> None:
        """Raise `ValueError` for the first unsafe address in `urls`."""
        for name, url in self.urls.items():
            checked_url(name, url, allow_http=self.allow_http, rule=self.address_rule)


class AddressSettings(HttpSettings):
    """Settings of a server with one URL and its own credentials."""

    url: str = Field(description="address of the target, such as https://erp.example.com/api/invoices")
    auth: Auth = Field(default=NoAuth(), description="credentials for the target; default: none")

    @property
    def urls(self) -> Mapping[str, str]:
        """Address of the target, and address of its token endpoint."""
        of_tokens = {"auth.token_url": self.auth.token_url} if isinstance(self.auth, OAuth2Auth) else {}
        return {"url": self.url, **of_tokens}

    @model_validator(mode="after")
    def _urls_are_safe(self) -> Self:
        self.check_urls()
        return self


class TargetSettings(AddressSettings):
    """Settings of a target whose requests can be signed."""

    signing: Signing | None = Field(
        default=None, description="secrets for signing requests by the rules of Standard Webhooks"
    )


def rule_for(allow_private: AllowedPrivate, *, loopback: bool) -> AddressRule:
    """Return the rule that `allow_private` describes; `loopback` also allows loopback addresses."""
    if isinstance(allow_private, bool):
        return AddressRule(private=allow_private, loopback=loopback)
    return AddressRule(networks=allow_private, loopback=loopback)


def checked_url(name: str, url: str, *, allow_http: bool, rule: AddressRule | None = None) -> str:
    """Return `url` if it is absolute, contains no credentials, and is https, loopback or allowed.

    If the URL contains an IP address, `rule` must admit the address. Without a rule,
    the address is not checked here. Like the addresses of a host name, the address is
    checked when a connection is made.

    Raises `ValueError` with the name of the setting. The message never repeats the
    URL, which can be a secret.
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
    """Return the parts of `url` and its host; raises `ValueError` for an unusable URL."""
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
