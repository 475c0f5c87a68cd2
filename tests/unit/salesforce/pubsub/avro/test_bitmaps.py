"""Bitmaps of the header name fields."""

import orjson
import pytest

from streamer.errors import UnreadableEvent
from streamer.salesforce.pubsub.avro.parser import parse_record
from streamer.salesforce.pubsub.avro.schema import FieldBitmaps
from tests.unit.salesforce.pubsub.avro.samples import (
    ACCOUNT,
    ADDRESS,
    Avro,
    body,
    change_schema,
    optional,
)


def bitmaps(schema: Avro) -> FieldBitmaps:
    """Return the bitmaps of a schema."""
    return FieldBitmaps(parse_record(orjson.dumps(schema).decode()))


ACCOUNT_BITMAPS = bitmaps(ACCOUNT)
LEAD_FIELDS = {
    12: "Status",
    19: "IsConverted",
    20: "ConvertedDate",
    21: "ConvertedAccountId",
    22: "ConvertedContactId",
    23: "ConvertedOpportunityId",
    27: "LastModifiedDate",
}
LEAD = change_schema(
    *(optional(LEAD_FIELDS.get(index, f"F{index}")) for index in range(1, 28)), name="LeadChangeEvent"
)


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ([], []),
        (["0x400800"], ["Industry", "LastModifiedDate"]),
        (["0x400080"], ["Fax", "LastModifiedDate"]),
        (["0x410000"], ["Description", "LastModifiedDate"]),
        (["0x010000"], ["Description"]),
        (["0x400000", "4-0x01"], ["LastModifiedDate", "BillingAddress.Street"]),
        (["4-0x06"], ["BillingAddress.City", "BillingAddress.State"]),
        (["5-0x80", "4-0x01"], ["ShippingAddress.GeocodeAccuracy", "BillingAddress.Street"]),
        (["0x400c00"], ["Sic", "Industry", "LastModifiedDate"]),
        (["0X400800"], ["Industry", "LastModifiedDate"]),
        (["0x0"], []),
        (["0x000000000000400800"], ["Industry", "LastModifiedDate"]),
        (["Industry", "BillingAddress.City"], ["Industry", "BillingAddress.City"]),
        (["0x10"], ["BillingAddress"]),
    ],
)
def test_bits_are_fields(elements: list[str], names: list[str]) -> None:
    """Those of Salesforce's samples, lower-case digits, parts alone, and names that are names already."""
    assert ACCOUNT_BITMAPS.names(elements) == names


def test_bits_of_a_converted_lead() -> None:
    """Salesforce's sample of a lead conversion."""
    assert bitmaps(LEAD).names(["0x08F81000"]) == list(LEAD_FIELDS.values())


def test_parts_are_listed_one_by_one() -> None:
    """A compound whose parts all changed is not shortened to its own name."""
    assert ACCOUNT_BITMAPS.names(["4-0xFF"]) == [
        f"BillingAddress.{part['name']}" for part in ADDRESS["fields"]
    ]


@pytest.mark.parametrize(
    "element",
    [
        "0x800000",  # one bit beyond the last field
        "0x01",  # the header
        "0x" + "F" * 5_000,
        "4-0x0100",
        "6-0x01",  # a text has no parts
        "0-0x01",  # those of the header are no fields
        "23-0x01",
        "999999-0x01",
        "9999999999-0x01",
        "-1-0x01",
        "4-4-0x01",
        "x40",
        "0x",
        "0x_4",
        "0x4 ",
        "0x-4",
        "0x\N{ARABIC-INDIC DIGIT FOUR}",
        "",
        "Nothing",
        "ChangeEventHeader",
        "BillingAddress.Nothing",
    ],
)
def test_absurd_bitmap_makes_the_event_unreadable(element: str) -> None:
    """A field that was guessed could clear another one in a target."""
    with pytest.raises(ValueError, match=r"bitmap"):
        ACCOUNT_BITMAPS.names([element])
    for listing in ("_changedFields", "_nulledFields", "_diffFields"):
        with pytest.raises(UnreadableEvent, match=r"bitmap"):
            body(ACCOUNT, **{listing: [element]})


def test_more_bitmaps_than_fields_are_refused() -> None:
    """A list of them could name endless fields."""
    with pytest.raises(ValueError, match="field bitmaps"):
        ACCOUNT_BITMAPS.names(["0x7FFFFE"] * 100)


def test_remembered_bitmaps_stay_right() -> None:
    """There are more of them than are remembered."""
    known = bitmaps(change_schema(*(optional(f"F{index}") for index in range(1, 12))))

    for number in [*range(2, 4096, 2), *range(2, 4096, 2)]:
        names = [f"F{index}" for index in range(1, 12) if number >> index & 1]
        assert known.names([f"0x{number:04X}"]) == names
    assert len(known._known) <= 256
