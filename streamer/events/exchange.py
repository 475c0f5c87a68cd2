"""Exchange of a failed attempt: the request as it was sent, and the beginning of the answer."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

MOST_BYTES = 1024
"""Largest size of one attempt's exchange and answer as JSON, in bytes."""

# With the names of the fields, these limits stay below `MOST_BYTES`.
_REQUEST_BYTES = 256
_ANSWER_BYTES = 256
_HEADERS_BYTES = 384
_VALUE_BYTES = 64
_LARGEST_SIZE = 2**32 - 1
_LARGEST_STATUS = 999

_DIGEST = re.compile(r"[0-9a-f]{16}")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
# Of an address, the user, the password and the values of the query can be secrets.
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_VALUE = re.compile(r"(?<==)[^&#\s]+|(?<=[?&])[^=&#\s]+(?=[&#\s]|\Z)")

KEPT_HEADERS = (
    "retry-after",
    "content-type",
    *("x-request-id", "request-id", "x-correlation-id", "correlation-id", "x-trace-id", "traceresponse"),
    *(
        "x-amzn-requestid",
        "x-amz-request-id",
        "x-ms-request-id",
        "apim-request-id",
        "x-slack-req-id",
        "cf-ray",
    ),
    *("ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "sforce-limit-info"),
)
"""Headers of an answer that are kept, the most helpful first. All others can contain secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptExchange:
    """Request of an attempt as it was sent, and the beginning of the answer, without secrets.

    `request` is the method with the address, such as `POST https://erp.acme.com/invoices`.
    `size` is the content's size in bytes. `digest` is the beginning of the SHA-256 of
    the content, with secrets masked: 16 hexadecimal digits, or empty. `status` is
    `None` if there was no answer. `headers` are headers of the answer, by name in
    lower case.
    """

    request: str
    size: int = 0
    digest: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounded(self) -> "AttemptExchange":
        """This exchange within the limits of size, with only the headers in `KEPT_HEADERS`."""
        request = _VALUE.sub("***", _USER.sub("", self.request))
        return AttemptExchange(
            request=beginning(request, _REQUEST_BYTES),
            size=min(max(0, self.size), _LARGEST_SIZE),
            digest=self.digest if _DIGEST.fullmatch(self.digest) else "",
            status=None if self.status is None else min(max(0, self.status), _LARGEST_STATUS),
            headers=dict(_kept(self.headers.items())),
        )


def answer_beginning(answer: str) -> str:
    """Return the beginning of a target's answer, on one line."""
    return beginning(answer, _ANSWER_BYTES)


def beginning(text: str, most: int) -> str:
    """Return the beginning of `text` that takes at most `most` bytes as JSON, on one line."""
    # Of a longer text, more characters than bytes are never needed.
    text = _CONTROL.sub(" ", text[: 2 * most]).strip().encode("utf-8", "replace").decode()
    cut = text[:most]
    while (excess := len(orjson.dumps(cut)) - 2 - (most if cut == text else most - 3)) > 0:
        # A character takes at most four bytes.
        cut = cut[: len(cut) - max(1, excess // 4)]
    return cut if cut == text else f"{cut}…"


def _kept(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    given = {name.lower(): value for name, value in headers}
    room = _HEADERS_BYTES
    for name in KEPT_HEADERS:
        if name in given and (value := beginning(given[name], _VALUE_BYTES)):
            room -= len(orjson.dumps({name: value}))
            if room < 0:
                return
            yield name, value
