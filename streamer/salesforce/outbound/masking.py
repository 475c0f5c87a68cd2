"""Masking of the session id and the addresses in an envelope that is kept as it came."""

import re

_SECRET_ELEMENTS = re.compile(
    rb"(<(?:[\w.-]{1,64}:)?(SessionId|EnterpriseUrl|PartnerUrl)\b[^<>]{0,512}>)[^<]*", re.IGNORECASE
)
_SESSION_ID = re.compile(rb"00D[0-9A-Za-z]{12,15}![^\s<\"']*")


def masked_envelope(body: bytes) -> bytes:
    """Return `body` without its session id and its addresses, whether it is XML or not.

    Zero bytes, which UTF-16 puts between letters, are removed.
    """
    plain = body.replace(b"\0", b"")
    return _SESSION_ID.sub(b"***", _SECRET_ELEMENTS.sub(rb"\1***", plain))
