"""Redaction: masks secrets in every text that leaves the process, by value, key or form."""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from streamer.known_secrets import KNOWN, MASK

_MAX_DEPTH = 6
_MAX_TEXT = 4_000
_MAX_TRACEBACK = 12_000

_SECRET_KEY = re.compile(
    r"token|passw|passphrase|secret|authorization|assertion|cookie|credential"
    r"|api_?key|private_?key|session_?id|webhook_?url",
    re.IGNORECASE,
)
# Texts come from outside, so no alternative may scan the same characters from many
# starting points. Every repetition is therefore possessive or bounded. A JSON Web
# Token can begin anywhere in a word, so each word is searched only once.
_SECRET_TEXT = re.compile(
    r"""
      00D[0-9A-Za-z]{12,15}(?:!|%(?:25)?21)\S++            # Salesforce session id, also in an address
    | xox[a-z]-[0-9A-Za-z-]++ | xapp-[0-9A-Za-z-]++        # Slack tokens
    | (?<=/services/)T[0-9A-Za-z]++/B[0-9A-Za-z]++/\w++    # Slack webhook, the part that is secret
    | (?<![\w-])(?>[\w-]*?eyJ)[\w-]{8,}+\.[\w-]++\.[\w-]*+ # JSON Web Token
    | (?<=://)[^\s/@:]++:[^\s/@]++(?=@)                    # user and password in a URL
    | -----BEGIN[ A-Z]{0,40}PRIVATE\ KEY-----.*?(?:-----END[ A-Z]{0,40}PRIVATE\ KEY-----|\Z)
    | (?<=\bBearer\ )[^\s"',]++ | (?<=\bBasic\ )[^\s"',]++
    | whsec_[0-9A-Za-z+/=_-]{8,}+                          # signing secret of webhooks
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                        # access key of AWS
    """,
    re.VERBOSE | re.DOTALL,
)
# The name of a secret with its value: in JSON, in an address, in YAML or in a sentence. In a
# sentence, "token: " can precede advice, so a value must be the only word, or contain more than
# letters.
_NAMED_SECRET = re.compile(
    r"""
    ((?:password|passwd|passphrase|secret|token|(?:api|access|private)[_-]?key|session[_-]?id)
      (?: (?:\\{0,3}["'])?\s{0,3}=\s{0,3} | %3D | (?:\\{0,3}["'])\s{0,3}:\s{0,3} | :\s{0,3}(?=\\{0,3}["'])
        | :\s{0,3}(?=\w{0,100}[0-9!@\#$%^&*+/=~])
        | :\s{0,3}(?=[^\s"'\\,;&)<>{}\[\]]{1,200}+\s{0,100}(?:\Z|[,;}\])\n])) ))
    (?!\s|\\{0,3}["']?(?:null|true|false|none|\*\*\*)\b)
    (?: (\\{0,3}")[^"\\]{1,4096}+ | (\\{0,3}')[^'\\]{1,4096}+ | [^\s"'\\,;&)<>{}\[\]]++ )
    """,
    re.VERBOSE | re.IGNORECASE,
)
# No secret is longer.
_MARGIN = 16_000


def redact(_logger: Any | None, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor that masks values whose key or form looks like a secret.

    Keys, numbers and booleans stay as they are. Long texts and deep structures
    are cut.
    """
    return {key: _redacted(key, value, 0) for key, value in event.items()}


def masked(text: str, limit: int = _MAX_TEXT) -> str:
    """Return `text` with masked secrets. A text above `limit` characters loses its middle."""
    shown = limit // 2 + _MARGIN
    if len(text) <= 2 * shown:
        # The cut follows the masking, because half a secret would not be recognised.
        return _cut(_without_secrets(text), limit)
    left_out = len(text) - limit
    begin, end = (_without_secrets(part) for part in (text[:shown], text[-shown:]))
    return f"{begin[: limit // 2]}… {left_out} characters left out …{end[-(limit // 2) :]}"


def _without_secrets(text: str) -> str:
    hidden = _SECRET_TEXT.sub(MASK, KNOWN.hidden(text))
    return _NAMED_SECRET.sub(lambda found: f"{found[1]}{found[2] or found[3] or ''}{MASK}", hidden)


def _redacted(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redacted_items(key, value, depth) if depth < _MAX_DEPTH else "…"
    return masked(_text(value), _MAX_TRACEBACK if key == "exception" else _MAX_TEXT)


def _redacted_items(key: str, value: Mapping[Any, Any] | Iterable[Any], depth: int) -> object:
    if isinstance(value, Mapping):
        return {str(name): _redacted(str(name), item, depth + 1) for name, item in value.items()}
    return [_redacted(key, item, depth + 1) for item in value]


def _text(value: object) -> str:
    # Bytes, exceptions and Streamer's own values get here. A failing repr must not
    # prevent a log line.
    try:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - whatever a foreign __str__ raises
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}… {len(text) - limit} characters left out …{text[-half:]}"
