"""Avro encoding of events."""

from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.sandbox.pubsub.avro.datum import NotEncodable, encoder

HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {
            "name": "changeType",
            "type": {"type": "enum", "name": "ChangeType", "symbols": ["CREATE", "UPDATE"]},
        },
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        *(
            {"name": name, "type": {"type": "array", "items": "string"}}
            for name in ("nulledFields", "diffFields", "changedFields")
        ),
    ],
}
ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [
        {"name": name, "type": ["null", "double" if name.endswith("itude") else "string"]}
        for name in (
            "Street",
            "City",
            "State",
            "PostalCode",
            "Country",
            "Latitude",
            "Longitude",
            "GeocodeAccuracy",
        )
    ],
}
ACCOUNT = {
    "type": "record",
    "name": "AccountChangeEvent",
    "namespace": "com.sforce.eventbus",
    "fields": [
        {"name": "ChangeEventHeader", "type": HEADER},
        {"name": "Name", "type": ["null", "string"]},
        {"name": "Type", "type": ["null", "string"]},
        {"name": "ParentId", "type": ["null", "string"]},
        {"name": "BillingAddress", "type": ["null", ADDRESS]},
        {"name": "LastModifiedDate", "type": ["null", "long"]},
    ],
}
UPDATE = {
    "ChangeEventHeader": {
        "entityName": "Account",
        "recordIds": ["001AB00000TEST1YAA"],
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/rest/61.0;client=erp-sync",
        "transactionKey": "0000aaaa-bbbb-cccc-dddd-eeeeffff0001",
        "sequenceNumber": 1,
        "commitTimestamp": 1_735_689_600_000,
        "commitNumber": 987_654_321,
        "commitUser": "005AB00000USER1YAA",
        "nulledFields": ["4-0x04"],
        "diffFields": [],
        "changedFields": ["0x20", "4-0x06"],
    },
    "BillingAddress": {"City": "Oslo", "State": None},
    "LastModifiedDate": "2025-01-01T00:00:00.000Z",
}
GOLDEN = (
    "0e4163636f756e740224303031414230303030305445535431594141000258636f6d2f73616c6573666f7263652f6170692f"
    "726573742f36312e303b636c69656e743d6572702d73796e634830303030616161612d626262622d636363632d646464642d"
    "6565656566666666303030310280f0cbf28365e2a2f3ad0724303035414230303030305553455231594141020c342d307830"
    "3400000408307832300c342d3078303600000000020002084f736c6f0000000000000280f0cbf28365"
)


def test_a_change_is_encoded_as_salesforce_does_it() -> None:
    """The layout follows a real event; absent fields are null."""
    assert encoder(ACCOUNT)(UPDATE).hex() == GOLDEN


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("string", None),
        ("string", {}),
        ("boolean", 1),
        ("double", "1"),
        ("double", True),
        ("int", 2**31),
        ("int", "1"),
        ("int", 5.5),
        ("long", 2**63),
        ("long", True),
        ("long", "yesterday"),
        (["null", "string"], 1),
        ({"type": "array", "items": "string"}, "text"),
        ({"type": "array", "items": "string"}, [None]),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}, {}),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}, {"a": "", "b": 1}),
        ({"type": "record", "name": "R", "fields": []}, "text"),
    ],
)
def test_a_value_of_another_type_is_refused(kind: Any, value: Any) -> None:
    """Nothing is guessed."""
    with pytest.raises(NotEncodable):
        encoder(kind)(value)


TYPES = {
    "string": st.text(),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
}


@given(st.data())
def test_whatever_is_encoded_is_read_back(data: st.DataObject) -> None:
    """By a decoder that is not ours."""
    kinds = data.draw(st.lists(st.tuples(st.sampled_from(sorted(TYPES)), st.booleans()), min_size=1))
    fields = [
        {"name": f"F{at}", "type": ["null", kind] if optional else kind}
        for at, (kind, optional) in enumerate(kinds)
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    value = {
        f"F{at}": data.draw(st.none() | TYPES[kind] if optional else TYPES[kind])
        for at, (kind, optional) in enumerate(kinds)
    }
    stream = BytesIO(encoder(schema)(value))
    assert fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None) == value
    assert stream.read() == b""
