"""REST resources of data replication: the records changed within a span of time."""

from collections.abc import Iterator

from aiohttp import web

from streamer.sandbox.org.field_values import parse_time, rest_value
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.rest.middleware import BASE, Call, RestMiddleware, answer

_TIME = Field(name="start, end", type="datetime")


class RestReplication:
    """Serves `updated` and `deleted`, which go by SystemModstamp."""

    def routes(self, middleware: RestMiddleware) -> list[web.RouteDef]:
        """Return the routes, which must be mounted before those of single records."""
        return [
            web.get(BASE + "/sobjects/{type}/updated{_:/?}", middleware.wrap(self._updated)),
            web.get(BASE + "/sobjects/{type}/deleted{_:/?}", middleware.wrap(self._deleted)),
        ]

    async def _updated(self, call: Call) -> web.Response:
        start, end = _span(call)
        ids = [record["Id"] for record in _within(call, start, end) if not record["IsDeleted"]]
        return answer({"ids": ids, "latestDateCovered": rest_value(_TIME, end)})

    async def _deleted(self, call: Call) -> web.Response:
        start, end = _span(call)
        gone = (record for record in _within(call, start, end) if record["IsDeleted"])
        deleted = [
            {"id": record["Id"], "deletedDate": rest_value(_TIME, record["SystemModstamp"])}
            for record in gone
        ]
        covered = {
            "earliestDateAvailable": rest_value(_TIME, start),
            "latestDateCovered": rest_value(_TIME, end),
        }
        return answer({"deletedRecords": deleted, **covered})


def _span(call: Call) -> tuple[str, str]:
    # An unescaped plus of a time's offset arrives as a space.
    start, end = (call.request.query.get(name, "").replace(" ", "+") for name in ("start", "end"))
    span = parse_time(_TIME, start), parse_time(_TIME, end)
    if span[0] >= span[1]:
        raise Refused("INVALID_REPLICATION_DATE", "startDate must be before endDate")
    return span


def _within(call: Call, start: str, end: str) -> Iterator[Record]:
    records = call.org.records.all(call.org.schema.entity(call["type"]))
    return (record for record in records if start <= record["SystemModstamp"] < end)
