"""Bitmaps of changed fields."""

import pytest

from streamer.sandbox.pubsub.avro.field_bitmaps import BitmapEncoder

ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [{"name": name, "type": ["null", "string"]} for name in ("Street", "City", "State")],
}
# The fields of an account and a lead in the samples of Salesforce's guide.
NAMES = (
    "ChangeEventHeader",
    "Name",
    "Type",
    "ParentId",
    "BillingAddress",
    "ShippingAddress",
    "Phone",
    "Fax",
    "AccountNumber",
    "Website",
    "Sic",
    "Industry",
    "AnnualRevenue",
    "NumberOfEmployees",
    "Ownership",
    "TickerSymbol",
    "Description",
    "Rating",
    "Site",
    "OwnerId",
    "CreatedDate",
    "CreatedById",
    "LastModifiedDate",
)
TYPES = {"BillingAddress": ADDRESS, "ShippingAddress": "Address"}
ACCOUNT = {"fields": [{"name": name, "type": ["null", TYPES.get(name, "string")]} for name in NAMES]}
LEAD = {"fields": [{"name": f"F{at}", "type": ["null", "string"]} for at in range(40)]}


@pytest.mark.parametrize(
    ("names", "bitmaps"),
    [
        (["Industry", "LastModifiedDate"], ["0x400800"]),
        (["Fax", "LastModifiedDate"], ["0x400080"]),
        (["Description", "LastModifiedDate"], ["0x410000"]),
        (["Description"], ["0x010000"]),
        (["LastModifiedDate", "BillingAddress.Street"], ["0x400000", "4-0x01"]),
        (["ShippingAddress.State", "BillingAddress.City"], ["4-0x02", "5-0x04"]),
        (["BillingAddress.City", "BillingAddress.Street"], ["4-0x03"]),
        (["Sic", "Industry"], ["0x0C00"]),
        ([], []),
    ],
)
def test_an_account_has_the_bitmaps_of_the_samples(names: list[str], bitmaps: list[str]) -> None:
    """The top element is missing where only components are meant."""
    fields = BitmapEncoder(ACCOUNT)
    assert fields.of(names) == bitmaps
    assert fields.of(reversed(names)) == bitmaps


def test_a_lead_has_the_bitmap_of_the_sample() -> None:
    """More than three bytes of it."""
    names = [f"F{at}" for at in (12, 19, 20, 21, 22, 23, 27)]
    assert BitmapEncoder(LEAD).of(names) == ["0x08F81000"]


@pytest.mark.parametrize("name", ["Nope", "BillingAddress.Nope", "Name.First"])
def test_a_name_that_the_schema_lacks_is_refused(name: str) -> None:
    """No bit stands for it."""
    with pytest.raises(KeyError):
        BitmapEncoder(ACCOUNT).of([name])


def test_of_very_many_combinations_the_earlier_are_forgotten() -> None:
    """The sandbox does not grow without end."""
    fields = BitmapEncoder({"fields": [{"name": f"F{at}", "type": "string"} for at in range(1_500)]})
    for at in range(1_500):
        fields.of([f"F{at}"])
    assert len(fields._known) <= 1_000
