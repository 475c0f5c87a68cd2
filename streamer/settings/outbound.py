"""Endpoint for Salesforce's outbound messages."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section
from streamer.web.addresses import is_loopback

OUTBOUND_ROOT = "/outbound/"
"""Prefix of the path of a channel with outbound messages."""


class OutboundTlsSettings(Section):
    """Certificate of the endpoint, and rules for client certificates."""

    certificate_file: Path = Field(
        description="file with the endpoint's certificate and its chain, PEM; Streamer applies a changed file"
    )
    key_file: Path = Field(
        description=(
            "file with the certificate's private key, PEM, without a password; Streamer applies a changed "
            "file"
        )
    )
    client_ca_file: Path | None = Field(
        default=None,
        description=(
            "file with the certificate authorities, PEM; one of them must have signed the client's "
            "certificate; default: clients need no certificate"
        ),
    )
    client_subject: str | None = Field(
        default=None,
        min_length=1,
        examples=["proxy.salesforce.com"],
        description="common name or DNS name that a client's certificate must have",
    )

    @model_validator(mode="after")
    def _subject_needs_authorities(self) -> Self:
        if self.client_subject is not None and self.client_ca_file is None:
            raise ValueError(
                "client_subject needs client_ca_file: without client_ca_file, clients send no certificate"
            )
        return self


class OutboundMessageSettings(Section):
    """One outbound message, or several with the same address."""

    secret: SecretStr | None = Field(
        default=None,
        description=(
            "secret at the end of the message's address, /outbound/NAME/SECRET; at least 16 letters, "
            "digits, - and _"
        ),
    )

    @field_validator("secret")
    @classmethod
    def _stands_in_an_address(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not re.fullmatch(r"[\w-]{16,200}", secret.get_secret_value(), re.ASCII):
            raise ValueError("must be 16 to 200 letters, digits, '-' and '_'")
        return secret


class OutboundSettings(Section):
    """Endpoint for Salesforce's SOAP outbound messages.

    Each configured message is a channel, /outbound/NAME.
    """

    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - Salesforce comes from other hosts
        description="address at which the endpoint listens",
    )
    port: int = Field(
        default=9466,
        ge=0,
        le=65535,
        description="port to listen on; 0 takes a free port, which the daemon logs at its start",
    )
    tls: OutboundTlsSettings | None = Field(
        default=None,
        description=(
            "certificate and key of the endpoint; without TLS, the endpoint needs a loopback host, or "
            "allow_plaintext"
        ),
    )
    allow_plaintext: bool = Field(
        default=False,
        description=(
            "true allows an endpoint without TLS on hosts other than loopback, for example behind an ingress"
        ),
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024, ge=64 * 1024, le=32 * 1024 * 1024, description="largest envelope"
    )
    messages: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], OutboundMessageSettings] = Field(
        description="outbound messages by name; the name is the last part of the channel's path"
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the channels, /outbound/NAME."""
        return tuple(OUTBOUND_ROOT + name for name in self.messages)

    @field_validator("messages")
    @classmethod
    def _are_some(cls, messages: dict[str, OutboundMessageSettings]) -> dict[str, OutboundMessageSettings]:
        if not messages:
            raise ValueError("name at least one message, such as leads: {secret: ${LEADS_SECRET}}")
        return messages

    @model_validator(mode="after")
    def _other_machines_are_kept_out(self) -> Self:
        if is_loopback(self.host):
            return self
        if self.tls is None and not self.allow_plaintext:
            raise ValueError(
                "other machines can reach this host, and anyone on the network can read messages without "
                "TLS: set tls, or set allow_plaintext if an ingress in a trusted network terminates TLS"
            )
        is_known = self.tls is not None and self.tls.client_ca_file is not None
        open_to_all = [name for name, each in self.messages.items() if each.secret is None and not is_known]
        if open_to_all:
            raise ValueError(
                f"anyone who knows the organisation's id can send the message {open_to_all[0]}: set the "
                "message's secret, or set tls.client_ca_file"
            )
        return self
