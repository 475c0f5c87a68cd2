"""Data types of fields with their names in the user interface, such as `Text(40)` and `Lookup(Account)`.

The source is the Tooling API guide, FieldDefinition. The guide has few examples; the
other names come from the setup pages of orgs.
"""

from streamer.sandbox.org.automatic_fields import name_field
from streamer.sandbox.org.definitions.constraints import DEFAULT_PRECISION, DEFAULT_SCALE, length
from streamer.sandbox.org.relationships import targets
from streamer.sandbox.org.schema import Entity, Field, label

_PLAIN = {
    "address": "Address",
    "boolean": "Checkbox",
    "date": "Date",
    "datetime": "Date/Time",
    "email": "Email",
    "int": "Number(9, 0)",
    "multipicklist": "Picklist (Multi-Select)",
    "phone": "Phone",
    "picklist": "Picklist",
}
_NUMBERS = {"currency": "Currency", "double": "Number", "percent": "Percent"}
_REFERENCES = frozenset({"id", "reference"})
_NAMED = frozenset({"Account", "Contact", "Lead", "User"})
_SHORT_AREA = 255


def data_type(entity: Entity, field: Field) -> str:
    """Return the data type of a type's field."""
    if field.type in _NUMBERS:
        return _number(field)
    if field.type in _PLAIN:
        return "Fax" if field.name == "Fax" else _PLAIN[field.type]
    return _reference(entity, field) if field.type in _REFERENCES else _text(entity, field)


def _number(field: Field) -> str:
    # The first of the two numbers counts the digits before the point.
    scale = DEFAULT_SCALE if field.scale is None else field.scale
    return f"{_NUMBERS[field.type]}({(field.precision or DEFAULT_PRECISION) - scale}, {scale})"


def _reference(entity: Entity, field: Field) -> str:
    if (entity.name, field.name) == ("Account", "ParentId"):
        return "Hierarchy"
    kind = "Master-Detail" if field.cascades else "Lookup"
    return f"{kind}({','.join(map(label, targets(entity, field)))})"


def _text(entity: Entity, field: Field) -> str:
    longest = length(field)
    if field.type == "textarea":
        return f"{'Text' if longest <= _SHORT_AREA else 'Long Text'} Area({longest})"
    if field.name == "Name" and entity.name in _NAMED:
        return "Name"
    if field.name == name_field(entity) != "Name":
        return "Auto Number"
    external = " (External ID)" if field.external_id else ""
    case = "Sensitive" if field.case_sensitive else "Insensitive"
    unique = f" (Unique Case {case})" if field.unique else ""
    return f"{'URL' if field.type == 'url' else 'Text'}({longest}){external}{unique}"
