"""Descriptions of entities, and events of such entities, drawn by hypothesis."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from streamer.events import JsonObject

STEM = "salesforce.cdc.Account"

ACCOUNT: JsonObject = {
    "name": "Account",
    "fields": [
        {"name": "Id", "type": "id"},
        {"name": "Name", "type": "string"},
        {"name": "AnnualRevenue", "type": "currency", "precision": 18, "scale": 2},
        {"name": "NumberOfEmployees", "type": "int"},
        {"name": "Active__c", "type": "boolean"},
        {"name": "SLAExpirationDate__c", "type": "date"},
        {"name": "LastModifiedDate", "type": "datetime"},
        {"name": "BillingAddress", "type": "address"},
        {"name": "BillingCity", "type": "string", "compoundFieldName": "BillingAddress"},
        {"name": "BillingLatitude", "type": "double", "compoundFieldName": "BillingAddress"},
        {"name": "Site__c", "type": "location"},
        {"name": "Site__Latitude__s", "type": "double", "compoundFieldName": "Site__c"},
    ],
}


def a_change(fields: JsonObject, **more: Any) -> JsonObject:
    """Return the data of an update that carries `fields`."""
    nulled = [name for name, value in fields.items() if value is None]
    return {
        "entity": "Account",
        "record_id": "001000000000001AAA",
        "change": "UPDATE",
        "fields": fields,
        "changed_fields": list(fields),
        "nulled_fields": nulled,
        "transaction": {
            "key": "0004-17",
            "sequence": 1,
            "commit_number": 92233720368547758,
            "user": "005000000000001AAA",
            "origin": "",
        },
        **more,
    }


_NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12).map(
        float
    ),
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
_MOMENTS = st.datetimes().map(lambda each: f"{each.isoformat(timespec='milliseconds')}Z")
_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "string": _TEXTS,
    "picklist": _TEXTS,
    "textarea": _TEXTS,
    "currency": _NUMBERS,
    "double": _NUMBERS,
    "int": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda each: each.isoformat()),
    "datetime": _MOMENTS,
}
# A field can also hold a diff, a masked value, or what a later version of the org sends.
_ODD = st.one_of(
    st.none(),
    st.fixed_dictionaries({"diff": _TEXTS}),
    _TEXTS,
    st.booleans(),
    st.lists(_TEXTS, max_size=3),
    st.integers(-5, 5),
    _MOMENTS.map(lambda each: each.replace("Z", "+0000")),
)
_NAMES = st.from_regex(r"[A-Z][a-z]{0,6}(__c)?", fullmatch=True)
_PARTS = {"City": "string", "PostalCode": "string", "Latitude": "double"}


@st.composite
def described_events(draw: st.DrawFn) -> tuple[JsonObject, list[JsonObject]]:
    """Return a description, and the data of some events of its entity."""
    types = draw(st.dictionaries(_NAMES, st.sampled_from(sorted(_VALUES)), max_size=8))
    fields: list[JsonObject] = [{"name": name, "type": kind} for name, kind in types.items()]
    has_address = draw(st.booleans())
    if has_address:
        fields.append({"name": "HomeAddress", "type": "address"})
        parts = [
            {"name": f"Home{part}", "type": kind, "compoundFieldName": "HomeAddress"}
            for part, kind in _PARTS.items()
        ]
        fields += parts
    values: dict[str, st.SearchStrategy[Any]] = {
        name: st.one_of(_VALUES[kind], _ODD) for name, kind in types.items()
    }
    if has_address:
        optional = {part: st.one_of(st.none(), _VALUES[kind]) for part, kind in _PARTS.items()}
        values["HomeAddress"] = st.one_of(st.none(), st.fixed_dictionaries({}, optional=optional), _TEXTS)
    whole = st.fixed_dictionaries(values)
    carried = st.one_of(whole, st.fixed_dictionaries({}, optional=values))
    return {"name": "Account", "fields": fields}, [
        a_change(each) for each in draw(st.lists(carried, max_size=3))
    ]


def digits_of(value: Any) -> Any:
    """Return a value with its numbers as exact decimals, so that equal values have equal digits."""
    match value:
        case bool() | str() | None:
            return value
        case float():
            return Decimal(repr(value)).normalize()
        case int() | Decimal():
            return Decimal(value).normalize()
        case list():
            return [digits_of(each) for each in value]
        case dict():
            return {name: digits_of(each) for name, each in value.items()}
    raise TypeError(type(value))
