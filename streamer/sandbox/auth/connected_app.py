"""A connected app that is allowed to log in, and the credentials that a request holds."""

import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BasicAuth, web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


class TokenDenied(Exception):
    """An OAuth endpoint refuses, with OAuth's error code and Salesforce's description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description

    def answer(self, status: int = 400) -> web.Response:
        """Return the answer of the endpoint."""
        body = {"error": self.error, "error_description": self.description}
        return web.json_response(body, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedApp:
    """The client that is allowed to log in, and its user's credentials.

    The default credentials are public, because a sandbox protects nothing. `jwt_key` is
    a public key or a certificate in PEM; without it, the claims of a JWT are checked,
    but not its signature. `callbacks` are the addresses to which the browser can return
    after a login on a page; by default, all addresses of this machine are allowed.
    Client credentials log in the user named `run_as`, by default the org's own user.
    """

    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    password: str = field(default="sandbox-password", repr=False)
    refresh_token: str = field(default="sandbox-refresh-token", repr=False)
    jwt_key: bytes | None = None
    callbacks: tuple[str, ...] = ()
    run_as: str | None = None

    def public_key(self) -> RSAPublicKey | None:
        """Return the key that verifies JWTs; raises `TypeError` if it is not an RSA key."""
        if self.jwt_key is None:
            return None
        if b"BEGIN CERTIFICATE" in self.jwt_key:
            key: Any = x509.load_pem_x509_certificate(self.jwt_key).public_key()
        else:
            key = load_pem_public_key(self.jwt_key)
        if not isinstance(key, RSAPublicKey):
            raise TypeError("The JWT key must be an RSA public key, or a certificate with an RSA public key.")
        return key


async def form_of(request: web.Request) -> dict[str, str]:
    """Return the texts of a form."""
    return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def credentials(request: web.Request, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the client id and the secret from the form or the Basic header.

    Raises `TokenDenied` for a bad header.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if client_id is None and (header := request.headers.get("Authorization")):
        try:
            basic = BasicAuth.decode(header)
        except (ValueError, binascii.Error) as error:
            raise TokenDenied("invalid_client", "invalid client credentials") from error
        client_id, secret = basic.login, basic.password
    return client_id, secret


def origin(request: web.Request) -> str:
    """Return the address that the client used.

    It can differ from the address on which the sandbox listens.
    """
    return str(request.url.origin())


def same(given: str | None, expected: str) -> bool:
    """Compare a secret in constant time; `None` never equals a secret."""
    return given is not None and secrets.compare_digest(given.encode(), expected.encode())
