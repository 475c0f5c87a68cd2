"""Fields whose values the org computes itself."""

from streamer.sandbox.org.definitions.streaming_objects import DEFAULTS, OPERATIONS, PUSH_TOPIC, operations
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.schema import Entity

_PROBABILITY = {
    "Prospecting": 10,
    "Qualification": 10,
    "Needs Analysis": 20,
    "Value Proposition": 50,
    "Id. Decision Makers": 60,
    "Perception Analysis": 70,
    "Proposal/Price Quote": 75,
    "Negotiation/Review": 90,
    "Closed Won": 100,
    "Closed Lost": 0,
}
STAGES = tuple(_PROBABILITY)
"""Standard stages of an opportunity."""

_NUMBERS = {
    "Case": "CaseNumber",
    "Order": "OrderNumber",
    "OrderItem": "OrderItemNumber",
    "Contract": "ContractNumber",
}


def name_field(entity: Entity) -> str:
    """Return the field with the name of a record for people; for some types, this field is a number."""
    return _NUMBERS.get(entity.name, "Name")


def fill_defaults(entity: Entity, record: Record, *, number: int) -> None:
    """Set the default values of a new record: its owner, its number, false for checkboxes."""
    for name, value in DEFAULTS.get(entity.name, {}).items():
        record.setdefault(name, value)
    for field in entity.fields.values():
        if field.type == "boolean":
            record.setdefault(field.name, False)
    if "OwnerId" in entity.fields:
        record.setdefault("OwnerId", record["CreatedById"])
    if (numbered := _NUMBERS.get(entity.name)) is not None:
        record[numbered] = f"{number:08d}"
    elif entity.is_custom:
        record.setdefault("Name", record["Id"])


def derive(entity: Entity, record: Record, written: Record) -> None:
    """Set the fields that depend on the `written` fields: for example, its stage can close an opportunity."""
    if entity.name == "Opportunity" and "StageName" in written:
        stage = written["StageName"]
        record["IsWon"] = stage == "Closed Won"
        record["IsClosed"] = stage in {"Closed Won", "Closed Lost"}
        if "Probability" not in written and stage in _PROBABILITY:
            record["Probability"] = _PROBABILITY[stage]
    if entity.name == PUSH_TOPIC:
        record[OPERATIONS] = operations(record)
    if entity.name == "Case" and "Status" in written:
        record["IsClosed"] = written["Status"] == "Closed"
