"""Ids of event schemas, as they stand beside payloads.

Salesforce's own are fingerprints of 22 characters in base64url (REST API guide,
platform event schema).
"""

import re
from typing import Any

LONGEST_SCHEMA_ID = 100
"""Most characters of an id that is taken from Salesforce, whose own have 22."""

_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_SCHEMA_ID}}}")
# A quotation mark within a text of JSON has a backslash before it, so no text can look like this.
_IN_MESSAGE = re.compile(rb'"data"\s*:\s*\{\s*"schema"\s*:\s*"([A-Za-z0-9_-]{1,%d})"' % LONGEST_SCHEMA_ID)


def known_schema_id(value: Any) -> str:
    """Return `value` if it can be the id of a schema, otherwise an empty text."""
    return value if type(value) is str and _ID.fullmatch(value) else ""


def schema_id_in(raw: bytes) -> str:
    """Return the id of the schema in a message that is no JSON, or an empty text."""
    found = _IN_MESSAGE.search(raw)
    return found[1].decode("ascii") if found else ""
