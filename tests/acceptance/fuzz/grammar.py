"""Grammars: realistic documents, in which some parts are replaced, removed or broken."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

CANARY = "canary-password-of-the-target"
"""A secret that no log, metric or page may show. A target or a record can repeat it."""

PROTECTED = "canary-value-of-a-protected-field"
"""Value of the field `Secret__c`, which each drawn list of rules protects first."""

Path = tuple[str | int, ...]
Json = Any

_BYTES = {
    "@deep@": b"[" * 400 + b"]" * 400,
    "@deeper@": b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    "@nan@": b"NaN",
    "@huge@": b"1e999",
    "@utf8@": b'"\xff\xfe"',
    "@surrogate@": b'"\\ud800"',
    "@torn@": b'{"a":',
    "@comma@": b",,",
    "@nul@": b"\x00",
}
"""Texts of a document that stand for bytes which no encoder writes."""

_TEXTS = [
    "",
    "gap",
    "\x00\r\n",
    "😀" * 100,
    "eyJ" * 3_000,
    "a" * 100_000,
    "0001-01-01T00:00:00+14:00",
    "99999-12-31T00:00:00Z",
    "2026-13-45",
    "/data/ChangeEvents",
    "../../etc/passwd",
    "{{ 7 * 7 }}",
    "'; DROP TABLE events; --",
    f"password={CANARY}",
    *_BYTES,
]

odd: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(_TEXTS)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_TEXTS) | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Any JSON value, those with a bad record among them."""


@st.composite
def rules(draw: st.DrawFn) -> Json:
    """Draw `protect` rules; the first one is for `Secret__c`."""
    secret = {"entity": "*", "fields": "Secret__c", "how": draw(st.sampled_from(["drop", "mask", "hash"]))}
    fields = ["*", "Name", "Secret*", "BillingCity", "BillingAddress", "*.*", "LastModifiedDate", "gap"]
    rule = st.fixed_dictionaries(
        {
            "entity": st.sampled_from(["*", "Account", "Order_*"]),
            "fields": st.lists(st.sampled_from(fields), min_size=1, max_size=3),
            "how": st.sampled_from(["drop", "mask", "hash", "keep"]),
        }
    )
    return [secret, *draw(st.lists(rule, max_size=3))]


def change() -> Json:
    """Return the data of a change event, without its replay id; its mark makes its id unique."""
    return {
        "schema": "aH90AKTuyuLAOIPpYTEbjw",
        "payload": {
            "ChangeEventHeader": {
                "entityName": "Account",
                "recordIds": ["%mark"],
                "changeType": "UPDATE",
                "changeOrigin": "com/salesforce/api/rest/66.0",
                "transactionKey": "%mark",
                "sequenceNumber": 1,
                "commitTimestamp": 1795755881245,
                "commitNumber": 10500000000,
                "commitUser": "005Sb0000000001IAA",
                "changedFields": ["Name", "LastModifiedDate"],
                "nulledFields": [],
                "diffFields": [],
            },
            "Name": "Acme",
            "BillingAddress": {"City": "Ulm"},
            "LastModifiedDate": "2026-11-27T05:04:41.245Z",
        },
    }


def gap() -> Json:
    """Return the data of a gap event, without its replay id; its mark makes its id unique."""
    header = {
        "entityName": "Account",
        "recordIds": ["001000000000001AAA"],
        "changeType": "GAP_UPDATE",
        "transactionKey": "%mark",
        "sequenceNumber": 1,
        "commitTimestamp": 1795755881245,
        "commitNumber": 10500000000,
    }
    return {"schema": "aH90AKTuyuLAOIPpYTEbjw", "payload": {"ChangeEventHeader": header}}


def describe() -> Json:
    """Return the describe of an entity with fields of many types, among them compound ones."""
    fields = [
        {"name": "Id", "type": "id"},
        {"name": "Name", "type": "string"},
        {"name": "IsPersonAccount", "type": "boolean"},
        {"name": "LastName", "type": "string", "compoundFieldName": "Name"},
        {"name": "BillingAddress", "type": "address"},
        {"name": "BillingCity", "type": "string", "compoundFieldName": "BillingAddress"},
        {"name": "AnnualRevenue", "type": "currency"},
        {"name": "NumberOfEmployees", "type": "int"},
        {"name": "IsDeleted", "type": "boolean"},
        {"name": "LastModifiedDate", "type": "datetime"},
        {"name": "SystemModstamp", "type": "datetime"},
    ]
    return {"name": "Account", "fields": fields}


def row() -> Json:
    """Return a record of that entity, as REST gives it."""
    return {
        "attributes": {"type": "Account", "url": "/services/data/v66.0/sobjects/Account/001000000000001AAA"},
        "Id": "001000000000001AAA",
        "Name": "Acme",
        "IsPersonAccount": False,
        "LastName": None,
        "BillingCity": "Ulm",
        "AnnualRevenue": 1.5e7,
        "NumberOfEmployees": 7,
        "IsDeleted": False,
        "LastModifiedDate": "2026-11-27T05:04:41.000+0000",
        "SystemModstamp": "2026-11-27T05:04:41.000+0000",
    }


def order() -> Json:
    """Return the data of a platform event, without its replay id; its mark makes its id unique."""
    return {
        "schema": "tHxDMFU_6RhVNNf0t_UvUw",
        "payload": {
            "CreatedDate": "2026-11-27T05:04:41.245Z",
            "CreatedById": "005Sb0000000001IAA",
            "Order_No__c": "o1",
        },
        "event": {"EventUuid": "%mark", "EventApiName": "Order_Placed__e"},
    }


def note() -> Json:
    """Return what someone sent to a generic channel."""
    return {"Name": "Acme", "n": 12345678901234567890, "BillingAddress": {"City": "Ulm"}}


@st.composite
def mutated(draw: st.DrawFn, document: Json) -> Json:
    """Draw a variant of `document`, with up to three different parts."""
    variant = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        paths = list(_paths(variant))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        place = variant
        for step in way:
            place = place[step]
        if draw(st.booleans()):
            place[last] = draw(odd)
        else:
            del place[last]
    return variant


def encoded(document: Json) -> bytes:
    """Return `document` as JSON, or nearly so."""
    content = json.dumps(document).encode("utf-8", "surrogatepass")
    for text, raw in _BYTES.items():
        content = content.replace(f'"{text}"'.encode(), raw)
    return content


@st.composite
def torn(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw `content` with a piece cut out, doubled or overwritten, or as it is."""
    begin = draw(st.integers(0, len(content)))
    end = draw(st.integers(begin, min(len(content), begin + 30)))
    middle = draw(st.sampled_from([b"", content[begin:end] * 2, b"\x00\xff", content[begin:end]]))
    return content[:begin] + middle + content[end:]


def _paths(document: Json, way: Path = ()) -> Iterator[Path]:
    parts: Any = ()
    if isinstance(document, dict):
        parts = document.items()
    elif isinstance(document, list):
        parts = enumerate(document)
    for step, part in parts:
        yield (*way, step)
        yield from _paths(part, (*way, step))
