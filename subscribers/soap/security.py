"""WS-Security UsernameToken (OASIS Web Services Security, UsernameToken profile 1.0)."""

import hashlib
import os
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Self
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from subscribers.http import checked_secret

_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_WSSE = f"{_OASIS}-wssecurity-secext-1.0.xsd"
_WSU = f"{_OASIS}-wssecurity-utility-1.0.xsd"
_PROFILE = f"{_OASIS}-username-token-profile-1.0"
_BASE64 = f"{_OASIS}-soap-message-security-1.0#Base64Binary"
_NONCE_BYTES = 16


class UsernameToken(BaseModel):
    """User and password for the WS-Security header of each envelope."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    username: str = Field(min_length=1, description="name of the user")
    password: SecretStr = Field(description="the user's password")
    password_type: Literal["text", "digest"] = Field(
        default="text",
        description=(
            "form of the password in the envelope; text: the password as it is; digest: a hash of "
            "the password, a nonce and the time"
        ),
    )
    timestamp_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description=(
            "time after which an envelope expires; Streamer sends this time as a Timestamp; default: "
            "no Timestamp"
        ),
    )
    must_understand: bool = Field(
        default=True, description="false: a service that does not know WS-Security can ignore the header"
    )

    @model_validator(mode="after")
    def _password_fits(self) -> Self:
        checked_secret("password", self.password)
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that every envelope contains or is computed from."""
        password = self.password.get_secret_value()
        # An answer can, for example, quote the envelope in JSON, and so escape the password twice.
        return password, escape(password)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityHeader:
    """Header block of one envelope, and the `secrets` that only this block contains."""

    xml: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def security_header(token: UsernameToken | None, *, soap_namespace: str, now: float) -> SecurityHeader:
    """Return the header of an envelope that is sent at `now` (epoch seconds); empty without a `token`."""
    if token is None:
        return SecurityHeader()
    must_understand = ' soap:mustUnderstand="1"' if token.must_understand else ""
    inner, secrets = _password(token, created=_timestamp(now))
    xml = (
        f'<wsse:Security xmlns:wsse="{_WSSE}" xmlns:wsu="{_WSU}" '
        f'xmlns:soap="{soap_namespace}"{must_understand}>'
        f"{_expiry(token, now)}<wsse:UsernameToken><wsse:Username>{escape(token.username)}</wsse:Username>"
        f"{inner}</wsse:UsernameToken></wsse:Security>"
    )
    return SecurityHeader(xml=xml, secrets=secrets)


def _password(token: UsernameToken, *, created: str) -> tuple[str, tuple[str, ...]]:
    password = token.password.get_secret_value()
    if token.password_type == "text":  # noqa: S105 - a type, not a password
        return f'<wsse:Password Type="{_PROFILE}#PasswordText">{escape(password)}</wsse:Password>', ()
    nonce = os.urandom(_NONCE_BYTES)
    digest = password_digest(password, nonce=nonce, created=created)
    elements = (
        f'<wsse:Password Type="{_PROFILE}#PasswordDigest">{digest}</wsse:Password>'
        f'<wsse:Nonce EncodingType="{_BASE64}">{b64encode(nonce).decode()}</wsse:Nonce>'
        f"<wsu:Created>{created}</wsu:Created>"
    )
    return elements, (digest,)


def password_digest(password: str, *, nonce: bytes, created: str) -> str:
    """Return Base64(SHA-1(nonce + created + password)), as defined in section 3.1 of the profile."""
    # The profile defines no other hash.
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False)
    return b64encode(digest.digest()).decode()


def _expiry(token: UsernameToken, now: float) -> str:
    if token.timestamp_s is None:
        return ""
    expires = _timestamp(now + token.timestamp_s)
    return (
        f"<wsu:Timestamp><wsu:Created>{_timestamp(now)}</wsu:Created>"
        f"<wsu:Expires>{expires}</wsu:Expires></wsu:Timestamp>"
    )


def _timestamp(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
