"""REST resources of data replication: the records changed within a span of time."""

from collections.abc import Iterator

from streamer.sandbox.org.field_values import parse_time, rest_value
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.rest.call import Answer, Call
from streamer.sandbox.rest.resources import Resources

_TIME = Field(name="start, end", type="datetime")


def add_replication(resources: Resources) -> None:
    """Serve `updated` and `deleted`, which go by SystemModstamp; to be added before single records."""
    resources.add("/sobjects/{type}/updated", get=_updated)
    resources.add("/sobjects/{type}/deleted", get=_deleted)


def _updated(call: Call) -> Answer:
    start, end = _span(call)
    ids = [record["Id"] for record in _within(call, start, end) if not record["IsDeleted"]]
    return Answer(body={"ids": ids, "latestDateCovered": rest_value(_TIME, end)})


def _deleted(call: Call) -> Answer:
    start, end = _span(call)
    gone = (record for record in _within(call, start, end) if record["IsDeleted"])
    deleted = [
        {"id": record["Id"], "deletedDate": rest_value(_TIME, record["SystemModstamp"])} for record in gone
    ]
    covered = {
        "earliestDateAvailable": rest_value(_TIME, start),
        "latestDateCovered": rest_value(_TIME, end),
    }
    return Answer(body={"deletedRecords": deleted, **covered})


def _span(call: Call) -> tuple[str, str]:
    # An unescaped plus of a time's offset arrives as a space.
    start, end = (call.query.get(name, "").replace(" ", "+") for name in ("start", "end"))
    span = parse_time(_TIME, start), parse_time(_TIME, end)
    if span[0] >= span[1]:
        raise Refused("INVALID_REPLICATION_DATE", "startDate must be before endDate")
    return span


def _within(call: Call, start: str, end: str) -> Iterator[Record]:
    records = call.org.records.all(call.schema.entity(call["type"]))
    return (record for record in records if start <= record["SystemModstamp"] < end)
