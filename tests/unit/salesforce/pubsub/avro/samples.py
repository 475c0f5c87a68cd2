"""Schemas in the form of Salesforce's, and data that fastavro writes with them."""

import io
from collections.abc import Mapping
from typing import Any

import fastavro
import orjson

from streamer.salesforce.pubsub.avro import EventSchema

Avro = dict[str, Any]

CHANGE_TYPES = [
    "CREATE", "UPDATE", "DELETE", "UNDELETE",
    "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT",
]  # fmt: skip

HEADER: Avro = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": CHANGE_TYPES}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": {"type": "array", "items": "string"}},
        {"name": "diffFields", "type": {"type": "array", "items": "string"}},
        {"name": "changedFields", "type": {"type": "array", "items": "string"}},
    ],
}


def optional(name: str, kind: Any = "string", **rest: Any) -> Avro:
    """Return a field that can be null."""
    return {"name": name, "type": ["null", kind], "default": None, **rest}


ADDRESS: Avro = {
    "type": "record",
    "name": "Address",
    "fields": [
        *(optional(name) for name in ("Street", "City", "State", "PostalCode", "Country")),
        *(optional(name, "double") for name in ("Latitude", "Longitude")),
        optional("GeocodeAccuracy"),
    ],
}

PERSON_NAME: Avro = {
    "type": "record",
    "name": "Switchable_PersonName",
    "fields": [optional("Salutation"), optional("FirstName"), optional("LastName")],
}


def change_schema(*fields: Avro, name: str = "AccountChangeEvent", header: Avro = HEADER) -> Avro:
    """Return the schema of a change event."""
    event: Avro = {"name": "ChangeEventHeader", "type": header}
    return {"type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": [event, *fields]}


def event_schema(*fields: Avro, name: str = "Order_Placed__e") -> Avro:
    """Return the schema of a platform event."""
    stamps: list[Avro] = [
        {"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"},
        {"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"},
    ]
    return {"type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": [*stamps, *fields]}


ACCOUNT = change_schema(
    optional("Name", doc="Data:Text"),
    optional("Type", doc="Data:DynamicEnum"),
    optional("ParentId", doc="ForeignKey:EntityId"),
    optional("BillingAddress", ADDRESS),
    optional("ShippingAddress", "Address"),
    *(optional(name) for name in ("Phone", "Fax", "AccountNumber", "Website", "Sic", "Industry")),
    optional("AnnualRevenue", "double", doc="Data:Currency"),
    optional("NumberOfEmployees", "int", doc="Data:Integer"),
    *(optional(name) for name in ("Ownership", "TickerSymbol")),
    optional("Description", doc="Data:StringPlusClob"),
    *(optional(name) for name in ("Rating", "Site", "OwnerId")),
    optional("CreatedDate", "long", doc="CreatedDate:DateTime"),
    optional("CreatedById", doc="CreatedBy:EntityId"),
    optional("LastModifiedDate", "long", doc="LastModifiedDate:DateTime"),
)
"""The fields of Salesforce's own samples, in their order."""


def header(kind: str = "UPDATE", **rest: Any) -> Avro:
    """Return a header as it is written in Avro."""
    return {
        "entityName": "Account",
        "recordIds": ["001AB00000TEST1YAA"],
        "changeType": kind,
        "changeOrigin": "com/salesforce/api/rest/61.0;client=erp-sync",
        "transactionKey": "0000aaaa-bbbb-cccc-dddd-eeeeffff0001",
        "sequenceNumber": 1,
        "commitTimestamp": 1_735_689_600_000,
        "commitNumber": 987_654_321,
        "commitUser": "005AB00000USER1YAA",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
        **rest,
    }


def parsed(schema: Avro, schema_id: str = "Zx81QmVqT0aPq2n7kLw3Yg") -> EventSchema:
    """Return the schema as Streamer reads it."""
    return EventSchema.parse(schema_id, orjson.dumps(schema).decode())


def written(schema: Avro, values: Mapping[str, Any]) -> bytes:
    """Return a datum as fastavro writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named_schemas={}), dict(values))
    return out.getvalue()


def decoded(schema: Avro, **values: Any) -> dict[str, Any]:
    """Return the values as Streamer reads them from the datum that fastavro writes."""
    return parsed(schema).decode(written(schema, values))


def body(schema: Avro, kind: str = "UPDATE", /, **values: Any) -> dict[str, Any]:
    """Return the fields of a change event, without its header; values with `_` go into the header."""
    about = {name.removeprefix("_"): value for name, value in values.items() if name.startswith("_")}
    fields = {name: value for name, value in values.items() if not name.startswith("_")}
    payload = decoded(schema, ChangeEventHeader=header(kind, **about), **fields)
    del payload["ChangeEventHeader"]
    return payload
