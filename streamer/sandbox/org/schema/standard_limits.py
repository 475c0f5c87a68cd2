"""Lengths of the standard text fields (Object reference, as describes show them)."""

from collections.abc import Mapping

_ADDRESS = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80, "GeocodeAccuracy": 40}
_EVERYWHERE = {
    "AccountNumber": 40,
    "Description": 32_000,
    "Department": 80,
    "Fax": 40,
    "FirstName": 40,
    "HomePhone": 40,
    "LastName": 80,
    "MobilePhone": 40,
    "NextStep": 255,
    "Phone": 40,
    "PoNumber": 80,
    "ProductCode": 255,
    "SerialNumber": 80,
    "Sic": 20,
    "Site": 80,
    "SuppliedName": 80,
    "TickerSymbol": 20,
    "Title": 128,
    "Username": 80,
}
# The name of a custom object's records, as orgs show it in their setup.
_CUSTOM_NAME = 80
_OF_TYPE: Mapping[tuple[str, str], int] = {
    ("Opportunity", "Name"): 120,
    ("Order", "Name"): 80,
    ("OrderItem", "Description"): 255,
    ("OpportunityLineItem", "Description"): 255,
}


def standard_length(type_name: str, field_name: str) -> int | None:
    """Return the length of the longest text in a standard field.

    `None` means the usual length of its data type.
    """
    if type_name.endswith("__c") and field_name == "Name":
        return _CUSTOM_NAME
    known = _OF_TYPE.get((type_name, field_name)) or _EVERYWHERE.get(field_name)
    if known is not None:
        return known
    return next((most for part, most in _ADDRESS.items() if field_name.endswith(part)), None)
