"""Conversion of a lead into an account, a contact and an opportunity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.transaction import Transaction

CONVERTED = "Closed - Converted"
"""Status of a converted lead, unless another one is chosen."""

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")
_ACCOUNT = {
    "Company": "Name",
    "Phone": "Phone",
    "Website": "Website",
    "Industry": "Industry",
    "Rating": "Rating",
    "AnnualRevenue": "AnnualRevenue",
    "NumberOfEmployees": "NumberOfEmployees",
    "LeadSource": "AccountSource",
    "OwnerId": "OwnerId",
    **{part: f"Billing{part}" for part in _ADDRESS},
}
_CONTACT = {
    **{same: same for same in ("Salutation", "FirstName", "LastName", "Title", "Phone", "MobilePhone")},
    **{same: same for same in ("Email", "LeadSource", "OwnerId")},
    **{part: f"Mailing{part}" for part in _ADDRESS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Choices of the user who converts a lead.

    A given account or contact is used instead of a new one. `opportunity` is the name
    of the new opportunity; if it is empty, the name is the company's name and a hyphen.
    `None` creates no opportunity.
    """

    status: str = CONVERTED
    account_id: str | None = None
    contact_id: str | None = None
    opportunity: str | None = ""


def convert(
    transaction: Transaction, lead: Record, chosen: Conversion, *, today: str
) -> Mapping[str, str | None]:
    """Convert `lead` and return the ids; the update of the lead is the last change.

    Raises `Refused` for a lead that is already converted. `today` is the date of the
    conversion.
    """
    if lead.get("IsConverted"):
        raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", fields=["Id"])
    account = chosen.account_id or transaction.create("Account", _mapped(lead, _ACCOUNT))
    contact = chosen.contact_id or transaction.create(
        "Contact", {**_mapped(lead, _CONTACT), "AccountId": account}
    )
    opportunity = None
    if chosen.opportunity is not None:
        fields = {
            "Name": chosen.opportunity or f"{lead['Company']}-",
            "AccountId": account,
            "StageName": "Prospecting",
            "CloseDate": today,
            "LeadSource": lead.get("LeadSource"),
            "OwnerId": lead["OwnerId"],
        }
        opportunity = transaction.create("Opportunity", fields)
    converted: dict[str, Any] = {
        "Status": chosen.status,
        "IsConverted": True,
        "ConvertedDate": today,
        "ConvertedAccountId": account,
        "ConvertedContactId": contact,
        "ConvertedOpportunityId": opportunity,
    }
    transaction.update("Lead", lead["Id"], converted)
    return {"account_id": account, "contact_id": contact, "opportunity_id": opportunity}


def _mapped(lead: Record, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: lead[own] for own, name in names.items() if lead.get(own) is not None}
