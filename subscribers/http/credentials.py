"""Credentials of requests; refused credentials and credentials that are about to expire are renewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard
from urllib.parse import quote_plus, urlencode

from pydantic import SecretStr
from yarl import URL

from streamer.clock import Clock
from streamer.errors import RetryLater
from streamer.events import FailureClass
from streamer.known_secrets import KNOWN, MASK
from streamer.later import Later
from subscribers.http.answer import Answer
from subscribers.http.auth import ApiKeyAuth, Auth, BasicAuth, BearerAuth, NoAuth, OAuth2Auth, basic
from subscribers.http.connection import ConnectionPool, Exchange, Unreached
from subscribers.http.redaction import Redaction

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

# A token is renewed this long before it expires. If a tenth of the token's lifetime is shorter,
# the tenth is used instead.
_MARGIN_S = 60.0

_REFUSED_S = 60.0
_UNREACHED_S = 10.0
# RFC 6749, section 5.2.
_REFUSALS = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Headers or query parameters that authenticate a request, with their secrets and redaction."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    redaction: Redaction = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "redaction", Redaction.of(self.secrets))


class NoToken(RetryLater):
    """The token endpoint gave no token; check the endpoint's URL and the client's credentials.

    `answer` is the endpoint's answer, if there was one. `failure` is the class of
    the failure.
    """

    def __init__(
        self, message: str, *, after_s: float, failure: FailureClass, answer: Answer | None = None
    ) -> None:
        super().__init__(message, after_s=after_s)
        self.after_s: float = after_s
        self.failure = failure
        self.answer = answer


class Credentials(Protocol):
    """Source of the proof for each request."""

    async def proof(self) -> Proof:
        """Return a proof that has not expired, as far as is known; raises `NoToken`."""
        ...

    async def renewed(self, refused: Proof) -> Proof | None:
        """Return a proof other than `refused`, or `None` if no other proof exists; raises `NoToken`."""
        ...

    async def close(self) -> None:
        """Cancel a running fetch."""
        ...


class FixedCredentials:
    """Fixed key, password or token."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    async def proof(self) -> Proof:
        """Return the fixed proof."""
        return self._proof

    async def renewed(self, refused: Proof) -> None:
        """Return `None`."""

    async def close(self) -> None:
        """Do nothing."""


