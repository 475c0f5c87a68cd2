"""Ids of event schemas, which accompany payloads.

Salesforce's ids are fingerprints of 22 characters in base64url (REST API guide,
platform event schema).
"""

import re
from typing import Any

LONGEST_SCHEMA_ID = 100
"""Largest number of characters of an id that is accepted; Salesforce's own ids have 22 characters."""

_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_SCHEMA_ID}}}")
# Inside a JSON text, a quotation mark follows a backslash, so no such text matches.
_IN_MESSAGE = re.compile(rb'"data"\s*:\s*\{\s*"schema"\s*:\s*"([A-Za-z0-9_-]{1,%d})"' % LONGEST_SCHEMA_ID)


def known_schema_id(value: Any) -> str:
    """Return `value` if it can be a schema id, otherwise an empty text."""
    return value if type(value) is str and _ID.fullmatch(value) else ""


def schema_id_in(raw: bytes) -> str:
    """Return the schema id in a message that is not JSON, or an empty text."""
    found = _IN_MESSAGE.search(raw)
    return found[1].decode("ascii") if found else ""
