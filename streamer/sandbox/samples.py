"""Sample values for records that a test or a user does not describe."""

from collections.abc import Callable, Mapping
from typing import Any

from streamer.sandbox.org.definitions.constraints import length
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.relationships import targets
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.org.transaction import Transaction

_COMPANIES = ("Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vehement")
_PEOPLE = (("Ida", "Berg"), ("Ola", "Dahl"), ("Eva", "Lind"), ("Max", "Kern"), ("Ana", "Silva"))
_CITIES = (("Oslo", "Norway"), ("Lyon", "France"), ("Graz", "Austria"), ("Austin", "USA"))
_USUAL: Mapping[str, tuple[str, ...]] = {
    "Account": ("Phone", "Industry", "BillingCity", "BillingCountry"),
    "Contact": ("FirstName", "Email", "Phone"),
    "Lead": ("FirstName", "Email", "Status"),
    "Opportunity": ("Amount",),
    "Case": ("Subject", "Status", "Priority"),
    "Task": ("Subject", "Status"),
    "Product2": ("ProductCode",),
}
_BY_NAME: Mapping[str, Callable[[int], Any]] = {
    "Amount": lambda number: 1000 + number % 90 * 250,
    "BillingCity": lambda number: _in_turn(_CITIES, number)[0],
    "BillingCountry": lambda number: _in_turn(_CITIES, number)[1],
    "CloseDate": lambda _: "2027-01-31",
    "Company": lambda number: f"{_in_turn(_COMPANIES, number)} {number}",
    "FirstName": lambda number: _in_turn(_PEOPLE, number)[0],
    "Industry": lambda number: _in_turn(("Energy", "Retail", "Technology"), number),
    "LastName": lambda number: f"{_in_turn(_PEOPLE, number)[1]} {number}",
    "Name": lambda number: f"{_in_turn(_COMPANIES, number)} {number}",
    "Phone": lambda number: f"+47 22 00 {number % 10_000:04}",
    "Priority": lambda number: _in_turn(("High", "Medium", "Low"), number),
    "ProductCode": lambda number: f"P-{number:04}",
    "StageName": lambda _: "Prospecting",
    "Status": lambda _: "New",
    "Subject": lambda number: f"Question {number}",
}
_BY_TYPE: Mapping[str, Callable[[int], Any]] = {
    "boolean": lambda _: True,
    "currency": lambda _: 1,
    "date": lambda _: "2027-01-31",
    "datetime": lambda _: "2027-01-31T12:00:00Z",
    "double": lambda _: 1,
    "email": lambda number: f"user{number}@acme.example",
    "int": lambda _: 1,
    "percent": lambda _: 1,
    "phone": lambda number: f"+47 22 00 {number % 10_000:04}",
    "url": lambda _: "https://acme.example",
}


def sample_record(org: SandboxOrg, transaction: Transaction, entity: Entity, number: int) -> dict[str, Any]:
    """Return the fields of a new record: the required fields and, for an undeclared type, a few usual fields.

    `number` makes records differ. A missing required parent is created in
    `transaction`.
    """
    usual = () if entity.declared else _USUAL.get(entity.name, ())
    wanted = [field for field in entity.fields.values() if field.required or field.name in usual]
    return {
        field.name: _parent(org, transaction, entity, field, number)
        if field.type == "reference"
        else _sample(entity, field, number)
        for field in wanted
    }


def fitting(field: Field, value: Any) -> Any:
    """Return `value`, cut to the length that the field can hold."""
    return value[: length(field)] if isinstance(value, str) else value


def _sample(entity: Entity, field: Field, number: int) -> Any:
    if field.values:
        return field.values[0]
    made = _BY_TYPE.get(field.type) if field.declared else None
    made = made or _BY_NAME.get(field.name) or _BY_TYPE.get(field.type)
    return fitting(field, f"{entity.name} {number}" if made is None else made(number))


def _parent(org: SandboxOrg, transaction: Transaction, entity: Entity, field: Field, number: int) -> str:
    """Return the id of the first record to which a reference can point; create a record if there is none."""
    parent = org.schema.entity(next(iter(targets(entity, field)), "Account"))
    live = (each for each in org.records.all(parent) if not each["IsDeleted"])
    found = next(live, None)
    if found is not None:
        return str(found["Id"])
    return transaction.create(parent.name, sample_record(org, transaction, parent, number))


def _in_turn(values: tuple[Any, ...], number: int) -> Any:
    return values[number % len(values)]
