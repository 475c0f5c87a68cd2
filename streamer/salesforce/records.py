"""Reader of records over the REST API."""

from collections.abc import Sequence
from urllib.parse import quote

from streamer.errors import SalesforceUnavailable
from streamer.events import JsonObject
from streamer.salesforce.rest import Rest


class RestRecords:
    """Reader of the records that the REST API's user can see.

    sObject Collections (REST API guide) give many records for one request, in
    the order of the ids, with null for a record that is missing.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left: see `streamer.ports.RecordReader`."""
        return self._rest.requests_left

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return `fields` of records, by id: see `streamer.ports.RecordReader`."""
        path = f"composite/sobjects/{quote(entity, safe='')}"
        answer = await self._rest.post(path, {"ids": list(ids), "fields": list(fields)})
        if not isinstance(answer, list) or len(answer) != len(ids):
            raise SalesforceUnavailable(f"POST {path} was answered, but not with one record for each id")
        return {
            each: {name: value for name, value in record.items() if name in fields}
            for each, record in zip(ids, answer, strict=True)
            if isinstance(record, dict)
        }
