"""Gate of the API and the console: checks tokens, and limits how often a peer can guess."""

import hmac
import ipaddress
from dataclasses import dataclass, field
from enum import Enum

import structlog
from aiohttp import web
from pydantic import SecretStr

from streamer.admin.schemas import ApiError
from streamer.clock import Clock

_log = structlog.get_logger()

_FREE = 5
_FIRST_S = 1.0
_LONGEST_S = 60.0
_FORGOTTEN_S = 900.0
_MOST_PEERS = 1_000
_LOG_EVERY_S = 60.0
# One household or server usually has a whole IPv6 network of this size.
_OF_ONE_PEER_V6 = 64
_BEARER = "Bearer "


class AccessRight(Enum):
    """Access that a token grants."""

    READ = "read"
    """The console's pages, and GET requests to the API."""
    CHANGE = "change"
    """Everything."""


@dataclass(slots=True)
class _Peer:
    """Consecutive wrong tokens of one peer; times are monotonic seconds."""

    wrong: int = 0
    until: float = 0.0
    seen_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class WrongTokens:
    """Counts wrong tokens by peer. From the fifth on, each wrong token makes the peer wait, up to a minute.

    The log gets a line for the first wrong token, and then at most one line a minute
    with the number of further wrong tokens.
    """

    clock: Clock
    _peers: dict[str, _Peer] = field(default_factory=dict, init=False)
    _unlogged: int = field(default=0, init=False)
    _logged_at: float | None = field(default=None, init=False)

    def check(self, peer: str) -> None:
        """Raise `ApiError` 429 while `peer` must wait, so that none of its tokens are compared."""
        left = self._peers[peer].until - self.clock.monotonic() if peer in self._peers else 0.0
        if left > 0:
            self._note(peer)
            raise ApiError(429, f"{peer} sent too many wrong tokens: wait {left:.0f} s.")

    def wrong(self, peer: str) -> None:
        """Count a wrong token of `peer`."""
        now = self.clock.monotonic()
        for each in [name for name, found in self._peers.items() if found.seen_at < now - _FORGOTTEN_S]:
            del self._peers[each]
        found = self._peers.pop(peer, None) or _Peer()
        found.wrong, found.seen_at = found.wrong + 1, now
        if found.wrong >= _FREE:
            found.until = now + min(_FIRST_S * 2.0 ** min(found.wrong - _FREE, 30), _LONGEST_S)
        # The peer moves to the end, so that the first peer is always the peer seen longest ago.
        self._peers[peer] = found
        if len(self._peers) > _MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        self._note(peer)

    def right(self, peer: str) -> None:
        """Forget the wrong tokens of `peer`."""
        self._peers.pop(peer, None)

    def _note(self, peer: str) -> None:
        now = self.clock.monotonic()
        self._unlogged += 1
        if self._logged_at is None or now - self._logged_at >= _LOG_EVERY_S:
            _log.warning("admin.token_refused", peer=peer, attempts=self._unlogged)
            self._logged_at, self._unlogged = now, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Maps a request's token to an access right: the operator's `token`, or the `reader`'s token."""

    token: SecretStr | None
    reader: SecretStr | None = None
    wrong_tokens: WrongTokens

    def right_of(self, request: web.Request) -> AccessRight | None:
        """Return the access right of the bearer token of `request`, or `None` without a right token.

        Raises `ApiError` 429 while the request's peer must wait.
        """
        shown = request.headers.get("Authorization", "")
        return self.right(request, shown.removeprefix(_BEARER)) if shown.startswith(_BEARER) else None

    def right(self, request: web.Request, shown: str) -> AccessRight | None:
        """Return the access right of the token `shown`, and count a wrong token. Raises like `right_of`."""
        peer = _peer(request)
        self.wrong_tokens.check(peer)
        # Both tokens are always compared, so the duration reveals nothing.
        changes, reads = _is_same(self.token, shown), _is_same(self.reader, shown)
        if not (changes or reads):
            self.wrong_tokens.wrong(peer)
            return None
        self.wrong_tokens.right(peer)
        return AccessRight.CHANGE if changes else AccessRight.READ


def _is_same(token: SecretStr | None, shown: str) -> bool:
    if token is None:
        return False
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.get_secret_value().encode())


def _peer(request: web.Request) -> str:
    try:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return request.remote or "a local socket"
    if address.version == 4:  # noqa: PLR2004 - of IP
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _OF_ONE_PEER_V6), strict=False))
