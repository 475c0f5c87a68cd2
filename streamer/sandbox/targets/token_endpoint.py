"""Token endpoint of a target with OAuth 2 client credentials."""

from base64 import b64decode
from binascii import Error as Base64Error
from urllib.parse import unquote_plus

from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.targets.receiver import answer


class TokenEndpoint:
    """Issues bearer tokens to one client, and checks these tokens.

    `issued` counts the tokens and `requests` the token requests. The endpoint answers
    503 while `down`.
    """

    def __init__(self, clock: Clock, *, client_id: str, client_secret: str, lifetime_s: float) -> None:
        """Build the endpoint of one client; tokens are valid for `lifetime_s` seconds."""
        self.issued = 0
        self.requests = 0
        self.down = False
        self.slow_s = 0.0
        self._clock = clock
        self._client = (client_id, client_secret)
        self._lifetime_s = lifetime_s
        self._good_until: dict[str, float] = {}

    def revoke_all(self) -> None:
        """Revoke every token issued so far."""
        self._good_until.clear()

    def accepts(self, request: web.Request) -> bool:
        """Return whether `request` carries a valid token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and self._good_until.get(token, 0.0) > self._clock.now()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a token request (RFC 6749, section 4.4)."""
        self.requests += 1
        await self._clock.sleep(self.slow_s)
        if self.down:
            return answer(503, {"error": "temporarily_unavailable"})
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return answer(400, {"error": "unsupported_grant_type"})
        if self._client not in (_in_header(request), (form.get("client_id"), form.get("client_secret"))):
            return answer(401, {"error": "invalid_client"})
        return self._token()

    def _token(self) -> web.Response:
        self.issued += 1
        token = f"local-token-{self.issued:06d}"
        self._good_until[token] = self._clock.now() + self._lifetime_s
        return answer(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": int(self._lifetime_s)}
        )


def _in_header(request: web.Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Basic":
        return None
    try:
        client_id, _, secret = b64decode(value).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return None
    return unquote_plus(client_id), unquote_plus(secret)