class ClientCredentials:
    """OAuth 2 client credentials (RFC 6749, section 4.4).

    Deliveries that need a token at the same time share one request and its
    result.
    """

    def __init__(self, auth: OAuth2Auth, connection: ConnectionPool, clock: Clock) -> None:
        self._auth = auth
        self._connection = connection
        self._clock = clock
        self._proof: Proof | None = None
        self._renew_at = 0.0
        self._fetching: asyncio.Task[Proof] | None = None

    async def proof(self) -> Proof:
        """Return the token's proof; fetch a new token if the present token is about to expire."""
        if self._proof is not None and self._clock.monotonic() < self._renew_at:
            return self._proof
        return await self._fetched()

    async def renewed(self, refused: Proof) -> Proof:
        """Return the current proof if it differs from `refused`; otherwise, fetch and return a new proof."""
        if self._proof is refused:
            self._proof = None
        return await self.proof()

    async def close(self) -> None:
        """Cancel a running fetch."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _fetched(self) -> Proof:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name="oauth2-token")
            self._fetching.add_done_callback(self._forget)
        # A cancelled delivery must not cancel the fetch that other deliveries wait for.
        return await asyncio.shield(self._fetching)

    def _forget(self, _: asyncio.Task[Proof]) -> None:
        self._fetching = None

    async def _fetch(self) -> Proof:
        asked_at = self._clock.monotonic()
        token, lifetime_s = _token(await self._ask())
        KNOWN.renew(token)
        self._renew_at = asked_at + lifetime_s - min(_MARGIN_S, lifetime_s / 10)
        self._proof = Proof(
            headers={"Authorization": f"Bearer {token}"},
            secrets=(token, self._auth.client_secret.get_secret_value()),
        )
        return self._proof

    async def _ask(self) -> Answer:
        try:
            return await self._connection.exchange(_token_request(self._auth))
        except Unreached as exc:
            raise NoToken(
                f"Streamer got no access token: {exc}", after_s=_UNREACHED_S, failure=exc.failure
            ) from exc


def credentials(auth: Auth, connection: ConnectionPool, clock: Clock) -> Credentials | None:
    """Return the credentials that `auth` describes; `None` for requests without credentials."""
    match auth:
        case NoAuth():
            return None
        case ApiKeyAuth():
            key = auth.key.get_secret_value()
            if auth.query is not None:
                return FixedCredentials(Proof(query={auth.query: key}, secrets=(key,)))
            return FixedCredentials(Proof(headers={auth.header: key}, secrets=(key,)))
        case BasicAuth():
            password = auth.password.get_secret_value()
            value = basic(auth.username, password)
            return _fixed_authorization(value, password, value.removeprefix("Basic "))
        case BearerAuth():
            token = auth.token.get_secret_value()
            return _fixed_authorization(f"Bearer {token}", token)
        case OAuth2Auth():
            return ClientCredentials(auth, connection, clock)


def masked_proof(auth: Auth) -> Proof:
    """Return the proof that `auth` describes, with `***` instead of each secret."""
    secrets = tuple(value.get_secret_value() for _, value in auth if isinstance(value, SecretStr))
    match auth:
        case NoAuth():
            headers = {}
        case ApiKeyAuth() if auth.query is not None:
            return Proof(query={auth.query: MASK}, secrets=secrets)
        case ApiKeyAuth():
            headers = {auth.header: MASK}
        case BasicAuth():
            headers = {"Authorization": f"Basic {MASK}"}
        case _:
            headers = {"Authorization": f"Bearer {MASK}"}
    return Proof(headers=headers, secrets=secrets)


def _fixed_authorization(value: str, *secrets: str) -> FixedCredentials:
    return FixedCredentials(Proof(headers={"Authorization": value}, secrets=secrets))


def _token_request(auth: OAuth2Auth) -> Exchange:
    secret = auth.client_secret.get_secret_value()
    form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    # RFC 6749, section 2.3.1: both are form-encoded in the header.
    header = basic(quote_plus(auth.client_id), quote_plus(secret))
    if auth.client_auth == "header":
        headers["Authorization"] = header
    else:
        form |= {"client_id": auth.client_id, "client_secret": secret}
    return Exchange(
        method="POST",
        url=URL(auth.token_url),
        headers=headers,
        content=urlencode({name: value for name, value in form.items() if value is not None}).encode(),
        redaction=Redaction.of((secret, header.removeprefix("Basic "))),
    )


def _token(answer: Answer) -> tuple[str, float]:
    found = answer.json or {}
    token = found.get("access_token")
    if answer.status == HTTPStatus.OK and _fits_a_header(token):
        return token, _lifetime(found.get("expires_in"))
    if answer.status in {400, 401, 403}:
        raise NoToken(
            "Streamer got no access token: the token endpoint refused the client "
            f"({_refusal(answer)}): check auth.client_id, auth.client_secret and auth.scope",
            after_s=_REFUSED_S,
            failure=FailureClass.REFUSED_CREDENTIALS,
            answer=answer,
        )
    raise NoToken(
        (
            f"Streamer got no access token: the token endpoint answered {answer.status_line} without "
            "a token: check auth.token_url"
        ),
        after_s=_UNREACHED_S,
        failure=answer.failure,
        answer=answer,
    )


def _refusal(answer: Answer) -> str:
    # Anything else in a token endpoint's answer can be a secret.
    return answer.code if answer.code in _REFUSALS else answer.status_line


def _fits_a_header(token: Any) -> TypeGuard[str]:
    return isinstance(token, str) and bool(token) and token.isascii() and token.isprintable()


def _lifetime(expires_in: Any) -> float:
    # RFC 6749 only recommends expires_in; some servers write it as a string.
    try:
        return max(0.0, float(expires_in))
    except (TypeError, ValueError):
        return float("inf")
