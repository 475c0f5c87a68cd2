"""Salesforce record ids: a type's prefix, a number, and a checksum of the letter case."""

import itertools
import string
import zlib

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM = string.ascii_uppercase + "012345"
_IS_UPPER = {ord(digit): "1" if digit.isupper() else "0" for digit in _DIGITS}
# Two characters for the instance and a reserved zero, as in ids of real orgs.
_INSTANCE = "Sb0"
SHORT, LONG = 15, 18


def with_checksum(short_id: str) -> str:
    """Return the 18-character form of a 15-character id.

    Each character of the suffix encodes which of five characters are upper case. So
    systems that ignore letter case can still distinguish ids.
    """
    case = short_id.translate(_IS_UPPER)
    blocks = (case[4::-1], case[9:4:-1], case[14:9:-1])
    return short_id + "".join(_CHECKSUM[int(block, 2)] for block in blocks)


def normal_id(value: str) -> str | None:
    """Return `value` as an 18-character id, or `None` if it can't be one."""
    if len(value) not in {SHORT, LONG} or not (value.isascii() and value.isalnum()):
        return None
    return with_checksum(value[:SHORT])


def lasting_id(prefix: str, name: str) -> str:
    """Return a 15-character id that is always the same for this name."""
    return prefix + _INSTANCE + _base62(zlib.crc32(name.encode()), 9)


class IdSequence:
    """Issues ids that rise within each prefix."""

    def __init__(self) -> None:
        self._next: dict[str, itertools.count[int]] = {}

    def issue(self, prefix: str) -> str:
        """Return a new 18-character id that begins with `prefix`."""
        number = next(self._next.setdefault(prefix, itertools.count(1)))
        return with_checksum(prefix + _INSTANCE + _base62(number, 9))


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")
