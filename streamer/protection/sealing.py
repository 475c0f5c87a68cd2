"""Sealing of bytes that can hold protected fields: encrypted, and known again by a digest."""

import base64
import hmac
from typing import TYPE_CHECKING

from streamer.later import Later

if TYPE_CHECKING:
    from cryptography import fernet
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf import hkdf
else:
    fernet = Later("cryptography.fernet")
    hashes = Later("cryptography.hazmat.primitives.hashes")
    hkdf = Later("cryptography.hazmat.primitives.kdf.hkdf")

# Hashes of fields are HMACs with the key itself. These keys must not be the hash of any value.
_SALT = b"streamer"
_OF_CONTENT, _OF_DIGESTS = b"unreadable messages", b"digests of unreadable messages"


SEALED = b"encrypted:"
"""Beginning of what is encrypted."""


class WrongKey(ValueError):
    """The bytes are sealed with another key, or damaged."""


def sealed(content: bytes, key: str, key_id: str) -> bytes:
    """Return `content` encrypted: `encrypted:`, the id of the key, a colon and a Fernet token."""
    return SEALED + key_id.encode() + b":" + fernet.Fernet(_derived(key, _OF_CONTENT)).encrypt(content)


def unsealed(found: bytes, key: str) -> bytes:
    """Return what `sealed` encrypted; raises `WrongKey` for another key."""
    try:
        return fernet.Fernet(_derived(key, _OF_CONTENT)).decrypt(found.split(b":", 2)[-1])
    except fernet.InvalidToken:
        raise WrongKey("it is sealed with another key, or damaged") from None


def keyed_digest(content: bytes, key: str) -> str:
    """Return a digest of `content` that tells nothing without the key."""
    return hmac.digest(_derived(key, _OF_DIGESTS), content, "sha256").hex()


def _derived(key: str, purpose: bytes) -> bytes:
    derived = hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=_SALT, info=purpose).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
