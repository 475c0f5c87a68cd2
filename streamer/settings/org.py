"""Org: address, credentials, transport and proxy."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from streamer.settings.section import Section, optional_section
from streamer.web.proxy import is_proxy_setting

_OLDEST_VERSION = 41.0
_FLOW = "OAuth flow of the login"
_CLIENT_ID = "the connected app's consumer key"
_CLIENT_SECRET = "the connected app's consumer secret"  # noqa: S105 - a description


class JwtAuth(Section):
    """OAuth 2 JWT bearer flow, with the certificate of a connected app that the user is approved for."""

    flow: Literal["jwt"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    username: str = Field(description="name of the Salesforce user that Streamer logs in as")
    key: SecretStr = Field(description="RSA private key in PEM, usually as {file: /run/secrets/…}")
    audience: str | None = Field(
        default=None,
        description=(
            "audience (aud claim) of the login's JWT; default: https://login.salesforce.com or "
            "https://test.salesforce.com"
        ),
    )


class ClientCredentialsAuth(Section):
    """OAuth 2 client credentials flow, which needs the org's My Domain URL and a run-as user of the app."""

    flow: Literal["client_credentials"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr = Field(description=_CLIENT_SECRET)


class RefreshAuth(Section):
    """OAuth 2 refresh token flow, with a token that was issued before.

    Each login replaces the token if the org rotates refresh tokens.
    """

    flow: Literal["refresh"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr | None = Field(
        default=None, description="the connected app's consumer secret, if the app requires it"
    )
    refresh_token: SecretStr = Field(description="the refresh token")
    token_file: Path | None = Field(
        default=None,
        description=(
            "encrypted file in which Streamer keeps the latest refresh token, if the org rotates refresh "
            "tokens; all processes of the deployment must share this file; default: a file beside a "
            "SQLite log, and no file for a log in Kafka"
        ),
    )


class PasswordAuth(Section):
    """Login with a username, and a password with the security token appended.

    Salesforce is retiring this flow.
    """

    flow: Literal["password"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr = Field(description=_CLIENT_SECRET)
    username: str = Field(description="name of the Salesforce user that Streamer logs in as")
    password: SecretStr = Field(description="the user's password with the security token appended")


Auth = Annotated[
    JwtAuth | ClientCredentialsAuth | RefreshAuth | PasswordAuth,
    Field(discriminator="flow"),
]


class Transport(StrEnum):
    """API that carries a channel's events."""

    COMETD = "cometd"
    """The Streaming API."""
    PUBSUB = "pubsub"
    """The Pub/Sub API, over gRPC."""


class PubSubSettings(Section):
    """Address of the Pub/Sub API."""

    endpoint: str = Field(
        default="api.pubsub.salesforce.com:7443",
        description=(
            "host:port of the Pub/Sub API, with TLS; http://host:port disables TLS, which needs loopback "
            "or org.allow_http"
        ),
    )
    ca_file: Path | None = Field(
        default=None,
        description="file with the certificate authorities that Streamer trusts, PEM; default: the system's",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_endpoint(cls, endpoint: str) -> str:
        if not re.fullmatch(r"(https?://)?(\[[\da-fA-F:.]+\]|[\w.-]+):\d{1,5}", endpoint, re.ASCII):
            raise ValueError("must be a host and a port, such as api.pubsub.salesforce.com:7443")
        return endpoint

    @property
    def url(self) -> str:
        """Endpoint as a URL; `http://…` means without TLS."""
        return self.endpoint if "://" in self.endpoint else f"https://{self.endpoint}"


class OrgSettings(Section):
    """Address of the org, and the credentials for it."""

    login_url: str = Field(
        description=(
            "address of the login, such as the org's My Domain URL, https://login.salesforce.com or "
            "https://test.salesforce.com"
        )
    )
    auth: Auth = Field(description="credentials with which Streamer logs in to the org")
    id: str | None = Field(
        default=None,
        pattern=r"^00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$",
        examples=["00D5g000004XYZaEAG"],
        description=(
            "id of the org, shown in Setup on the page Company Information; Streamer stops if the login "
            "leads to another org; default: the org whose events are in the log"
        ),
    )
    transport: Transport = Field(
        default=Transport.PUBSUB, description="API that carries all channels without a transport of their own"
    )
    pubsub: PubSubSettings = optional_section("address and certificates of the Pub/Sub API")
    api_version: str = Field(
        default="64.0",
        pattern=r"^[0-9]{2,3}\.0$",
        examples=['"64.0"'],
        description="version of Salesforce's API, written in quotes",
    )
    client_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$",
        examples=["acme-erp-bus"],
        description=(
            "client name that Salesforce puts into the change events that this deployment's own writes "
            "cause; each deployment needs a different name"
        ),
    )
    allow_http: bool = Field(default=False, description="true allows unencrypted http to other machines")
    instance_hosts: frozenset[str] = Field(
        default=frozenset(),
        description=(
            "further hosts that the instance URL of a login can name, besides the hosts in the site of "
            "login_url"
        ),
    )
    proxy: SecretStr | None = Field(
        default=None,
        examples=["http://proxy.acme.com:3128"],
        description="proxy for requests to Salesforce: http://host:port, http://user:password@host:port, or "
        "direct (no proxy); default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment",
    )

    @field_validator("api_version")
    @classmethod
    def _is_supported(cls, version: str) -> str:
        if float(version) < _OLDEST_VERSION:
            # In Summer '28, Salesforce removes older versions and answers with the status 410.
            raise ValueError(
                f"must be {_OLDEST_VERSION:.1f} or later, because Salesforce retires older versions in June "
                "2027 (Summer '27)"
            )
        return version

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not is_proxy_setting(proxy.get_secret_value()):
            raise ValueError(
                "must look like http://proxy.acme.com:3128 or http://user:password@proxy.acme.com:3128, "
                "or be direct"
            )
        return proxy

    @field_validator("login_url")
    @classmethod
    def _has_scheme(cls, url: str) -> str:
        if "@" in url:
            raise ValueError("must not contain a user or a password: write them in org.auth")
        if not re.match(r"^https?://[^/\s]+/?$", url):
            raise ValueError(
                "must be a URL that begins with https:// and has no path, such as "
                "https://acme.my.salesforce.com"
            )
        return url.rstrip("/")
