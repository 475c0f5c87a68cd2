"""Treatments of a value (drop, mask, hash, seal, keep), and exact numbers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from streamer.exact_json import exact_number
from streamer.later import Later
from streamer.settings import MASK_TEXT, How, ProtectionSettings, ProtectRule

if TYPE_CHECKING:
    from cryptography import fernet
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf import hkdf
else:
    fernet = Later("cryptography.fernet")
    hashes = Later("cryptography.hazmat.primitives.hashes")
    hkdf = Later("cryptography.hazmat.primitives.kdf.hkdf")

# Hashes of fields are HMACs with the key itself, so these derived keys must not equal any hash.
_SALT = b"streamer"
_OF_CONTENT, _OF_DIGESTS = b"unreadable messages", b"digests of unreadable messages"


SEALED = b"encrypted:"
"""Prefix of encrypted bytes."""


class WrongKey(ValueError):
    """The bytes were encrypted with another key, or are damaged."""


def sealed(content: bytes, key: str, key_id: str) -> bytes:
    """Return `content` encrypted: `encrypted:`, the id of the key, a colon and a Fernet token."""
    return SEALED + key_id.encode() + b":" + fernet.Fernet(_derived(key, _OF_CONTENT)).encrypt(content)


def unsealed(found: bytes, key: str) -> bytes:
    """Return the content that `sealed` encrypted. Raises `WrongKey` for another key."""
    try:
        return fernet.Fernet(_derived(key, _OF_CONTENT)).decrypt(found.split(b":", 2)[-1])
    except fernet.InvalidToken:
        raise WrongKey("the value was encrypted with another key, or is damaged") from None


def keyed_digest(content: bytes, key: str) -> str:
    """Return a digest of `content` that reveals nothing without the key."""
    return hmac.digest(_derived(key, _OF_DIGESTS), content, "sha256").hex()


def _derived(key: str, purpose: bytes) -> bytes:
    derived = hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=_SALT, info=purpose).derive(key.encode())
    return base64.urlsafe_b64encode(derived)


# Every 64-bit integer fits into this many characters.
_LONGEST_INTEGER = 20
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1
# Above this number, a float's shortest digits can differ from its exact value.
_MOST_EXACT = 2**53
# With a larger exponent than any float's, the digits without an exponent could be extremely many.
_MOST_EXPONENT = 400


class ExactNumber(float):
    """A number whose digits in `text` a float would not reproduce.

    As a dictionary key, it equals the value that is read without rules
    (`exact_value`).
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number in the JSON text `text`."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        """Return the digits that the number has if no rule applies."""
        return str(exact_number(self.text))


def exact_tree(text: str) -> Any:
    """Return the value of a JSON text, with an `ExactNumber` where a float would lose digits.

    Raises `ValueError` for invalid JSON, and `RecursionError` if the JSON is
    nested too deeply.
    """
    return json.loads(text, parse_float=_decimal, parse_int=_integer)


def exact_text(value: Any) -> str:
    """Return a value from `exact_tree` as JSON that keeps the digits of each number."""
    return orjson.dumps(value, default=_as_written).decode()


def plain_digits(number: str) -> str:
    """Return a number without exponent, needless point or needless zeros; equal numbers give equal texts.

    A number beyond the range of floats keeps an exponent.
    """
    value = Decimal(number)
    if not value:
        return "0"
    if abs(value.adjusted()) > _MOST_EXPONENT:
        sign, digits, exponent = value.as_tuple()
        whole = "".join(map(str, digits))
        kept = whole.rstrip("0")
        return f"{'-' * sign}{kept}E{int(exponent) + len(whole) - len(kept)}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def float_digits(number: float) -> str:
    """Return `plain_digits` of a float: of the equal integer, or of its shortest decimal number.

    A float beyond the range of integers stands for its shortest decimal number:
    `1e23` becomes a one with 23 zeros, although no float equals that number.
    """
    if number.is_integer() and _LEAST_INTEGER <= number <= _MOST_INTEGER:
        return str(int(number))
    return plain_digits(repr(number))


def _decimal(text: str) -> float:
    number = float(text)
    return number if repr(number) == text and abs(number) <= _MOST_EXACT else ExactNumber(text)


def _integer(text: str) -> int | float:
    if len(text) <= _LONGEST_INTEGER and _LEAST_INTEGER <= int(text) <= _MOST_INTEGER:
        return int(text)
    return ExactNumber(text)


def _as_written(value: object) -> Any:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"a {type(value).__name__} can't be written as JSON")


_KEY_ID_BYTES = 4
_HIDDEN = "*"


class FixedTreatment(Enum):
    """Treatments that do not depend on the value."""

    KEEP = "keep"
    DROP = "drop"


# In Python 3.11, access to an enum member is slow, and some are compared for each field.
KEEP: Final = FixedTreatment.KEEP
DROP: Final = FixedTreatment.DROP

Treatment = Callable[[Any], Any] | FixedTreatment
"""Replaces a single value (not a mapping, a list or null), or keeps or drops any value."""


def treatment_of(rule: ProtectRule, settings: ProtectionSettings) -> Treatment:
    """Return the treatment of `rule`. Raises `ValueError` for a hash without a key."""
    match rule.how:
        case How.KEEP:
            return FixedTreatment.KEEP
        case How.DROP:
            return FixedTreatment.DROP
        case How.MASK:
            return _mask(rule)
        case How.HASH:
            return _hash(rule, settings)


def canonical_text(value: Any) -> str:
    """Return a single JSON value as text; equal numbers give equal texts.

    A number has decimal digits without an exponent, and a whole number has no
    point: `12` for `12.0`, because one transport writes `12` where the other writes
    `12.0`. A number from JSON inside a text keeps all its digits.
    """
    if type(value) is str:
        return value
    if type(value) is ExactNumber:
        return plain_digits(value.text)
    if type(value) is float:
        return float_digits(value)
    if type(value) is Decimal:
        return plain_digits(str(value))
    return orjson.dumps(value, default=str).decode() if type(value) is not int else str(value)


def key_id_of(settings: ProtectionSettings) -> str:
    """Return the id of the key, which begins each hash; empty without a key."""
    if settings.key is None:
        return ""
    return settings.key_id or hmac.digest(_key(settings), b"key id", "sha256")[:_KEY_ID_BYTES].hex()


def _mask(rule: ProtectRule) -> Treatment:
    last, text = rule.keep_last, rule.text or MASK_TEXT

    def masked(value: Any) -> str:
        whole = canonical_text(value)
        # The last characters of a short value would be most of the value.
        shown = whole[-last:] if last and len(whole) >= 2 * last else ""
        return (_HIDDEN * (len(whole) - len(shown)) if rule.keep_length else text) + shown

    return masked


def _hash(rule: ProtectRule, settings: ProtectionSettings) -> Treatment:
    if settings.key is None:
        raise ValueError("the treatment hash needs protection.key")
    prefix = f"{key_id_of(settings)}:"
    inner, outer = _hmac_states(_key(settings))
    trims, lowers = "trim" in rule.normalise, "lower" in rule.normalise

    def hashed(value: Any) -> str:
        text = canonical_text(value)
        text = text.strip() if trims else text
        text = text.lower() if lowers else text
        # JSON can contain a lone surrogate, which UTF-8 can't encode otherwise.
        within, around = inner.copy(), outer.copy()
        within.update(text.encode("utf-8", "surrogatepass"))
        around.update(within.digest())
        return prefix + around.hexdigest()

    return hashed


def _hmac_states(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return the inner and outer states of HMAC-SHA-256 after the key (RFC 2104).

    Copying these states takes a third of the time of `hmac.digest`.
    """
    block = hashlib.sha256().block_size
    padded = (hashlib.sha256(key).digest() if len(key) > block else key).ljust(block, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
    return inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))


def _key(settings: ProtectionSettings) -> bytes:
    return settings.key.get_secret_value().encode() if settings.key is not None else b""
