"""Describes of entities, as the REST API gives them."""

from typing import Any

from streamer.events import JsonObject


def field(name: str, data_type: str = "string", compound: str | None = None, **more: Any) -> JsonObject:
    """Return a field of a describe."""
    return {"name": name, "type": data_type, "compoundFieldName": compound, **more}


def described(entity: str, *fields: JsonObject) -> JsonObject:
    """Return the describe of an entity."""
    return {"name": entity, "fields": list(fields)}


_STAMPS = (
    field("Id", "id"),
    field("IsDeleted", "boolean"),
    field("LastModifiedDate", "datetime"),
    field("SystemModstamp", "datetime"),
)
CONTACT = described(
    "Contact",
    *_STAMPS,
    field("Name"),
    field("Salutation", "picklist", "Name"),
    field("FirstName", compound="Name"),
    field("LastName", compound="Name"),
    field("MailingStreet", "textarea", "MailingAddress"),
    field("MailingCity", compound="MailingAddress"),
    field("MailingAddress", "address"),
    field("Site__Latitude__s", "double", "Site__c"),
    field("Site__Longitude__s", "double", "Site__c"),
    field("Site__c", "location"),
    field("Phone", "phone"),
)
ACCOUNT = described(
    "Account",
    field("Id", "id"),
    field("Name", compound="Name"),
    field("LastName", compound="Name"),
    field("IsPersonAccount", "boolean"),
)
USER = described(
    "User",
    field("Id", "id"),
    field("UserPreferencesApex", "boolean"),
    field("UserPreferencesPopup", "boolean"),
    field("EmailPreferencesAutoBcc", "boolean"),
)
