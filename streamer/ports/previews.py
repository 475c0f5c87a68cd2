"""Preview of what a plugin would send."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Request that a plugin would send for a delivery, with secrets masked.

    `request` is its first line, such as `POST https://erp.acme.com/invoices`.
    `headers` are what goes beside the `content`, whatever the protocol calls it.
    """

    request: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
