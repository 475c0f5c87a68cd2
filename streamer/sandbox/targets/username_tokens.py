"""Check of WS-Security UsernameTokens (OASIS, UsernameToken profile 1.0)."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha1
from xml.etree.ElementTree import Element

from streamer.clock import Clock
from streamer.sandbox.targets.soap_messages import SECURITY, SecurityFault

_WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
_WSSE = f"{{{SECURITY}}}"
# The profile recommends to refuse tokens older than five minutes, and to remember nonces for this time.
_FRESH_S = 300.0
_SKEW_S = 60.0
_MOST_NONCES = 100_000


class UsernameTokens:
    """Admits one user by password or by password digest; each nonce is valid once."""

    def __init__(self, clock: Clock, *, username: str, password: str) -> None:
        self._clock = clock
        self._username = username
        self._password = password
        self._nonces: OrderedDict[bytes, None] = OrderedDict()

    def check(self, headers: Sequence[Element]) -> None:
        """Raise `SecurityFault` unless one of `headers` authenticates the user."""
        security = next((each for each in headers if each.tag == f"{_WSSE}Security"), None)
        token = security.find(f"{_WSSE}UsernameToken") if security is not None else None
        if security is None or token is None:
            raise SecurityFault("InvalidSecurity", "the WS-Security header contains no UsernameToken")
        self._check_timestamp(security)
        password = token.find(f"{_WSSE}Password")
        shown = (password.text or "") if password is not None else ""
        is_digest = password is not None and password.get("Type", "").endswith("#PasswordDigest")
        expected = self._digest(token) if is_digest else self._password
        username = token.findtext(f"{_WSSE}Username", "")
        if username != self._username or not hmac.compare_digest(shown.encode(), expected.encode()):
            raise SecurityFault("FailedAuthentication", "the security token could not be authenticated")

    def _check_timestamp(self, security: Element) -> None:
        timestamp = security.find(f"{_WSU}Timestamp")
        if timestamp is None:
            return
        now = self._clock.now()
        if _time(timestamp.findtext(f"{_WSU}Expires", "")) <= now:
            raise SecurityFault("MessageExpired", "the message has expired")
        if _time(timestamp.findtext(f"{_WSU}Created", "")) > now + _SKEW_S:
            raise SecurityFault("InvalidSecurity", "the creation time of the message is in the future")

    def _digest(self, token: Element) -> str:
        created = token.findtext(f"{_WSU}Created", "")
        nonce = _bytes(token.findtext(f"{_WSSE}Nonce", ""))
        if abs(_time(created) - self._clock.now()) > _FRESH_S:
            raise SecurityFault(
                "MessageExpired", "the creation time of the token is too old, or in the future"
            )
        if not nonce or nonce in self._nonces:
            raise SecurityFault("FailedAuthentication", "the nonce is missing, or was already used")
        self._nonces[nonce] = None
        if len(self._nonces) > _MOST_NONCES:
            self._nonces.popitem(last=False)
        # The profile knows no other hash.
        digest = sha1(nonce + created.encode() + self._password.encode(), usedforsecurity=False)
        return b64encode(digest.digest()).decode()


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise SecurityFault("InvalidSecurity", "a time of the WS-Security header can't be read") from None


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        return b""
